"""Export files of an audit log: JSON Lines, readable by people and programs, verifiable without the node.

{"format": "grid-audit-1", "node_id": …, "verify_key": …}
{"checkpoint": {…}}                      the signed checkpoints that the node has kept
{"seq": 0, …}                            the entries
{"head": {…}}                            a checkpoint of the last entry: nothing was cut off
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from syft_ext.audit.entries import Checkpoint, Entry
from syft_ext.audit.verifier import Verifier
from syft_ext.errors import BadRequest
from syft_ext.identity import node_id_of

__all__ = ["FORMAT", "VerificationReport", "export_lines", "verify_export"]

FORMAT = "grid-audit-1"
_encode = msgspec.json.Encoder().encode


class _ExportHeader(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    format: str
    node_id: str
    verify_key: str


class _Checkpoint(msgspec.Struct, forbid_unknown_fields=True):
    checkpoint: Checkpoint


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    head: Checkpoint


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What a verification found.

    Attributes:
        entries: how many there are.
        signed_up_to: the last entry that a signed checkpoint vouches for; -1: none.
        problems: one sentence each; none for an intact log.
    """

    node_id: str
    entries: int
    signed_up_to: int
    problems: list[str]

    @property
    def intact(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problems

    def __str__(self) -> str:
        if self.intact:
            return f"intact: {self.entries} entries of node {self.node_id}, signed up to {self.signed_up_to}"
        return "\n".join(self.problems)


def export_lines(
    node_id: str,
    verify_key: str,
    checkpoints: Iterable[Checkpoint],
    entries: Iterable[Entry],
    head: Checkpoint,
) -> Iterator[bytes]:
    """The lines of an export file."""
    yield _encode(_ExportHeader(format=FORMAT, node_id=node_id, verify_key=verify_key)) + b"\n"
    for checkpoint in checkpoints:
        yield _encode(_Checkpoint(checkpoint)) + b"\n"
    for entry in entries:
        yield _encode(entry) + b"\n"
    yield _encode(_Head(head)) + b"\n"


def verify_export(path: Path | str, *, verify_key: str = "") -> VerificationReport:
    """Verify an export file by itself.

    Args:
        verify_key: the node's key, from another source than the file, if you have it: without it the report
            says that the file is consistent and signed by the node that it names.

    Raises :class:`BadRequest` if it is no export file at all.
    """
    with Path(path).open("rb") as file:
        return _verify(file, verify_key)


def _verify(file: BinaryIO, verify_key: str) -> VerificationReport:
    try:
        line = file.readline()
        header = msgspec.json.decode(line, type=_ExportHeader)
        named = node_id_of(header.verify_key)
        if header.format != FORMAT:
            raise BadRequest("unknown format")
    except (msgspec.MsgspecError, ValueError, BadRequest) as error:
        raise BadRequest("this is no export of an audit log, or its first line was changed") from error
    problems = []
    if named != header.node_id or _encode(header) + b"\n" != line:
        problems.append("line 1: the node's id and its key do not belong together")
    if verify_key and verify_key != header.verify_key:
        problems.append("the export is signed by another key than the one you gave")
    reader = _Reader(file, Verifier(header.node_id, header.verify_key))
    problems += reader.read()
    verifier = reader.verifier
    return VerificationReport(header.node_id, verifier.count, verifier.signed_up_to, problems)


def _decode(line: bytes) -> _Checkpoint | _Head | Entry:
    if line.startswith(b'{"checkpoint"'):
        return msgspec.json.decode(line, type=_Checkpoint)
    if line.startswith(b'{"head"'):
        return msgspec.json.decode(line, type=_Head)
    return msgspec.json.decode(line, type=Entry)


class _Reader:
    """Feeds the lines after the first to a verifier."""

    def __init__(self, file: BinaryIO, verifier: Verifier) -> None:
        self._file, self.verifier = file, verifier
        self._problems: list[str] = []
        self._head: Checkpoint | None = None

    def read(self) -> list[str]:
        for number, line in enumerate(self._file, 2):
            if self._head is not None:
                self._problems.append(f"line {number} stands after the end of the export")
                break
            try:
                found = _decode(line)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                self._problems.append(f"line {number} cannot be read: it was changed")
                continue
            if _encode(found) + b"\n" != line:
                self._problems.append(f"line {number} was changed: it is not as a node writes it")
            self._take(found)
        if self._head is None:
            self._problems.append("the signed head is missing: the export was cut off")
        else:
            self.verifier.add_checkpoint(self._head)
        problems = self._problems + self.verifier.finish()
        if self._head is not None and not problems and self._head.seq != self.verifier.count - 1:
            problems.append(f"entries follow the head, which names entry {self._head.seq} as the last")
        return problems

    def _take(self, found: _Checkpoint | _Head | Entry) -> None:
        if isinstance(found, _Checkpoint):
            self.verifier.add_checkpoint(found.checkpoint)
        elif isinstance(found, _Head):
            self._head = found.head
        else:
            self.verifier.add(found)
