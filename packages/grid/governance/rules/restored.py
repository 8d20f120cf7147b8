"""Rules of a database that was restored: what they have given away since it was copied counts."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.orm import Session

from grid.governance.decisions.tables import RequestRule
from grid.governance.rules.answering import MARKS
from grid.spending.record import Spent

__all__ = ["put_right"]

_QUOTAS = ("times_left", "elements_left")


def put_right(session: Session, spent: Spent, everything: bool) -> int:
    """As :data:`grid.spending.record.PutRight` says."""
    changed = 0
    for rule_id, facts in spent.of(MARKS).items():
        rule = session.get(RequestRule, rule_id)
        for name in _QUOTAS if rule is not None else ():
            left, now = facts.get(name), getattr(rule, name)
            if left is not None and now is not None and left < now:
                setattr(rule, name, left)
                changed += 1
    session.flush()
    if everything:
        for name in _QUOTAS:
            column = getattr(RequestRule, name)
            statement = update(RequestRule).where(column.is_not(None), column > 0).values({name: 0})
            changed += session.execute(statement).rowcount  # type: ignore[attr-defined]
    return changed
