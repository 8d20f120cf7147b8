"""Export files of an audit log: JSON Lines, readable by people and programs, verifiable without the node.

{"format": "grid-audit-1", "node_id": …, "verify_key": …}
{"archive": {…}}                         the signed head of the archive of all that came before, if any
{"checkpoint": {…}}                      the signed checkpoints that the node has kept
{"seq": 0, …}                            the entries
{"head": {…}}                            a checkpoint of the last entry: nothing was cut off

An archive is an export of its entries, compressed with gzip; each names the one before it by its digest.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
from blake3 import blake3

from syft_ext.audit.entries import ArchiveHead, Checkpoint, Entry
from syft_ext.audit.verifier import Verifier
from syft_ext.errors import BadRequest
from syft_ext.identity import node_id_of
from syft_ext.readable import readable

__all__ = [
    "FORMAT",
    "VerificationReport",
    "archived_entries",
    "export_lines",
    "not_looked_at",
    "verify_export",
]

FORMAT = "grid-audit-1"
_GZIP = b"\x1f\x8b"
_UNPACKED_BADLY = (EOFError, OSError, zlib.error)
_PIECE, _LONGEST = 1 << 20, 32 << 20
_encode = msgspec.json.Encoder().encode


class _ExportHeader(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    format: str
    node_id: str
    verify_key: str


class _Checkpoint(msgspec.Struct, forbid_unknown_fields=True):
    checkpoint: Checkpoint


class _Archive(msgspec.Struct, forbid_unknown_fields=True):
    archive: ArchiveHead


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    head: Checkpoint


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What a verification found.

    Attributes:
        entries: how many were looked at.
        signed_up_to: the last entry that a signed checkpoint vouches for; -1: none.
        problems: one sentence each; none for an intact log.
        first: the first entry that was looked at: those before are in archives, which were not.
        archives: how many archives there are, or that were looked at.
    """

    node_id: str
    entries: int
    signed_up_to: int
    problems: list[str]
    first: int = 0
    archives: int = 0

    @property
    def intact(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problems

    def __str__(self) -> str:
        if self.intact:
            found = f"{self.entries} entries of node {self.node_id}"
            return f"intact: {found}, signed up to {self.signed_up_to}{not_looked_at(self.first)}"
        return "\n".join(map(readable, self.problems))


def export_lines(
    node_id: str,
    verify_key: str,
    checkpoints: Iterable[Checkpoint],
    entries: Iterable[Entry],
    head: Checkpoint,
    archive: ArchiveHead | None = None,
) -> Iterator[bytes]:
    """The lines of an export file. ``archive``: the one that ends where the entries begin, if there is one."""
    yield _encode(_ExportHeader(format=FORMAT, node_id=node_id, verify_key=verify_key)) + b"\n"
    if archive is not None:
        yield _encode(_Archive(archive)) + b"\n"
    for checkpoint in checkpoints:
        yield _encode(_Checkpoint(checkpoint)) + b"\n"
    for entry in entries:
        yield _encode(entry) + b"\n"
    yield _encode(_Head(head)) + b"\n"


def not_looked_at(first: int) -> str:
    """What a report adds where the first entry that was looked at is not the log's first."""
    return f"; entries 0 to {first - 1} are in archives, which were not looked at" if first else ""


def verify_export(
    path: Path | str, *, verify_key: str = "", archives: Path | str | None = None
) -> VerificationReport:
    """Verify an export file, or an archive, by itself.

    Args:
        verify_key: the node's key, from another source than the file, if you have it: without it the report
            says that the file is consistent and signed by the node that it names.
        archives: a folder that has the files of all archives of what came before, under whatever names: they
            are verified too, back to the log's first entry.

    Raises :class:`BadRequest` if it is no export file at all.
    """
    report, before = _verify(Path(path), verify_key)
    if archives is None:
        return report
    files = {_digest(each): each for each in sorted(Path(archives).iterdir()) if each.is_file()}
    entries, looked, problems, first = report.entries, 0, list(report.problems), report.first
    while before is not None:
        span = f"entries {before.first} to {before.last}"
        file = files.pop(before.digest, None)
        if file is None:
            problems.append(f"the archive of {span} is missing, or its file was changed")
            break
        found, earlier = _verify(file, verify_key, before)
        problems += [f"{file.name}: {problem}" for problem in found.problems]
        entries, looked, first, before = entries + found.entries, looked + 1, found.first, earlier
    return VerificationReport(
        report.node_id, entries, report.signed_up_to, problems, first=first, archives=looked
    )


def archived_entries(file: BinaryIO | gzip.GzipFile) -> Iterator[Entry]:
    """The entries of an archive, unpacked. Raises :class:`BadRequest` for a line that is none."""
    for number, line in enumerate(_lines(file), 1):
        if line.startswith((b'{"format"', b'{"archive"', b'{"head"')):
            continue
        try:
            yield msgspec.json.decode(line, type=Entry)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadRequest(f"line {number} of its file cannot be read") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        hasher = blake3()
        while piece := file.read(_PIECE):
            hasher.update(piece)
    return str(hasher.hexdigest())


def _lines(file: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    """Lines; one that is longer than any entry comes in pieces, which are none."""
    return iter(partial(file.readline, _LONGEST), b"")


@contextmanager
def _unpacked(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if not packed:
            yield file
            return
        with gzip.open(file) as unpacked:
            yield cast(BinaryIO, unpacked)


def _verify(
    path: Path, verify_key: str, archive: ArchiveHead | None = None
) -> tuple[VerificationReport, ArchiveHead | None]:
    """A file looked at, and the archive that it says comes before. ``archive``: the file must be this one."""
    with _unpacked(path) as file:
        try:
            line = file.readline(_LONGEST)
            header = msgspec.json.decode(line, type=_ExportHeader)
            named = node_id_of(header.verify_key)
            if header.format != FORMAT:
                raise BadRequest("unknown format")
        except (msgspec.MsgspecError, ValueError, BadRequest, *_UNPACKED_BADLY) as error:
            raise BadRequest("this is no export of an audit log, or its first line was changed") from error
        problems = []
        if named != header.node_id or _encode(header) + b"\n" != line:
            problems.append("line 1: the node's id and its key do not belong together")
        if verify_key and verify_key != header.verify_key:
            problems.append("the export is signed by another key than the one you gave")
        reader = _Reader(file, Verifier(header.node_id, header.verify_key))
        problems += reader.read(archive)
    verifier = reader.verifier
    report = VerificationReport(
        header.node_id, verifier.count, verifier.signed_up_to, problems, first=verifier.first
    )
    return report, reader.before


def _decode(line: bytes) -> _Archive | _Checkpoint | _Head | Entry:
    if line.startswith(b'{"archive"'):
        return msgspec.json.decode(line, type=_Archive)
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
        self.before: ArchiveHead | None = None

    def read(self, archive: ArchiveHead | None) -> list[str]:
        try:
            self._read_lines()
        except _UNPACKED_BADLY:
            self._problems.append("the file cannot be unpacked: it was changed, or cut off")
        if self._head is None:
            self._problems.append("the signed head is missing: the export was cut off")
        else:
            self.verifier.add_checkpoint(self._head)
        if archive is not None:
            self.verifier.check_archive(archive)
        problems = self._problems + self.verifier.finish()
        last = self.verifier.first + self.verifier.count - 1
        if self._head is not None and not problems and self._head.seq != last:
            problems.append(f"entries follow the head, which names entry {self._head.seq} as the last")
        return problems

    def _read_lines(self) -> None:
        for number, line in enumerate(_lines(self._file), 2):
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
            if isinstance(found, _Archive) and number != 2:
                self._problems.append(f"line {number}: an archive is named at the beginning only")
                continue
            self._take(found)

    def _take(self, found: _Archive | _Checkpoint | _Head | Entry) -> None:
        if isinstance(found, _Archive):
            self.before = found.archive
            self.verifier.begin_after(found.archive)
        elif isinstance(found, _Checkpoint):
            self.verifier.add_checkpoint(found.checkpoint)
        elif isinstance(found, _Head):
            self._head = found.head
        else:
            self.verifier.add(found)
