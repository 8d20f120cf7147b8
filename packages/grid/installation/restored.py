"""A database that was restored: noticed, waited with, acknowledged.

It is noticed by what lies outside of it: the home's record and its signed checkpoints of the audit log, and the
store's note. Then a row in it says so to all replicas, and what is counted waits (:mod:`grid.spending`). The
owner's word puts what was spent right, and begins an epoch beyond all that anybody has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.orm import Session

from grid.installation.tables import InstallationRow
from grid.spending.record import PutRight, Spent, SpentRecord
from grid.spending.tables import RestoredRow
from grid.storage.sql import dialect
from syft_ext.errors import Conflict
from syft_ext.messages.installation import DatabaseHead, RestoreView

__all__ = ["Heads", "acknowledge", "filled_by", "notice", "view_of"]

_TABLE, _ROW = dialect.table_of(InstallationRow), dialect.table_of(RestoredRow)
NOWHERE = DatabaseHead(epoch=-1, entry=-1, at=0.0)


class Heads(msgspec.Struct, kw_only=True, frozen=True):
    """How far the database had come that is there, and how far the one that was seen before; what said so.

    ``copied``: it comes from a backup (:mod:`grid.upkeep`): what came after that, nobody here can tell.
    """

    database: DatabaseHead
    known: DatabaseHead
    reason: str
    copied: bool = False


def notice(session: Session, heads: Heads, now: float) -> None:
    """Have all replicas wait. What is known already of a restore that waits is not forgotten."""
    row = session.get(RestoredRow, 1)
    if row is not None and row.acknowledged_at is None and row.known_epoch >= heads.known.epoch:
        return
    session.execute(delete(_ROW))
    values = {
        "id": 1,
        "noticed_at": now,
        "acknowledged_at": None,
        "known_epoch": heads.known.epoch,
        "facts": msgspec.to_builtins(heads),
    }
    session.execute(insert(_ROW).values(values))


@dataclass(frozen=True, slots=True)
class _WaitingRestore:
    row: RestoredRow
    heads: Heads
    spent: Spent
    complete: bool


def _waiting(session: Session, record: SpentRecord | None) -> _WaitingRestore | None:
    row = session.scalar(select(RestoredRow).with_for_update())
    if row is None or row.acknowledged_at is not None:
        return None
    heads = msgspec.convert(row.facts, Heads)
    spent = Spent() if record is None else record.read()
    database_id = session.scalar(select(InstallationRow.database_id)) or ""
    complete = not heads.copied and spent.covers(database_id, heads.database.epoch, heads.known.epoch)
    return _WaitingRestore(row, heads, spent, complete)


def view_of(session: Session, record: SpentRecord | None, put_right: Sequence[PutRight]) -> RestoreView:
    """What is known of the last restore; what acknowledging it would change is tried in the transaction, which the
    caller rolls back."""
    found = _waiting(session, record)
    if found is not None:
        changed = sum(each(session, found.spent, not found.complete) for each in put_right)
        return _view(found.row, found.heads, found.complete, changed)
    row = session.get(RestoredRow, 1)
    if row is None:
        return RestoreView(
            waiting=False, noticed_at=0.0, database=NOWHERE, known=NOWHERE, complete=True, spent=0, reason=""
        )
    return _view(row, msgspec.convert(row.facts, Heads), True, 0)


def acknowledge(
    session: Session, record: SpentRecord | None, put_right: Sequence[PutRight], now: float
) -> tuple[RestoreView, str, int]:
    """Put what was spent right and end the wait; the view, the database's id and its new epoch.

    Raises :class:`Conflict` where nothing waits.
    """
    found = _waiting(session, record)
    if found is None:
        raise Conflict("no restore waits to be acknowledged")
    beyond = max(found.heads.known.epoch, found.heads.database.epoch)
    if record is not None and not found.complete:
        # Before the database says that it is done: who is killed here finds the record lacking again.
        record.anew(session.scalars(select(InstallationRow.database_id)).one(), beyond + 1)
    changed = sum(each(session, found.spent, not found.complete) for each in put_right)
    found.row.acknowledged_at = now
    session.flush()
    raised: Any = update(_TABLE).where(_TABLE.c.epoch <= beyond).values(epoch=beyond + 1)
    session.execute(raised)
    row = session.execute(select(_TABLE.c.database_id, _TABLE.c.epoch)).one()
    return _view(found.row, found.heads, found.complete, changed), row.database_id, row.epoch


def _view(row: RestoredRow, heads: Heads, complete: bool, changed: int) -> RestoreView:
    return RestoreView(
        waiting=row.acknowledged_at is None,
        noticed_at=row.noticed_at,
        database=heads.database,
        known=heads.known,
        complete=complete,
        spent=changed,
        reason=heads.reason,
    )


def filled_by(connection: Connection, backup_id: str) -> bool:
    """Whether the database is just as a restore of this backup has left it."""
    row = connection.execute(select(_ROW.c.facts, _ROW.c.acknowledged_at, _ROW.c.known_epoch)).first()
    epoch = connection.scalar(select(_TABLE.c.epoch))
    if row is None or row.acknowledged_at is not None or row.known_epoch != epoch:
        return False
    return bool(msgspec.convert(row.facts, Heads).reason.endswith(f" {backup_id}"))
