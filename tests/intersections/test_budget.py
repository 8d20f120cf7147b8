"""The budget of ids, on both databases: nobody gets the last of it twice, and a restore gives none of it back."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from grid.governance.intersections import restored
from grid.governance.intersections.budget import spend_ids, spent_of
from grid.spending.record import Spent
from grid.storage.sql.database import Database
from syft_ext.errors import Forbidden

TABLE = {"object:1", "content:2", "asset:3/4"}


def spend(database: Database, ids: int, most: int, **changes: Any) -> None:
    given: dict[str, Any] = {"user_id": "1" * 32, "peer": "ab" * 32, "members": TABLE}
    with database.transaction() as session:
        spend_ids(session, ids=ids, most=most, **given | changes)


def test_racers_for_the_last_ids(database: Database) -> None:
    """Of six that want ten ids each where twenty-five are left, two have them, though each is another user."""
    start, taken, refused = threading.Barrier(6), [], []

    def race(number: int) -> None:
        start.wait()
        try:
            spend(database, 10, 25, user_id=f"{number:032x}")
            taken.append(number)
        except Forbidden:
            refused.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(refused)) == (2, 4)
    with database.read() as session:
        found = spent_of(session, TABLE)
    assert found[f"node:{'ab' * 32}"] == 20 and sum(found.values()) == 40  # who was refused paid nothing


def test_neither_users_nor_domains_are_made_up_for_more(database: Database) -> None:
    spend(database, 10, 10)
    with pytest.raises(Forbidden, match="the other Domain"):
        spend(database, 1, 10, user_id="2" * 32)
    with pytest.raises(Forbidden, match="you may not"):
        spend(database, 1, 10, peer="cd" * 32)
    with pytest.raises(Forbidden):
        spend(database, 1, 10, members={"content:2"})  # a copy
    with pytest.raises(Forbidden):
        spend(database, 1, 10, members={"asset:3/4", "object:5"})  # another version
    spend(database, 10, 10, members={"object:6"})
    spend(database, 1, 11)  # the owner gives more


def test_what_was_tested_stays_so_in_a_restored_database(database: Database) -> None:
    spend(database, 10, 200)
    key = f"node:{'ab' * 32} object:1"
    spent = Spent(marks={"intersection": {key: {"spent": 150}}})
    with database.transaction() as session:
        assert restored.put_right(session, spent, False) == 1
        assert restored.put_right(session, spent, False) == 0
    with pytest.raises(Forbidden):
        spend(database, 60, 200)
    spend(database, 50, 200)


def test_where_the_record_lacks_something_all_counts_as_tested(database: Database) -> None:
    with database.transaction() as session:
        assert restored.put_right(session, Spent(), True) == 1
    stranger = {"peer": "ef" * 32, "user_id": "7" * 32, "members": {"object:9"}}
    with pytest.raises(Forbidden):
        spend(database, 1, 200_000, **stranger)
    spend(database, 5, 200_005, **stranger)  # the owner says how much more may be
    with pytest.raises(Forbidden):
        spend(database, 1, 200_005, **stranger)
