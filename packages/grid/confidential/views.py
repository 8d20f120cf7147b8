"""Rounds as people see them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from grid.confidential.tables import ConfidentialRound
from grid.federated.state import tables as t
from grid.federated.state.machines import cycle as cycles
from grid.storage.sql.database import Database
from syft_ext.messages import confidential as m

__all__ = ["rounds_of"]

_ENDED = {str(status) for status in cycles.TERMINAL if status is not cycles.CycleStatus.COMPLETED}


def rounds_of(database: Database, process_id: str, waiting: str) -> list[m.ConfidentialRound]:
    """The rounds of a training, in order. ``waiting``: what the next one waits for, "" for nothing."""
    query = (
        select(ConfidentialRound, t.Cycle.sequence, t.Cycle.status)
        .outerjoin(t.Cycle, t.Cycle.id == ConfidentialRound.cycle_id)
        .where(ConfidentialRound.process_id == process_id)
        .order_by(ConfidentialRound.sequence)
    )
    with database.read() as session:
        return [_view(row, number, status, waiting) for row, number, status in session.execute(query)]


def _view(
    row: ConfidentialRound, number: int | None, status: str | None, waiting: str
) -> m.ConfidentialRound:
    state: Any = row.state
    reason = row.reason
    if state not in ("released", "failed") and status in _ENDED:
        state, reason = "failed", f"its cycle is {status}"
    elif state == "asked":
        reason = waiting
    return m.ConfidentialRound(
        sequence=row.sequence,
        state=state,
        cycle=number or 0,
        checkpoint=row.checkpoint or 0,
        upload_until=row.upload_until or 0.0,
        erase_at=row.erase_at or 0.0,
        manifest=row.manifest_digest or "",
        uploads=row.uploads,
        reason=reason,
    )
