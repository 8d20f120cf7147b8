"""Grants as one table: shown, spent once, and never beyond what they say."""

from __future__ import annotations

from typing import Any

import pytest

from grid.access.grants import (
    check_room,
    grant_view,
    locked,
    of_request,
    shown_to,
    spend,
    take_back,
    take_back_request,
    to_spend,
    uses_left,
)
from grid.access.tables import Grant
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.database import Database
from syft_ext.errors import Forbidden, TooLarge
from syft_ext.store.content import MATCHED
from tests.access.given import FIRST, NOW, OTHER, OWNER, SECOND, USER, granted


def test_the_last_use_is_spent_once(db: Database) -> None:
    with db.transaction() as session:
        grant = granted(session, uses=1).id
        unlimited = granted(session, SECOND).id
    with db.transaction() as session:
        spend(session, [grant, unlimited], now=NOW)
        assert uses_left(session, [grant, unlimited]) == 0 and uses_left(session, [unlimited]) is None
    with pytest.raises(Forbidden, match="used up, expired or revoked"), db.transaction() as session:
        spend(session, [grant, unlimited], now=NOW)


def test_nothing_is_spent_of_what_has_expired_or_was_taken_back(db: Database) -> None:
    with db.transaction() as session:
        late, gone = granted(session, expires_at=NOW + 1).id, granted(session, SECOND).id
        found = locked(session, gone)
        assert found is not None
        take_back(session, found, OWNER, NOW)
        take_back(session, found, OTHER, NOW + 5)
        view = grant_view(found, NOW)
        assert (view.revoked_at, view.state) == (NOW, "revoked"), "taking it back twice changes nothing"
    for grant in (late, gone):
        with pytest.raises(Forbidden), db.transaction() as session:
            spend(session, [grant], now=NOW + 2)


def test_what_two_tables_have_in_common_is_granted_to_nobody(db: Database) -> None:
    with db.transaction() as session:
        matched = session.get_one(ObjectRow, FIRST)
        matched.kind = MATCHED
        session.flush()
        with pytest.raises(Forbidden, match="granted to nobody"):
            granted(session)
        granted(session, SECOND)


def test_no_more_leaves_at_once_than_each_grant_lets_out(db: Database) -> None:
    with db.transaction() as session:
        small = granted(session, max_output_bytes=10).id
        large = granted(session, SECOND, max_output_bytes=100).id
        check_room(session, [small, large], 10)
        check_room(session, [large], 100)
        with pytest.raises(TooLarge, match="more than your grant allows"):
            check_room(session, [small, large], 11)


def test_grants_are_shown_to_who_holds_them_or_could_have_given_them(db: Database) -> None:
    with db.transaction() as session:
        mine = granted(session).id
        theirs = granted(session, SECOND, OTHER).id

    def shown(user_id: str, **query: Any) -> set[str]:
        with db.read() as session:
            reviewer = query.pop("reviewer", False)
            return {grant.id for grant in session.scalars(shown_to(user_id, reviewer=reviewer, **query))}

    assert shown(USER) == {mine} and shown(OTHER) == {theirs} and shown("e" * 32) == set()
    assert shown(OWNER) == shown("e" * 32, reviewer=True) == {mine, theirs}
    assert shown(OWNER, object_id=SECOND) == shown("e" * 32, reviewer=True, object_id=SECOND) == {theirs}
    assert shown(USER, object_id=SECOND) == set()


def test_what_the_approval_of_a_request_gave_is_found_and_taken_back_together(db: Database) -> None:
    with db.transaction() as session:
        theirs = granted(session, request_id="r", uses=1, inputs={"x": {"object_id": FIRST, "tensor": "w"}})
        second = granted(session, SECOND, request_id="r", inputs={"y": {"object_id": SECOND, "tensor": ""}})
        others = granted(session, request_id="s")
        before = granted(session, SECOND, request_id="r", user_id=OTHER)
        take_back(session, before, OWNER, NOW)
        assert grant_view(theirs, NOW).inputs == [f"x={FIRST}:w"]
        assert grant_view(second, NOW).inputs == [f"y={SECOND}"]
        first, last = {FIRST: theirs.id}, {SECOND: second.id}
        ids = theirs.id, second.id, others.id, before.id
    with db.transaction() as session:
        assert of_request(session, "r", USER, now=NOW, used=False) == first | last
        assert of_request(session, "r", OTHER, now=NOW, used=True) == {}
        spend(session, [ids[0]], now=NOW)
        assert of_request(session, "r", USER, now=NOW, used=False) == last
        assert of_request(session, "r", USER, now=NOW, used=True) == first | last
        take_back_request(session, "r", OTHER, NOW + 1)
    with db.transaction() as session:
        assert of_request(session, "r", USER, now=NOW, used=True) == {}
        found = {each: session.get_one(Grant, each) for each in ids}
        by = [(each.revoked_by, each.revoked_at) for each in found.values()]
    assert by == [(OTHER, NOW + 1), (OTHER, NOW + 1), (None, None), (OWNER, NOW)]


def test_loading_for_computing_costs_counted_grants_for_computing_one_use(db: Database) -> None:
    with db.transaction() as session:
        counted = granted(session, uses=2)
        reading, unlimited, again = granted(session, uses=2), granted(session), granted(session, uses=2)
        for grant in (counted, unlimited, again):
            grant.scope = "compute"
        session.flush()
        every = [counted.id, reading.id, unlimited.id, again.id]
        assert to_spend(session, every, [again.id]) == [counted.id]
        assert to_spend(session, every, []) == sorted([counted.id, again.id])
        assert to_spend(session, every, every) == []
