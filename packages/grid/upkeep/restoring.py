"""A backup looked through, and put back into an empty home, database and store of contents.

What was restored waits like every restored database (:mod:`grid.installation.restored`): what came after the
backup nobody here can tell, so that all that is left of anything that is counted will count as spent. Who is
killed half-way begins again: the home says that it is not finished, and no node starts in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3
from sqlalchemy import Connection, Table, insert

from grid import schema
from grid.installation.record import HomeRecord, write_record
from grid.installation.restored import Heads, filled_by
from grid.storage.blobs.disk import make_directory, replace_file, sync_directory
from grid.storage.blobs.interface import BlobStore
from grid.storage.sql.database import Database
from grid.upkeep.places import ARCHIVE, Folder, Secret, open_archive, open_folder
from grid.upkeep.records import BackupHead, Reader, read_records
from grid.upkeep.rows import empty, insert_rows, known_revision, settle_sequences
from syft_ext.errors import BadRequest, Conflict, GridError
from syft_ext.messages.installation import DatabaseHead
from syft_ext.profile.counts import EVERY_TRAINING, REPORTS

__all__ = ["UNFINISHED", "Looked", "check_finished", "look_through", "restore"]

UNFINISHED = "restore.unfinished"
"""Stands in a home while a restore into it is not finished."""
_BEGUN = (UNFINISHED, f"{UNFINISHED}.tmp")
_PIECE = 1 << 20
_COUNTS, _SPENT = f"participant/{REPORTS}", 1 << 31


@dataclass(slots=True)
class Looked:
    """What is in a backup, and what is wrong with it."""

    head: BackupHead
    rows: int = 0
    contents: int = 0
    size: int = 0
    problems: list[str] = field(default_factory=list)


def check_finished(home: Path) -> None:
    """Raise :class:`Conflict` while a restore into ``home`` is not finished."""
    if any((home / each).exists() for each in _BEGUN):
        raise Conflict(f"a restore into {home} was not finished: run it again (`grid backup restore`)")


# -- read -------------------------------------------------------------------------------------------------


@contextmanager
def _opened(place: Path, secret: Secret, snapshot: str) -> Iterator[tuple[Reader, Folder | None]]:
    if place.name.endswith(ARCHIVE):
        with open_archive(place, secret) as reader:
            yield reader, None
            reader.finish()
        return
    folder = open_folder(place, secret)
    with folder.snapshot(folder.find(snapshot)) as reader:
        yield reader, folder
        reader.finish()


def look_through(place: Path, secret: Secret, snapshot: str = "") -> Looked:
    """Read all of a backup: the newest snapshot of a folder, or the one whose name begins so.

    Raises :class:`BadRequest` for what cannot be read at all; contents that are missing or changed are problems.
    """
    with _opened(place, secret, snapshot) as (reader, folder):
        records = read_records(reader)
        looked = Looked(_head(next(records)))
        inline: set[str] = set()
        for record in records:
            if record[0] == "rows":
                looked.rows += len(record[1])
            elif record[0] == "content":
                inline.add(record[1])
                _check(looked, record[1], record[2], _pieces(reader, record[2]))
            elif record[0] == "contents":
                for digest, size in record[1]:
                    looked.contents += 1
                    looked.size += size
                    _look_at(looked, folder, digest, size, inline)
            elif record[0] == "end":
                _check_end(record, looked.rows, looked.contents)
    return looked


def _look_at(looked: Looked, folder: Folder | None, digest: str, size: int, inline: set[str]) -> None:
    if folder is None:
        if digest not in inline:
            looked.problems.append(f"the archive lacks the content {digest[:12]}")
        return
    try:
        with folder.content(digest) as reader:
            _check(looked, digest, size, reader.chunks())
    except GridError as error:
        looked.problems.append(f"content {digest[:12]}: {error.detail}")


def _check(looked: Looked, digest: str, size: int, pieces: Iterator[bytes]) -> None:
    hasher, found = blake3(), 0
    for piece in pieces:
        hasher.update(piece)
        found += len(piece)
    if found != size or hasher.hexdigest() != digest:
        looked.problems.append(f"content {digest[:12]} is not what its digest says")


def _pieces(reader: Reader, size: int) -> Iterator[bytes]:
    while size:
        piece = reader.read(min(size, _PIECE))
        size -= len(piece)
        yield piece


def _head(record: list[Any]) -> BackupHead:
    if record[0] != "head":
        raise BadRequest("this is no record of a backup")
    return msgspec.convert(record[1], BackupHead)


def _check_end(record: list[Any], rows: int, contents: int) -> None:
    if (record[1], record[2]) != (rows, contents):
        raise BadRequest("the backup lacks rows or contents that it says it has")


# -- put back ---------------------------------------------------------------------------------------------


def restore(
    place: Path,
    secret: Secret,
    home: Path,
    database_url: str,
    open_contents: Any,
    *,
    kind: str,
    now: float,
    snapshot: str = "",
) -> Looked:
    """Put a backup into an empty ``home``, an empty database and an empty store of contents.

    Args:
        database_url: "": SQLite in the home.
        open_contents: opens the store, once the home is there.
        kind: which kind of node is to be restored.

    Raises :class:`Conflict` where something is not empty, or the backup is of another kind of node;
    :class:`BadRequest` where it is damaged. Nothing of a damaged one can be started.
    """
    begun = home / UNFINISHED
    if home.exists() and not begun.exists() and any(each.name not in _BEGUN for each in home.iterdir()):
        raise Conflict(f"{home} is not empty: a backup is restored into a new home")
    with _opened(place, secret, snapshot) as (reader, folder):
        records = read_records(reader)
        looked = Looked(_head(next(records)))
        if looked.head.kind != kind:
            raise Conflict(f"that is a backup of a {looked.head.kind}, not of a {kind}")
        if not known_revision(looked.head.revision):
            raise Conflict("the backup was made by a newer version: restore it with that one")
        make_directory(home)
        again = begun.exists() and begun.read_text() == looked.head.id
        replace_file(begun, looked.head.id.encode())
        for name in ("node.db", "node.db-wal", "node.db-shm") if not database_url else ():
            (home / name).unlink(missing_ok=True)
        contents: BlobStore = open_contents()
        _claim_store(contents, looked.head)
        database = Database(database_url or f"sqlite:///{home / 'node.db'}")
        try:
            schema.upgrade(database, looked.head.revision)
            with _Filling(database, looked.head, now, again=again) as filling:
                restoring = _Restoring(home, contents, folder, filling, looked)
                for record in records:
                    restoring.take(record, reader)
            database.sync()
        finally:
            database.close()
    _finish(home, contents, looked.head, restoring.marks)
    return looked


def _claim_store(contents: BlobStore, head: BackupHead) -> None:
    found = contents.identity()
    if found not in (None, head.store_id) or (found is None and next(contents.digests(), None) is not None):
        raise Conflict("the store of contents is not empty: restore into an empty one")
    contents.identity(head.store_id)


class _Filling:
    """The transaction that fills the database: all of it, or nothing. ``again``: a restore of the same backup into
    the same home was killed."""

    def __init__(self, database: Database, head: BackupHead, now: float, *, again: bool) -> None:
        self._again = again
        self._database, self._head, self._now = database, head, now
        self._scope: AbstractContextManager[Connection] = database.migration()

    def __enter__(self) -> _Filling:
        self._connection = self._scope.__enter__()
        try:
            self.done = self._again and self._is_done()
            self._tables = {} if self.done else empty(self._connection)
        except BaseException as error:
            self._scope.__exit__(type(error), error, error.__traceback__)
            raise
        self._table: Table | None = None
        return self

    def _is_done(self) -> bool:
        """Whether a restore of this very backup was killed just after it had filled the database."""
        return filled_by(self._connection, self._head.id)

    def table(self, name: str, columns: list[str]) -> None:
        """Rows of this one come now."""
        if not self.done:
            if name not in self._tables:
                raise BadRequest(f"the backup has a table {name[:64]!r}, which its revision has not")
            self._table, self._columns = self._tables[name], columns

    def rows(self, rows: list[list[Any]]) -> None:
        """Put rows into the table."""
        if not self.done:
            if self._table is None:
                raise BadRequest("this is no record of a backup")
            insert_rows(self._connection, self._table, self._columns, rows)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None and not self.done:
            try:
                self._wait()
                settle_sequences(self._connection, self._tables)
            except BaseException as failed:
                self._scope.__exit__(type(failed), failed, failed.__traceback__)
                raise
        self._scope.__exit__(kind, error, trace)

    def _wait(self) -> None:
        table, head = self._tables["restored_database"], self._head
        at = DatabaseHead(epoch=head.epoch, entry=head.entry, at=head.entry_at)
        heads = Heads(database=at, known=at, reason=f"restored from backup {head.id}", copied=True)
        self._connection.execute(table.delete())
        values = {
            "id": 1,
            "noticed_at": self._now,
            "acknowledged_at": None,
            "known_epoch": head.epoch,
            "facts": msgspec.to_builtins(heads),
        }
        self._connection.execute(insert(table).values(values))


class _Restoring:
    def __init__(
        self, home: Path, contents: BlobStore, folder: Folder | None, filling: _Filling, looked: Looked
    ) -> None:
        self._home, self._contents, self._folder = home, contents, folder
        self._filling, self._looked = filling, looked
        self.marks: list[bytes] = []

    def take(self, record: list[Any], reader: Reader) -> None:
        """Put back what one record says."""
        looked, kind = self._looked, record[0]
        if kind == "file":
            self._file(record[1], record[2])
        elif kind == "marks":
            self.marks = record[1]
        elif kind == "table":
            self._filling.table(record[1], record[2])
        elif kind == "rows":
            self._filling.rows(record[1])
            looked.rows += len(record[1])
        elif kind == "content":
            self._content(record[1], _pieces(reader, record[2]))
        elif kind == "contents":
            for digest, size in record[1]:
                self._fetch(digest)
                looked.contents += 1
                looked.size += size
        elif kind == "end":
            _check_end(record, looked.rows, looked.contents)

    def _file(self, name: str, content: bytes) -> None:
        path = self._home / name
        if not path.resolve().is_relative_to(self._home.resolve()) or name == UNFINISHED:
            raise BadRequest("the backup has a file that lies outside of a home")
        make_directory(path.parent)
        if name == _COUNTS:
            content = _all_spent(content)
        replace_file(path, content)

    def _fetch(self, digest: str) -> None:
        if self._contents.exists(digest):
            return  # of a restore that was killed, or of the archive itself
        if self._folder is None:
            raise BadRequest(f"the archive lacks the content {digest[:12]}", digest=digest)
        with self._folder.content(digest) as reader:
            self._content(digest, reader.chunks())

    def _content(self, digest: str, pieces: Iterator[bytes]) -> None:
        self._contents.put(pieces, digest).release()


def _all_spent(content: bytes) -> bytes:
    """Reports that a Worker sent after the backup are in nobody's count: each training has had all of its own."""
    try:
        counts = msgspec.json.decode(content, type=dict[str, int])
    except msgspec.MsgspecError:
        return content  # damaged as it was: nothing more is reported
    return msgspec.json.encode({**dict.fromkeys(counts, _SPENT), EVERY_TRAINING: _SPENT})


def _finish(home: Path, contents: BlobStore, head: BackupHead, marks: list[bytes]) -> None:
    if contents.marks is not None:
        contents.marks.rewrite(lambda lines: marks)
    contents.reached(head.database_id, head.epoch, anew=True)
    write_record(home, HomeRecord(database_id=head.database_id, store_id=head.store_id, epoch=head.epoch))
    (home / UNFINISHED).unlink()
    sync_directory(home)
    sync_directory(home.parent)
