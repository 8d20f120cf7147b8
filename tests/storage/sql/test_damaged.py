"""A database whose pages are not what they were: told by its own error, whatever is asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from grid.concurrency.passing import is_passing
from grid.storage.sql.database import Database
from grid.storage.sql.faults import damaged, passing
from syft_ext.errors import DatabaseDamaged

PAGE = 4096


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2 // PAGE * PAGE]


def other_head(data: bytes) -> bytes:
    return b"no database" + data[11:]


def other_pages(data: bytes) -> bytes:
    return data[:PAGE] + b"\xa5" * (len(data) - PAGE)


@pytest.fixture(params=[cut, other_head, other_pages])
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A database that was well, and is damaged when it is opened again."""
    path = tmp_path / "x.db"
    before = Database(f"sqlite:///{path}")
    with before.transaction() as session:
        session.execute(text("CREATE TABLE much (value TEXT)"))
        for _ in range(200):
            session.execute(text("INSERT INTO much VALUES (:value)"), {"value": "x" * 3000})
    before.close()
    path.write_bytes(request.param(path.read_bytes()))
    return Database(f"sqlite:///{path}")


def _in_a_session(database: Database) -> None:
    with database.read() as session:
        session.execute(text("SELECT sum(length(value)) FROM much")).all()


def _to_write(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("UPDATE much SET value = value || 'y'"))


def _to_upgrade(database: Database) -> None:
    with database.migration() as connection:
        connection.execute(text("ALTER TABLE much ADD COLUMN more TEXT"))
        connection.execute(text("UPDATE much SET more = value"))


@pytest.mark.parametrize("use", [_in_a_session, _to_write, _to_upgrade])
def test_it_is_told_by_its_own_error(broken: Database, use: Callable[[Database], None]) -> None:
    for _ in range(2):
        with pytest.raises(DatabaseDamaged, match="Restore it from a backup") as found:
            use(broken)
        assert not is_passing(found.value), "nobody waits until it is over"
    broken.close()


@pytest.mark.parametrize("state", ["XX001", "XX002"])
def test_postgresql_says_it_by_its_state(state: str) -> None:
    class DataCorrupted(Exception):
        sqlstate = state

    error = DBAPIError("SELECT 1", None, DataCorrupted("invalid page in block 7 of relation base/5/1259"))
    found = damaged(error)
    assert isinstance(found, DatabaseDamaged) and "invalid page in block 7" in found.detail
    assert passing(error) is None


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CONSTRAINT])
def test_other_errors_are_no_damage(code: int) -> None:
    error = sqlite3.OperationalError("something else")
    error.sqlite_errorcode = code
    assert damaged(error) is None
    assert damaged(DBAPIError("SELECT 1", None, error)) is None
    assert damaged(DBAPIError("SELECT 1", None, Exception("without a state"))) is None
    assert damaged(ValueError("none of a database")) is None
