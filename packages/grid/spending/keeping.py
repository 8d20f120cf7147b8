"""Around the transactions that spend: before they commit, may they; when they have, it is written down."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session

from grid.spending.record import Facts, SpentRecord
from grid.spending.tables import RestoredRow
from grid.storage.blobs.group import GroupCommit
from grid.storage.sql.database import Database
from syft_ext.errors import RestoredDatabase

__all__ = [
    "SpendingKeeper",
    "WaitingWatch",
    "check_newest",
    "is_waiting",
    "keeper_for",
    "note",
    "waiting",
    "write_down",
]

_FRESH = 1.0
_NOTES = "what was spent"
_KEEPERS: WeakKeyDictionary[Engine, SpendingKeeper] = WeakKeyDictionary()

_SpentEntry = tuple[str, str, Facts]


class SpendingKeeper:
    """What is kept of what is spent in one database.

    Args:
        record: None where the store of contents keeps none. What is spent is written down nowhere else then, and
            after a restore everything counts as spent.
        check: raises a refusal if the database of a transaction is not the newest that this process has seen.
    """

    def __init__(self, record: SpentRecord | None, check: Callable[[Session], None]) -> None:
        self.record, self.check = record, check
        self._group: GroupCommit[list[_SpentEntry]] = GroupCommit(self._write)

    def write(self, entries: list[_SpentEntry]) -> None:
        """Return when all is written down; several wait for one sync."""
        if self.record is not None:
            self._group.submit(entries)

    def _write(self, batch: list[list[_SpentEntry]]) -> list[BaseException | None]:
        assert self.record is not None
        self.record.add(entry for entries in batch for entry in entries)
        return [None] * len(batch)


def keeper_for(database: Database, keeper: SpendingKeeper) -> None:
    """From now on ``keeper`` is told of what is spent in the database."""
    _KEEPERS[database.engine] = keeper


def check_newest(session: Session) -> None:
    """Raise :class:`RestoredDatabase` while what is counted must not be spent here.

    Called in the transaction that spends: a database that is put in place of this one meanwhile is noticed.
    """
    if is_waiting(session):
        raise waiting()
    keeper = _keeper(session)
    if keeper is not None:
        keeper.check(session)


def is_waiting(session: Session) -> bool:
    """Whether the database was restored, and nobody has said so yet."""
    return session.scalar(select(RestoredRow.id).where(RestoredRow.acknowledged_at.is_(None))) is not None


class WaitingWatch:
    """:func:`is_waiting`, for whoever asks a thousand times a second: at most a second old."""

    def __init__(self, database: Database) -> None:
        self._database, self._until, self._found = database, -math.inf, False

    @property
    def waits(self) -> bool:
        """Whether a restore waits to be acknowledged."""
        now = time.monotonic()
        if now >= self._until:
            with self._database.read() as session:
                self._found = is_waiting(session)
            self._until = now + _FRESH
        return self._found

    def check(self) -> None:
        """Raise :class:`RestoredDatabase` if so."""
        if self.waits:
            raise waiting()


def waiting() -> RestoredDatabase:
    """The refusal."""
    return RestoredDatabase(
        "this node's database was restored: what is counted, swept or released waits until the node's owner "
        "acknowledges that (`grid domain acknowledge-restore`)"
    )


def note(session: Session, kind: str, key: str, facts: Facts) -> None:
    """Write down how much of something is spent, once the transaction has committed; before the caller goes on.

    If that fails, the answer does not leave: it raises what :class:`~sqlalchemy.orm.Session` then raises.
    """
    if _NOTES not in session.info:
        session.info[_NOTES] = {}
        event.listen(session, "after_commit", _committed)
    session.info[_NOTES][kind, key] = facts


def write_down(database: Database, entries: list[tuple[str, str, Facts]]) -> None:
    """As :func:`note`, for transactions without a session, when they have committed: kinds, keys and facts."""
    keeper = _KEEPERS.get(database.engine)
    if keeper is not None:
        keeper.write(entries)


def _committed(session: Session) -> None:
    notes: dict[tuple[str, str], Facts] = session.info.pop(_NOTES, {})
    keeper = _keeper(session)
    if keeper is not None and notes:
        keeper.write([(kind, key, facts) for (kind, key), facts in notes.items()])


def _keeper(session: Session) -> SpendingKeeper | None:
    bind: Any = session.get_bind()
    return _KEEPERS.get(bind.engine)
