"""Entries that are kept no longer in the database: archives among the contents, each with a signed head in a row.

An archive is an export of its entries (:mod:`syft_ext.audit.export`), compressed; it names the one before it.
"""

from __future__ import annotations

import gzip
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from grid.audit.tables import AuditArchive, AuditEntry
from grid.storage.blobs.interface import BlobStore
from grid.storage.sql.database import Database
from grid.storage.sql.dialect import table_of
from syft_ext.audit.entries import ArchiveHead, Entry
from syft_ext.audit.export import archived_entries
from syft_ext.audit.verifier import Verifier
from syft_ext.errors import BadRequest, GridError

__all__ = [
    "KnownEntries",
    "add_head",
    "archived_up_to",
    "heads",
    "last_head",
    "verify_archives",
    "write_archives",
]

_TABLE, _ENTRIES = table_of(AuditArchive), table_of(AuditEntry)
_PIECE = 1 << 20


def heads(session: Session) -> list[ArchiveHead]:
    """The signed heads of all archives, as they stand in the database, in the order of their entries."""
    return [_head(row) for row in session.execute(select(_TABLE).order_by(_TABLE.c.first))]


def last_head(session: Session) -> ArchiveHead | None:
    """The head of the newest archive; None if there is none."""
    row = session.execute(select(_TABLE).order_by(_TABLE.c.first.desc()).limit(1)).first()
    return None if row is None else _head(row)


def archived_up_to(session: Session) -> int:
    """The last entry that is in an archive; -1: none is."""
    last = session.scalar(select(func.max(_TABLE.c.last)))
    return -1 if last is None else int(last)


def add_head(session: Session, head: ArchiveHead) -> None:
    """Remember an archive; its content has its row already (:func:`grid.storage.objects.references.record`)."""
    names = (column.name for column in _TABLE.columns)
    session.execute(insert(_TABLE), [{name: getattr(head, name) for name in names}])


def verify_archives(verifier: Verifier, found: list[ArchiveHead], contents: BlobStore) -> None:
    """Give a verifier the entries of all archives; it says which is forged, damaged or missing, and goes on."""
    for head in found:
        why = _add(verifier, head, contents)
        if why:
            verifier.begin_after(head, why=why)


def _add(verifier: Verifier, head: ArchiveHead, contents: BlobStore) -> str:
    """Why the archive's entries could not be looked at; "" where they were."""
    try:
        if _digest(contents, head.digest) != head.digest:
            return "its file is not the one that was signed"
        head.check(verifier.verify_key)
    except GridError as error:
        return f"it cannot be read: {error.detail or error.title}"
    try:
        for entry in _entries(contents, head.digest):
            verifier.add(entry)
    except BadRequest as error:
        return error.detail
    verifier.check_archive(head)
    return ""


def _digest(contents: BlobStore, digest: str) -> str:
    hasher, start = blake3(), 0
    with contents.open(digest) as reader:
        while piece := reader.read(start, min(start + _PIECE, reader.size)):
            hasher.update(piece)
            start += len(piece)
    return str(hasher.hexdigest())


def _entries(contents: BlobStore, digest: str) -> Iterator[Entry]:
    with contents.open(digest) as reader, reader.file() as file, gzip.open(file) as unpacked:
        try:
            yield from archived_entries(unpacked)
        except (EOFError, OSError, zlib.error) as error:
            raise BadRequest("its file cannot be unpacked") from error


def write_archives(db: Database, contents: BlobStore, folder: Path) -> None:
    """Copy all archives into ``folder``, each as ``FIRST-LAST.jsonl.gz``. Raises :class:`NotFound` for one that is
    missing."""
    folder.mkdir(parents=True, exist_ok=True)
    with db.read() as session:
        found = heads(session)
    for head in found:
        with (
            contents.open(head.digest) as reader,
            reader.file() as source,
            (folder / f"{head.first:012d}-{head.last:012d}.jsonl.gz").open("wb") as target,
        ):
            shutil.copyfileobj(source, target, _PIECE)


class KnownEntries:
    """Hashes of entries by their number, wherever they are. One archive is remembered: ask in their order."""

    def __init__(self, session: Session, contents: BlobStore) -> None:
        self._session, self._contents = session, contents
        self._heads: list[ArchiveHead] | None = None
        self._open, self._hashes = "", dict[int, str]()

    def hash_of(self, seq: int) -> str | None:
        """The entry's hash; None if there is no such entry, or its archive cannot be read."""
        found = self._session.scalar(select(_ENTRIES.c.hash).where(_ENTRIES.c.seq == seq))
        if found is not None:
            return str(found)
        if self._heads is None:
            self._heads = heads(self._session)
        head = next((each for each in self._heads if each.first <= seq <= each.last), None)
        if head is None or head.last == seq:
            return None if head is None else head.hash
        if self._open != head.digest:
            try:
                self._hashes = {entry.seq: entry.hash for entry in _entries(self._contents, head.digest)}
            except GridError:
                self._hashes = {}
            self._open = head.digest
        return self._hashes.get(seq)


def _head(row: object) -> ArchiveHead:
    return ArchiveHead(**dict(row._mapping))  # type: ignore[attr-defined]
