"""Answers of a server, read as strictly as RFC 9112 is written."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import IO, Any

_STATUS = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [\t -~\x80-\xff]*\r\n")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t -~\x80-\xff]*)\r\n")
_SIZE = re.compile(rb"([0-9a-f]+)\r\n")


class Malformed(Exception):
    """What came is not HTTP."""


@dataclass
class Answer:
    """One answer; ``fields`` has lower-case names and lists of values."""

    status: int
    fields: dict[str, list[str]]
    content: bytes = b""

    def field(self, name: str) -> str:
        return ", ".join(self.fields.get(name, ()))

    @property
    def closes(self) -> bool:
        return "close" in self.field("connection").lower().split(", ")

    @property
    def problem(self) -> str:
        """The code of the problem document; "" when this is none."""
        if self.field("content-type") != "application/problem+json" or not self.content:
            return ""
        document: dict[str, Any] = json.loads(self.content)
        assert document["status"] == self.status, document
        assert "Traceback" not in self.content.decode()
        return str(document["code"])

    def __str__(self) -> str:
        return f"{self.status} {self.problem}".strip()


def read_answer(file: IO[bytes], *, content: bool = True) -> Answer | None:
    """The next answer; None at the end of the connection. Raises :class:`Malformed`.

    Args:
        content: False for answers to HEAD.
    """
    line = file.readline()
    if not line:
        return None
    match = _STATUS.fullmatch(line)
    if match is None:
        raise Malformed(f"no status line: {line[:80]!r}")
    answer = Answer(int(match[1]), {})
    while (line := file.readline()) != b"\r\n":
        match = _FIELD.fullmatch(line)
        if match is None:
            raise Malformed(f"no field: {line[:80]!r}")
        name, value = match[1].decode().lower(), match[2].decode("latin-1").strip(" \t")
        answer.fields.setdefault(name, []).append(value)
    bare = answer.status < 200 or answer.status in (204, 304)
    if bare and ("content-length" in answer.fields or "transfer-encoding" in answer.fields):
        if answer.status != 304:
            raise Malformed(f"{answer.status} with a length")
    elif content and not bare:
        answer.content = _content(file, answer)
    if answer.status >= 200 and "date" not in answer.fields:
        raise Malformed("no Date")
    return answer


def _content(file: IO[bytes], answer: Answer) -> bytes:
    lengths, codings = (answer.fields.get(name, []) for name in ("content-length", "transfer-encoding"))
    if len(lengths) + len(codings) > 1:
        raise Malformed("more than one length")
    if codings:
        return _chunks(file)
    if not lengths:
        if not answer.closes:
            raise Malformed("no length, and the connection goes on")
        return file.read()
    data = file.read(int(lengths[0]))
    if len(data) != int(lengths[0]):
        raise Malformed(f"{len(data)} of {lengths[0]} bytes")
    return data


def _chunks(file: IO[bytes]) -> bytes:
    data = b""
    while True:
        line = file.readline()
        match = _SIZE.fullmatch(line)
        if match is None:
            raise Malformed(f"no size of a chunk: {line[:80]!r}")
        size = int(match[1], 16)
        data += file.read(size)
        if file.read(2) != b"\r\n":
            raise Malformed("a chunk does not end where it should")
        if size == 0:
            return data
