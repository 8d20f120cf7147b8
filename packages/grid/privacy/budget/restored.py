"""Budgets of users in a database that was restored: what was spent since it was copied stays spent."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.orm import Session

from grid.privacy.budget.service import MARKS
from grid.privacy.budget.tables import PrivacyBudget
from grid.spending.record import Spent

__all__ = ["put_right"]


def put_right(session: Session, spent: Spent, everything: bool) -> int:
    """As :data:`grid.spending.record.PutRight` says. A budget that was first granted after the copy was made is
    one that is all spent: whoever grants it anew says how much it is in all."""
    changed = 0
    for user_id, facts in spent.of(MARKS).items():
        row = session.get(PrivacyBudget, user_id)
        if row is None:
            row = PrivacyBudget(user_id=user_id, granted=0, spent=0, changed_at=0.0, changed_by="")
            session.add(row)
        before = row.granted, row.spent
        least = max(row.spent, facts["spent"])
        granted = min(row.granted, facts["granted"]) if facts.get("granted") is not None else row.granted
        row.granted, row.spent = max(granted, least), least  # no moment in which more is spent than granted
        changed += (row.granted, row.spent) != before
        session.flush()
    if everything:
        left = PrivacyBudget.spent < PrivacyBudget.granted
        values = {"spent": PrivacyBudget.granted}
        changed += session.execute(update(PrivacyBudget).where(left).values(values)).rowcount  # type: ignore[attr-defined]
    return changed
