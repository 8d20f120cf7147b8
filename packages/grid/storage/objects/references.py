"""Which contents are still needed: a content lives as long as a foreign key in the database points to it.

There are no counters to get wrong. ``record`` makes the row that foreign keys can point to, in the
transaction that makes the reference; ``collect`` removes what nothing points to (in the store's quarantine it
waits first). It is safe beside running writers: a content in somebody's hands is held
(:class:`grid.storage.blobs.blob.Blob`), and one that a row points to is kept by the database's own constraint.
Where not every table is known (:mod:`grid.schema`), nothing is removed: a foreign key that nobody declared would
make a content that is needed look like one that is not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cache
from itertools import islice

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.storage.blobs.blob import Blob
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.tables import BlobRow
from grid.storage.sql import dialect
from grid.storage.sql.base import Base, require_complete
from grid.storage.sql.connections import DriverConnection
from grid.storage.sql.database import Database
from grid.storage.sql.prepared import PreparedSizes, PreparedStatement, places

__all__ = ["collect", "known", "purge", "record", "sweep"]

_BATCH = 500
_COLLECT = 32  # contents that are withheld at once
_BLOBS = dialect.table_of(BlobRow)
_RECORD = {
    "sqlite": PreparedStatement(sqlite.insert(_BLOBS).on_conflict_do_nothing()),
    "postgresql": PreparedStatement(postgresql.insert(_BLOBS).on_conflict_do_nothing()),
}
_KNOWN = PreparedSizes(
    lambda size: select(_BLOBS.c.digest).where(_BLOBS.c.digest.in_(places("digest", size)))
)


def record(transaction: Session | DriverConnection, *blobs: Blob) -> None:
    """Make the rows that this transaction's references to ``blobs`` need. Hold the blobs until it commits."""
    driver_connection = (
        transaction
        if isinstance(transaction, DriverConnection)
        else DriverConnection(transaction.connection())
    )
    rows = [{"digest": blob.digest, "size": blob.size} for blob in blobs]
    if rows:
        _RECORD[driver_connection.dialect.name].run(driver_connection, rows)


def collect(
    db: Database, blobs: BlobStore, digests: Iterable[str], *, owner: str = "", recycle: bool = False
) -> int:
    """Remove those of ``digests`` that nothing refers to and nobody holds; returns how many.

    Call it with what your committed transaction stopped referring to.

    Args:
        owner: whose they were ("": the node's own); where they wait they take the room of others of theirs.
        recycle: as in :meth:`BlobStore.delete_all`.
    """
    batches = _batches(iter(set(digests)), _COLLECT)
    return sum(_collect(db, blobs, batch, recycle, owner=owner) for batch in batches)


def purge(db: Database, blobs: BlobStore) -> int:
    """Remove what has waited long enough in the quarantine, and nothing refers to; returns how many."""
    quarantine = blobs.quarantine
    return 0 if quarantine is None else quarantine.purge(lambda digests: known(db, digests))


def known(db: Database, digests: Collection[str]) -> set[str]:
    """Which of the contents the database has a row of."""
    with db.read() as session:
        return set(session.scalars(select(BlobRow.digest).where(BlobRow.digest.in_(digests))))


def sweep(db: Database, blobs: BlobStore) -> int:
    """Put aside everything that nothing refers to: what crashed callers left, and what somebody held when it was
    dropped. Returns how many."""
    with db.read() as session:
        dropped = set(session.scalars(select(BlobRow.digest).where(_unreferenced())))
    unknown = set[str]()
    for digests in _batches(blobs.digests()):
        unknown.update(set(digests) - known(db, digests))
    # A row without a reference was dropped: who holds contents meanwhile must not make them wait without limit.
    removed = sum(_collect(db, blobs, batch, False) for batch in _batches(iter(dropped), _COLLECT))
    batches = _batches(iter(unknown - dropped), _COLLECT)
    return removed + sum(_collect(db, blobs, batch, False, unknown=True) for batch in batches)


def _collect(
    db: Database,
    blobs: BlobStore,
    digests: list[str],
    recycle: bool,
    *,
    owner: str = "",
    unknown: bool = False,
) -> int:
    """One transaction for all; the contents go after it, still withheld from everybody."""
    missing = {digest for digest in digests if not blobs.exists(digest)}
    fileless, removed = 0, set[str]()

    def confirm(held: list[str]) -> set[str]:
        nonlocal fileless, removed
        digests = [*held, *missing]
        if not digests:
            return set()
        with db.writing() as driver_connection:
            forgotten = {row.digest for row in _forget().run(driver_connection, {}, digest=digests).all()}
            needed = {row.digest for row in _KNOWN.run(driver_connection, {}, digest=digests).all()}
        db.sync()  # a power cut must not bring back a reference to what is gone
        fileless = len(forgotten & missing)
        removed = set(held) - needed
        return removed

    try:
        count = blobs.delete_all(digests, confirm, recycle=recycle, unknown=unknown)
        if owner and blobs.quarantine is not None:
            blobs.quarantine.count_for(owner, removed)
        return count + fileless
    except IntegrityError:  # one of them is referred to since we looked
        if len(digests) == 1:
            return 0
        return sum(_collect(db, blobs, [digest], recycle, owner=owner, unknown=unknown) for digest in digests)


@cache
def _forget() -> PreparedSizes:
    """Drops those of these rows that nothing points to; returns which."""
    return PreparedSizes(
        lambda size: (
            delete(_BLOBS)
            .where(_BLOBS.c.digest.in_(places("digest", size)), _unreferenced())
            .returning(_BLOBS.c.digest)
        )
    )


@cache
def _unreferenced() -> ColumnElement[bool]:
    require_complete()
    condition: ColumnElement[bool] = BlobRow.digest.is_not(None)
    for table in Base.metadata.sorted_tables:
        for key in table.foreign_keys:
            if key.column.table is _BLOBS:
                condition &= ~exists().where(key.parent == BlobRow.digest)
    return condition


def _batches(values: Iterator[str], size: int = _BATCH) -> Iterator[list[str]]:
    while batch := list(islice(values, size)):
        yield batch
