"""A backup made: all of a node's home, database and contents at one moment, while the node runs or not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
from sqlalchemy import select

from grid.audit.chain import read_head
from grid.audit.tables import AuditEntry
from grid.installation.claim import Installation
from grid.installation.tables import InstallationRow
from grid.storage.objects.checked import PIECE, CheckedContents
from grid.storage.objects.tables import BlobRow
from grid.upkeep.places import ARCHIVE, Secret, new_archive, open_folder
from grid.upkeep.records import BackupHead, write_record
from grid.upkeep.rows import revision_of, tables_of
from grid.upkeep.sealing import SealedWriter
from syft_ext.clock import Clock
from syft_ext.errors import Conflict, ContentDamaged, NotFound
from syft_ext.ids import new_id

__all__ = ["Created", "create"]

_NOT_OF_THE_HOME = {
    *(
        "blobs",
        "quarantine",
        "environments",
        "epochs",  # a key host's: what was erased must not lie in a backup
        "node.lock",
        "node.url",
        "node.db",
        "node.db-wal",
        "node.db-shm",
    ),
    *("participant.sock", "installation.json"),
}
_LARGEST_FILE = 256 << 20
_DIGESTS = 1000
_STAMP = "%Y%m%dT%H%M%S.%fZ"


@dataclass(slots=True)
class Created:
    """What was made: the snapshot's name (the archive's path), what it has, and what is not as it should be.

    ``lost``: contents that are damaged or missing; they are not in the backup.
    """

    name: str
    rows: int = 0
    contents: int = 0
    size: int = 0
    copied: int = 0
    lost: list[str] = field(default_factory=list)


def create(installation: Installation, place: Path, secret: Secret, clock: Clock) -> Created:
    """Back up a node into ``place``: a folder, or a file where its name ends so (:data:`ARCHIVE`).

    One snapshot of the database, and what it refers to; nothing is removed for good meanwhile. Raises as
    :meth:`Installation.check_owner` does, :class:`Conflict` for a database that was never claimed, or while
    another backup is made.
    """
    installation.check_owner()
    row = installation.row()
    if row is None or row.epoch == 0:
        raise Conflict("nothing to back up: the node has not been started yet")
    contents = CheckedContents(installation.contents, installation.database, clock)
    quarantine = contents.quarantine
    with quarantine.keeping() if quarantine is not None else nullcontext():
        if place.name.endswith(ARCHIVE):
            with new_archive(place, secret) as writer:
                job = _Backup(installation, contents, writer, clock, str(place))
                digests = job.write_all()
                job.end(digests, inline=True)
            return job.created
        folder = open_folder(place, secret, make=True)
        name = _name(clock.now(), folder.snapshots())
        with folder.new_snapshot(name) as writer:
            job = _Backup(installation, contents, writer, clock, name)
            digests = job.write_all()
            for digest, size in digests:
                if not folder.has(digest):
                    job.copy(digest, size, partial(folder.put, digest))
            folder.settle()
            job.end(digests, inline=False)
        return job.created


def _name(now: float, snapshots: Sequence[str]) -> str:
    """Of a snapshot that comes after these, whatever the clock says: the last one is what is put back."""
    at = datetime.fromtimestamp(now, UTC)
    if snapshots:
        last = datetime.strptime(snapshots[-1].partition("-")[0], _STAMP).replace(tzinfo=UTC)
        at = max(at, last + timedelta(microseconds=1))
    return f"{at.strftime(_STAMP)}-{new_id()[:8]}"


class _Backup:
    def __init__(
        self,
        installation: Installation,
        contents: CheckedContents,
        writer: SealedWriter,
        clock: Clock,
        name: str,
    ) -> None:
        self._installation, self._contents, self._writer, self._clock = installation, contents, writer, clock
        self.created = Created(name)

    def write_all(self) -> list[tuple[str, int]]:
        """Everything but the contents; which these are."""
        # Files first: they must not know of more than the database does, or the backup would look like an old one.
        files, marks = list(self._files()), self._installation.contents.marks
        lines = [] if marks is None else marks.lines() or []
        with self._installation.database.read() as session:
            row = session.scalars(select(InstallationRow)).one()
            entry, _ = read_head(session)
            at = session.scalar(select(AuditEntry.at).where(AuditEntry.seq == entry)) or 0.0
            head = BackupHead(
                id=new_id(),
                kind=self._installation.kind,
                node_id=self._installation.identity.node_id,
                verify_key=self._installation.identity.verify_key,
                at=self._clock.now(),
                revision=revision_of(session),
                database_id=row.database_id,
                store_id=row.store_id,
                epoch=row.epoch,
                entry=entry,
                entry_at=at,
            )
            write_record(self._writer, "head", msgspec.to_builtins(head))
            for path, content in files:
                write_record(self._writer, "file", path, content)
            write_record(self._writer, "marks", lines)
            for table, columns, parts in tables_of(session):
                write_record(self._writer, "table", table, columns)
                for rows in parts:
                    write_record(self._writer, "rows", rows)
                    self.created.rows += len(rows)
            return [
                (each.digest, each.size) for each in session.execute(select(BlobRow.digest, BlobRow.size))
            ]

    def _files(self) -> Iterator[tuple[str, bytes]]:
        home = self._installation.home
        for folder, folders, names in os.walk(home):
            if Path(folder) == home:
                folders[:] = [each for each in folders if each not in _NOT_OF_THE_HOME]
                names = [each for each in names if each not in _NOT_OF_THE_HOME]
            for each in names:
                path = Path(folder) / each
                if path.is_file() and not path.is_symlink() and not each.endswith((".tmp", ".lock", ".sock")):
                    if path.stat().st_size > _LARGEST_FILE:
                        raise Conflict(f"{path} is no file of a node's home: move it elsewhere")
                    yield str(path.relative_to(home)), path.read_bytes()

    def copy(self, digest: str, size: int, put: Callable[[Callable[[SealedWriter], None]], None]) -> None:
        """A content into the backup; one that is damaged is told of, and left out."""
        try:
            self._contents.require_sound(digest)
            with self._contents.open(digest) as reader:

                def write(writer: SealedWriter) -> None:
                    for start in range(0, reader.size, PIECE):
                        writer.write(reader.read(start, min(start + PIECE, reader.size)))

                put(write)
        except (ContentDamaged, NotFound):
            self.created.lost.append(digest)
        else:
            self.created.copied += size

    def end(self, digests: list[tuple[str, int]], *, inline: bool) -> None:
        """Which contents go with it, themselves where it is one file, and how many of everything."""
        lost = set(self.created.lost)
        here = [each for each in digests if each[0] not in lost]
        if inline:
            here = self._inline(here)
        for start in range(0, len(here), _DIGESTS):
            write_record(self._writer, "contents", here[start : start + _DIGESTS])
        self.created.contents, self.created.size = len(here), sum(size for _, size in here)
        write_record(self._writer, "end", self.created.rows, len(here))

    def _inline(self, digests: list[tuple[str, int]]) -> list[tuple[str, int]]:
        kept = []
        for digest, size in digests:

            def put(write: Callable[[SealedWriter], None], digest: str = digest, size: int = size) -> None:
                write_record(self._writer, "content", digest, size)
                write(self._writer)

            before = len(self.created.lost)
            self.copy(digest, size, put)
            if len(self.created.lost) == before:
                kept.append((digest, size))
        return kept
