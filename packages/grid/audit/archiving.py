"""Old entries out of the database and into archives: nothing is ever cut off.

First the archive is there, durably; then one transaction adds its signed head and removes just its entries, which
the database's triggers allow for nothing else. Who is killed in between has left a content that nothing refers to.
"""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from grid.audit.archives import add_head, archived_up_to, last_head
from grid.audit.chain import entries, lock_head, read_head
from grid.audit.tables import AuditEntry
from grid.storage.blobs.blob import Blob
from grid.storage.blobs.interface import BlobStore, BlobWriter
from grid.storage.objects.references import record
from grid.storage.sql.database import Database
from grid.storage.sql.dialect import table_of
from syft_ext.audit.entries import ArchiveHead, Checkpoint, Entry
from syft_ext.audit.export import export_lines
from syft_ext.audit.verifier import Verifier
from syft_ext.clock import Clock
from syft_ext.identity import Identity

__all__ = ["BLOCK", "Archiver", "Kept"]

logger = logging.getLogger(__name__)

BLOCK = 10_000
"""Entries of one archive: some 2 MB, and a second's work."""
_AT_ONCE = 50
"""Archives that are made in a row: the others of a long log come an hour later."""
_TABLE = table_of(AuditEntry)


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays in the database: the latest ``entries``, and of these what is younger than ``age`` seconds; 0: no
    bound. A block of entries goes when all of it may: up to one block more stays."""

    entries: int = 0
    age: float = 0.0


class Archiver:
    """One thread at a time uses it; replicas take turns at the log's head."""

    def __init__(
        self,
        identity: Identity,
        db: Database,
        contents: BlobStore,
        clock: Clock,
        kept: Kept,
        *,
        block: int | None = None,
    ) -> None:
        self._identity, self._db, self._contents, self._clock = identity, db, contents, clock
        self._kept, self._block = kept, block or BLOCK

    def archive(self) -> int:
        """Archive what is due; how many archives that made. A log that is not intact stays as it is."""
        for made in range(_AT_ONCE):
            if not self._archive_block():
                return made
        return _AT_ONCE

    def _archive_block(self) -> bool:
        with self._db.read() as session:
            before = last_head(session)
            first = 0 if before is None else before.last + 1
            last = first + self._block - 1
            newest, _ = read_head(session)
            ends = session.execute(select(_TABLE.c.at, _TABLE.c.hash).where(_TABLE.c.seq == last)).first()
            if ends is None or last >= newest or not self._is_due(last, newest, ends.at):
                return False
            now, node_id = self._clock.now(), self._identity.node_id
            end = Checkpoint(node_id=node_id, seq=last, hash=ends.hash, at=now).sign(self._identity)
            verifier = Verifier(node_id, self._identity.verify_key, [end])
            if before is not None:
                verifier.begin_after(before)
            looked = _looked_at(verifier, entries(session, first, last))
            lines = export_lines(node_id, self._identity.verify_key, [], looked, end, before)
            with self._contents.create() as writer:
                _pack(writer, lines)
                problems = verifier.finish()
                if problems:
                    logger.error("the audit log is not archived: %s", "; ".join(problems[:3]))
                    return False
                blob = writer.commit()
        with blob:
            head = ArchiveHead(
                node_id=node_id, first=first, last=last, hash=ends.hash, digest=blob.digest, at=now
            ).sign(self._identity)
            return self._db.run(lambda session: _put_in_place(session, head, blob), durable=True)

    def _is_due(self, last: int, newest: int, at: float) -> bool:
        many = self._kept.entries > 0 and last <= newest - self._kept.entries
        return many or (self._kept.age > 0 and at < self._clock.now() - self._kept.age)


def _looked_at(verifier: Verifier, found: Iterator[Entry]) -> Iterator[Entry]:
    """An archive must not make a forged entry look like one that was always so."""
    for entry in found:
        verifier.add(entry)
        yield entry


def _pack(writer: BlobWriter, lines: Iterator[bytes]) -> None:
    with gzip.GzipFile(fileobj=_Written(writer), mode="wb", mtime=0) as packed:
        for line in lines:
            packed.write(line)


class _Written:
    """As much of a file as compression writes to."""

    def __init__(self, writer: BlobWriter) -> None:
        self._writer = writer

    def write(self, data: bytes) -> int:
        """Append."""
        self._writer.write(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""


def _put_in_place(session: Session, head: ArchiveHead, blob: Blob) -> bool:
    """The head in, its entries out; False where another replica was faster."""
    lock_head(session)
    if archived_up_to(session) != head.first - 1:
        return False
    record(session, blob)
    add_head(session, head)
    gone: Any = session.execute(delete(_TABLE).where(_TABLE.c.seq.between(head.first, head.last)))
    if gone.rowcount != head.last - head.first + 1:
        raise RuntimeError(
            f"entries {head.first} to {head.last} of the audit log changed while they were archived"
        )
    return True
