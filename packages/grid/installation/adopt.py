"""The way out when a database was lost, or an older one was restored: go on with the one that is there.

What the database does not know is not deleted: it is copied into a folder first, contents under their digest and
unfinished uploads under ``uploads/``. Every step can be repeated. Nobody can tell here whether a replica of the
node runs with another home: it sweeps nothing from then on (:meth:`Installation.advance`), and is refused at its
next start until that home has adopted the database too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from blake3 import blake3
from sqlalchemy import delete, insert, select

from grid.audit.checkpoints import FILE as CHECKPOINTS
from grid.audit.checkpoints import read_checkpoints
from grid.installation.claim import Installation
from grid.installation.record import FILE as RECORD
from grid.installation.record import read_record
from grid.installation.tables import InstallationRow
from grid.spending.tables import RestoredRow
from grid.storage.blobs.disk import make_directory, sync_directory
from grid.storage.objects.tables import BlobRow, UploadRow
from grid.storage.sql import dialect
from syft_ext.errors import Conflict, DatabaseLost, DatabaseOutdated, ForeignContents, InvalidConfig
from syft_ext.ids import new_id

__all__ = ["Adoption", "adopt", "look"]

_RESTORED = dialect.table_of(RestoredRow)
_TABLE = dialect.table_of(InstallationRow)
_PIECE = 1 << 20
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Adoption:
    """Why the node does not start, and what the database does not know: contents, unfinished uploads, and bytes of
    both."""

    reason: Conflict
    contents: int
    uploads: int
    size: int


def look(installation: Installation) -> Adoption:
    """What :func:`adopt` would do. Nothing is written.

    Raises :class:`Conflict` if nothing is in the node's way, and the refusal itself where adopting is no answer to
    it: a database, or contents, of somebody else.
    """
    try:
        installation.check()
    except (DatabaseLost, DatabaseOutdated) as error:
        reason: Conflict = error
    except ForeignContents as error:
        if installation.contents.identity() is not None:
            raise
        installation.check_contents()  # they were copied without the store's id, it may be; else they are others
        reason = error
    else:
        raise Conflict("nothing is in the way: the node starts with this database")
    found, row, record = installation.contents.identity(), installation.row(), read_record(installation.home)
    if found is not None and found not in {each.store_id for each in (row, record) if each is not None}:
        raise ForeignContents(
            f"the store of contents ({found}) belongs to another database: set `contents` to an empty one",
            found=found,
        )
    unknown = [installation.contents.size(digest) for digest in _unknown(installation)]
    uploads = [installation.contents.partials.size(name) for name in _unknown_uploads(installation)]
    return Adoption(reason, len(unknown), len(uploads), sum(unknown) + sum(uploads))


def adopt(installation: Installation, quarantine: Path) -> Adoption:
    """Put aside what the database does not know, in the folder ``quarantine``, and make the database this node's.

    Raises as :func:`look` does.
    """
    adoption = look(installation)
    make_directory(quarantine)
    for name in _unknown_uploads(installation):
        _put_upload_aside(installation, name, quarantine / "uploads")
    for digest in list(_unknown(installation)):
        _put_aside(installation, digest, quarantine)
    if not _is_adopted_elsewhere(installation):
        _begin_anew(installation)
    for name in (RECORD, CHECKPOINTS):
        path = installation.home / name
        if path.exists() and (name == RECORD or not _is_vouched_for(installation, path)):
            path.rename(quarantine / name)
    sync_directory(installation.home)
    installation.claim()
    return adoption


def _is_adopted_elsewhere(installation: Installation) -> bool:
    """Whether another home of this node has: only this one does not know the database yet."""
    try:
        reached = installation.contents.reached()
    except InvalidConfig:
        return False
    row, record = installation.row(), read_record(installation.home)
    if row is None or row.epoch == 0 or record is None or reached is None:
        return False
    known = reached[0] == row.database_id and reached[1] <= row.epoch
    return (
        known and record.database_id != row.database_id and row.store_id == installation.contents.identity()
    )


def _begin_anew(installation: Installation) -> None:
    """A claim that is not finished, with a new database_id: who puts the database of before back is told so.

    What was spent in the database of before stays spent, as far as the record beside the contents tells.
    """
    values = installation.values(installation.contents.identity() or new_id())
    row, spent = installation.row(), installation.spent()
    record = read_record(installation.home)
    try:
        reached, readable = installation.contents.reached(), True
    except InvalidConfig:  # how far the database of before had come nobody can tell then, nor what it spent
        reached, readable = None, False
    until = max([each for each in (record and record.epoch, reached and reached[1]) if each], default=0)
    complete = readable and row is not None and spent.covers(row.database_id, row.epoch, until)

    def write(session: Any) -> None:
        for put_right in installation.put_right:  # whoever adopts an older database has acknowledged that
            put_right(session, spent, not complete)
        session.execute(delete(_RESTORED))
        session.execute(delete(_TABLE))
        session.execute(insert(_TABLE).values(values))

    installation.database.run(write, durable=True)
    installation.contents.reached(values["database_id"], 0, anew=True)


def _is_vouched_for(installation: Installation, path: Path) -> bool:
    """Whether the database's log has all entries that the home's checkpoints are of."""
    found, problems = read_checkpoints(path)
    return not problems and all(map(installation.knows, found))


def _unknown(installation: Installation) -> Iterator[str]:
    digests = installation.contents.digests()
    while batch := list(islice(digests, _BATCH)):
        with installation.database.read() as session:
            known = set(session.scalars(select(BlobRow.digest).where(BlobRow.digest.in_(batch))))
        yield from (digest for digest in batch if digest not in known)


def _unknown_uploads(installation: Installation) -> list[str]:
    """A sweep that keeps everything: the store of contents says in no other way what it has."""
    found: list[str] = []

    def keep(name: str) -> bool:
        found.append(name)
        return True

    installation.contents.partials.sweep(keep)
    with installation.database.read() as session:
        return [name for name in found if session.get(UploadRow, name) is None]


def _is_known(installation: Installation, digest: str) -> bool:
    with installation.database.read() as session:
        return session.get(BlobRow, digest) is not None


def _put_aside(installation: Installation, digest: str, quarantine: Path) -> None:
    _copy(installation, digest, quarantine / digest)
    sync_directory(quarantine)
    installation.contents.delete(digest, confirm=lambda: not _is_known(installation, digest))


def _put_upload_aside(installation: Installation, name: str, folder: Path) -> None:
    """As far as it has come: made a content for a moment, for only contents can be read."""
    make_directory(folder)
    contents, partials = installation.contents, installation.contents.partials
    with partials.open(name) as partial:
        with partial.finish() as blob:
            _copy(installation, blob.digest, folder / name)
            sync_directory(folder)
            sync_directory(folder.parent)
        partials.discard(name)
    contents.delete(blob.digest, confirm=lambda: not _is_known(installation, blob.digest))


def _copy(installation: Installation, digest: str, path: Path) -> None:
    """The content, durably, under ``path``; as ``.damaged`` if it is not what its digest says."""
    temporary, hasher = path.with_name(f"{path.name}.tmp"), blake3()
    with installation.contents.open(digest) as reader, temporary.open("wb") as file:
        for start in range(0, reader.size, _PIECE):
            piece = reader.read(start, min(start + _PIECE, reader.size))
            hasher.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path if hasher.hexdigest() == digest else path.with_suffix(".damaged"))
