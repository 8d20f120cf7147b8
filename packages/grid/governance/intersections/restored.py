"""Budgets of ids in a database that was restored: what was tested since it was copied stays so."""

from __future__ import annotations

from sqlalchemy.orm import Session

from grid.access.policy import current_policy
from grid.governance.intersections.budget import EVERYBODY, MARKS
from grid.governance.intersections.tables import IntersectionBudget
from grid.spending.record import Spent

__all__ = ["put_right"]


def put_right(session: Session, spent: Spent, everything: bool) -> int:
    """As :data:`grid.spending.record.PutRight` says. Where the record lacks something, all that the policy gives
    counts as tested, by everybody: an owner who raises ``intersection_ids`` says how much more may be."""
    wanted = {key: facts["spent"] for key, facts in spent.of(MARKS).items()}
    if everything:
        wanted[f"{EVERYBODY} {EVERYBODY}"] = current_policy(session).intersection_ids
    changed = 0
    for key, most in wanted.items():
        who, _, member = key.partition(" ")
        row = session.get(IntersectionBudget, (who, member))
        if row is None:
            row = IntersectionBudget(who=who, member=member, spent=0)
            session.add(row)
        changed += row.spent < most
        row.spent = max(row.spent, most)
    session.flush()
    return changed
