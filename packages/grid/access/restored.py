"""Grants of a database that was restored: what was used, or taken back, since it was copied stays so."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.orm import Session

from grid.access.grants import MARKS
from grid.access.tables import Grant
from grid.spending.record import Spent

__all__ = ["put_right"]


def put_right(session: Session, spent: Spent, everything: bool) -> int:
    """As :data:`grid.spending.record.PutRight` says."""
    changed = 0
    for grant_id, facts in spent.of(MARKS).items():
        grant = session.get(Grant, grant_id)
        if grant is None:
            continue
        left, revoked_at = facts.get("uses_left"), facts.get("revoked_at")
        if left is not None and grant.uses_left is not None and left < grant.uses_left:
            grant.uses_left = left
            changed += 1
        if revoked_at is not None and grant.revoked_at is None:
            grant.revoked_at, grant.revoked_by = revoked_at, facts.get("revoked_by")
            changed += 1
    session.flush()
    if everything:
        left_over = Grant.uses_left.is_not(None) & (Grant.uses_left > 0)
        changed += session.execute(update(Grant).where(left_over).values(uses_left=0)).rowcount  # type: ignore[attr-defined]
    return changed
