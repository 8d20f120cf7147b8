"""Grants of a restored database: what was used or taken back since it was copied stays so."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from grid.access.grants import MARKS
from grid.access.restored import put_right
from grid.access.tables import Grant
from grid.spending.record import Spent
from grid.storage.sql.database import Database
from tests.access.given import FIRST, granted

ANN = {"revoked_at": 5.0, "revoked_by": "ann"}


def restored(
    db: Database, facts: dict[str, Any], everything: bool = False, **conditions: Any
) -> tuple[int, Grant]:
    """What became of a grant of these conditions that the record says this of; how much was changed."""
    with db.transaction() as session:
        grant = granted(session, FIRST, **conditions)
        changed = put_right(session, Spent(marks={MARKS: {grant.id: facts}}), everything)
    with db.transaction() as session:
        return changed, session.scalars(select(Grant)).one()


def test_uses_since_then_are_used(db: Database) -> None:
    changed, grant = restored(db, {"uses_left": 1}, uses=3)
    assert (changed, grant.uses_left, grant.revoked_at) == (1, 1, None)


def test_no_use_comes_back(db: Database) -> None:
    changed, grant = restored(db, {"uses_left": 3}, uses=2)
    assert (changed, grant.uses_left) == (0, 2)


def test_what_is_not_counted_stays_so(db: Database) -> None:
    changed, grant = restored(db, {"uses_left": 1}, everything=True)
    assert (changed, grant.uses_left) == (0, None)


def test_what_was_taken_back_stays_so_by_whom_it_was(db: Database) -> None:
    changed, grant = restored(db, {"uses_left": 0, **ANN}, uses=1)
    assert (changed, grant.uses_left, grant.revoked_at, grant.revoked_by) == (2, 0, 5.0, "ann")


def test_without_the_whole_record_nothing_counted_is_left(db: Database) -> None:
    with db.transaction() as session:
        spent, unspent = granted(session, uses=0).id, granted(session, uses=7).id
        marks = {MARKS: {"f" * 32: {"uses_left": 0}}}  # of a grant that was given after the copy
        assert put_right(session, Spent(marks=marks), everything=True) == 1
    with db.transaction() as session:
        left = {each.id: each.uses_left for each in session.scalars(select(Grant))}
    assert left == {spent: 0, unspent: 0}
