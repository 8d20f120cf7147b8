"""A key host's database that its node was told is a restored one: its ledger waits for a recovery."""

from __future__ import annotations

from sqlalchemy.orm import Session

from grid.key_host.tables import KeyHostState
from grid.spending.record import Spent

__all__ = ["put_right"]


def put_right(session: Session, spent: Spent, everything: bool) -> int:
    """As :data:`grid.spending.record.PutRight` says. What was granted since the copy, only the peers know."""
    state = session.get(KeyHostState, 1)
    if state is None or state.halted:
        return 0
    state.halted = "the database was restored: run `grid key-host recover`"
    session.flush()
    return 1
