"""What is remembered of the database is never older than the database, whoever changes it."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from grid import schema
from grid.storage.objects.tables import BlobRow
from grid.storage.sql.cache import CommitScopedCache
from grid.storage.sql.database import Database
from grid.storage.sql.dialect import table_of
from tests.conftest import throw_away_database

BLOBS = table_of(BlobRow)
STEPS = ["own", "other", "raw", "rolled back", "read", "read", "reopen"]


def begin(url: str) -> Database:
    database = Database(url)
    schema.upgrade(database)
    with database.transaction() as session:
        session.execute(insert(BLOBS), {"digest": "n" * 64, "size": 0})
    return database


def write(database: Database, value: int) -> None:
    with database.transaction() as session:
        session.execute(update(BLOBS).values(size=value))


def size(database: Database) -> int | None:
    with database.read() as session:
        return session.scalar(select(BLOBS.c.size))


class Asked:
    """A question to a database, and how often it was asked."""

    def __init__(self, database: Database) -> None:
        self.database, self.times = database, 0

    def __call__(self) -> int | None:
        self.times += 1
        return size(self.database)


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.sampled_from(["own", "other", "raw", "rolled back", "read", "read", "reopen"]), max_size=25
    )
)
def test_an_answer_is_that_of_the_database(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("fresh") / "with space?.db"
    database = begin(f"sqlite:///{path}".replace("?", "%3F"))
    assert database.url.database is not None
    other = Database(str(database.url))
    known, asked = CommitScopedCache(database), Asked(database)
    for number, step in enumerate(steps, 1):
        if step == "own":
            write(database, number)
        elif step == "other":
            write(other, number)
        elif step == "raw":  # nothing of ours knows of it
            with sqlite3.connect(database.url.database) as connection:
                connection.execute("UPDATE blob SET size = ?", (number,))
            connection.close()
        elif step == "rolled back":
            with pytest.raises(ZeroDivisionError), database.transaction() as session:
                session.execute(update(BLOBS).values(size=number))
                _ = 1 // 0
        elif step == "reopen":
            database.close()
        assert known.get("size", asked) == size(database)
    other.close()
    database.close()


def test_nothing_is_asked_twice_between_commits(tmp_path: Path) -> None:
    database = begin(f"sqlite:///{tmp_path / 'a.db'}")
    known, asked = CommitScopedCache(database, capacity=2), Asked(database)
    assert [known.get("size", asked) for _ in range(5)] == [0] * 5
    assert asked.times == 1
    write(database, 7)
    assert [known.get("size", asked) for _ in range(5)] == [7] * 5
    assert asked.times == 2
    for name in "abcd":  # no more than it has room for
        known.get(name, asked)
    assert known.get("size", asked) == 7 and asked.times == 6
    known.get("d", asked)
    assert asked.times == 7
    database.close()


def test_a_commit_while_the_answer_is_read_is_not_missed(tmp_path: Path) -> None:
    database = begin(f"sqlite:///{tmp_path / 'a.db'}")
    known = CommitScopedCache(database)

    def read_slowly() -> int | None:
        found = size(database)
        thread = threading.Thread(target=write, args=(database, 9))
        thread.start()
        thread.join()
        return found

    assert known.get("size", read_slowly) == 0
    assert known.get("size", lambda: size(database)) == 9
    database.close()


def test_a_database_that_cannot_be_read_remembers_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'none.db'}")
    (tmp_path / "none.db").unlink()
    assert database.version() is None
    known = CommitScopedCache(database)
    assert [known.get("x", lambda value=value: value) for value in range(3)] == [0, 1, 2]  # type: ignore[misc]
    database.close()


@pytest.mark.postgres
def test_postgresql_is_asked_every_time() -> None:
    with throw_away_database() as url:
        database = begin(url)
        known, asked = CommitScopedCache(database), Asked(database)
        assert database.version() is None
        assert [known.get("size", asked) for _ in range(3)] == [0] * 3 and asked.times == 3
        database.close()
