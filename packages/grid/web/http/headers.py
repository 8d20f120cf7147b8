"""Heads of requests, parsed strictly (RFC 9112, sections 3 and 5), in a tenth of the time of ``email``'s."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BufferedReader
from typing import NamedTuple, Self

from grid.web.http.requestline import HOST, METHODS, URI, Refusal, RequestLine

__all__ = ["FIELD", "Head", "RequestHeaders"]

MAX_LINE = 16 << 10
MAX_HEAD = 64 << 10
MAX_FIELDS = 128
_AT_ONCE = 8 << 10
_LENGTH_DIGITS = 18
_REQUEST_LINE = re.compile(rf"({'|'.join(METHODS)}) (/[!$-;=?-\[\]-~]*) HTTP/1\.1")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# White space around the value is taken off afterwards: alternatives for it would be tried in all combinations.
FIELD = re.compile(rf"({_NAME.pattern}):([\t -~\x80-\xff]*)\r\n")
_ONCE = ("content-length", "transfer-encoding", "content-type", "host", "authorization")
"""What a request may not say twice."""


class RequestHeaders:
    """Name (lower case) → values, in order."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: dict[str, list[str]] = {}

    @classmethod
    def parse(cls, file: BufferedReader) -> Self:
        """Read up to the empty line; raises :class:`Refusal` on anything that is not a header field."""
        headers = cls()
        left, count = MAX_HEAD, MAX_FIELDS
        while True:
            line = file.readline(MAX_LINE)
            if line == b"\r\n":
                return headers
            left, count = left - len(line), count - 1
            if left < 0 or count < 0 or (len(line) == MAX_LINE and not line.endswith(b"\n")):
                raise Refusal("the header fields are too large", 431, "request-header-fields-too-large")
            match = FIELD.fullmatch(line.decode("latin-1"))
            if match is None:
                raise Refusal("a header field is malformed, or the head is not complete")
            headers.fields.setdefault(match[1].lower(), []).append(match[2].strip(" \t"))

    @classmethod
    def of(cls, lines: Sequence[str]) -> Self | None:
        """The fields of lines without their ends and without control characters; None if one is no field."""
        headers = cls()
        fields = headers.fields
        for line in lines:
            name, colon, value = line.partition(":")
            key = _NAMES.get(name) or _lower(name)
            if not (key and colon):
                return None
            fields.setdefault(key, []).append(value.strip(" \t"))
        return headers

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of that name, whatever its case."""
        values = self.fields.get(name.lower())
        return values[0] if values else default

    def several(self, name: str) -> bool:
        """Whether the field stands there more than once, which only lists may (RFC 9110, section 5.3)."""
        return len(self.fields.get(name, ())) > 1

    def listed(self, name: str) -> list[str]:
        """The elements of a list, of all fields that have the name, in lower case."""
        return [
            element.strip(" \t").lower()
            for value in self.fields.get(name, ())
            for element in value.split(",")
        ]

    def environ(self) -> dict[str, str]:
        """The fields as WSGI wants them; names with ``_`` are dropped, they could pose as others."""
        return {
            _KEYS.get(name) or _key(name): ("; " if name == "cookie" else ",").join(values)
            for name, values in self.fields.items()
            if "_" not in name
        }


class Head(NamedTuple):
    """The head of a request, with nothing in it to object to.

    Attributes:
        target: path and query, or ``*``.
        length: bytes of the body, where they are declared.
        closes: this is the connection's last request.
    """

    method: str
    target: str
    version: str
    headers: RequestHeaders
    length: int | None
    closes: bool

    @classmethod
    def read(cls, line: RequestLine, file: BufferedReader) -> Self:
        """What follows the request line, and what both mean together. Raises :class:`Refusal`."""
        target, host = line.aim()
        headers = RequestHeaders.parse(file)
        for name in _ONCE:
            if headers.several(name):
                raise Refusal(f"several {name} fields")
        given = headers.get("host")
        if HOST.fullmatch(given or "") is None and (given is not None or line.version == "HTTP/1.1"):
            raise Refusal("a Host field is needed, with a host and perhaps a port in it")
        if host is not None:
            headers.fields["host"] = [host]
        length = _length(line, headers)
        return cls(line.method, target, line.version, headers, length, _closes(line.version, headers))

    @classmethod
    def take(cls, file: BufferedReader) -> Self | None:
        """Take the head, if it has come whole and is of the form that nearly all have.

        Else None, with nothing taken: whoever reads it line by line knows what is wrong with it, if anything.
        """
        arrived = file.peek(1)
        end = arrived.find(b"\r\n\r\n")
        if not 0 < end < _AT_ONCE:
            return None
        text = arrived[:end].decode("latin-1")
        line, *lines = text.split("\r\n")
        match = _REQUEST_LINE.fullmatch(line)
        if match is None or len(lines) > MAX_FIELDS or _CONTROL.search(text) is not None:
            return None
        if text.count("\r") != len(lines) or text.count("\n") != len(lines):
            return None
        method, target = match.groups()
        headers = RequestHeaders.of(lines)
        if headers is None or (len(lines) > len(headers.fields) and any(map(headers.several, _ONCE))):
            return None
        length, coding = headers.get("content-length"), headers.get("transfer-encoding")
        if not _is_plain(method, length, coding) or HOST.fullmatch(headers.get("host") or "") is None:
            return None
        if "%" in target and URI.fullmatch(target) is None:
            return None
        file.read(end + 4)
        closes = "connection" in headers.fields and _closes("HTTP/1.1", headers)
        return cls(method, target, "HTTP/1.1", headers, None if length is None else int(length), closes)


def _is_plain(method: str, length: str | None, coding: str | None) -> bool:
    """Whether there is no doubt how long the body is."""
    if length is None:
        return coding is None or (coding.lower() == "chunked" and method != "HEAD")
    if coding is not None or method == "HEAD":
        return False
    return length.isascii() and length.isdigit() and len(length) <= _LENGTH_DIGITS


def _length(line: RequestLine, headers: RequestHeaders) -> int | None:
    """Bytes of the body, where they are declared (RFC 9112, section 6.3). Raises :class:`Refusal`."""
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None:
        if line.version == "HTTP/1.0" or length is not None:
            raise Refusal("the length of the body is ambiguous")
        *others, last = headers.listed("transfer-encoding")
        if last != "chunked" or "chunked" in others or "" in others:
            raise Refusal("the length of the body is unknown: chunked must be its last coding, and only once")
        if others:
            raise Refusal("of codings this server knows chunked", 501, "not-implemented")
    elif length is None:
        return None
    elif not (length.isascii() and length.isdigit()):
        raise Refusal("Content-Length is not a number")
    elif len(length.lstrip("0")) > _LENGTH_DIGITS:
        raise Refusal("the body is too large", 413, "too-large")
    if line.method == "HEAD" and (length is None or length.strip("0")):
        raise Refusal("HEAD takes no body")
    return None if length is None else int(length.lstrip("0") or "0")


def _closes(version: str, headers: RequestHeaders) -> bool:
    """Whether the connection ends with this request (RFC 9112, section 9.3)."""
    options = headers.listed("connection")
    return "close" in options or (version == "HTTP/1.0" and "keep-alive" not in options)


_NAMES: dict[str, str] = {}
_KEYS: dict[str, str] = {}
_KNOWN = 256
"""The usual names; callers cannot make it grow."""


def _lower(name: str) -> str:
    """A field's name in lower case; "" if it is none."""
    if _NAME.fullmatch(name) is None:
        return ""
    if len(_NAMES) < _KNOWN:
        _NAMES[name] = name.lower()
    return name.lower()


def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
    if len(_KEYS) < _KNOWN:
        _KEYS[name] = key
    return key
