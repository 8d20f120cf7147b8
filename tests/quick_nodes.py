"""What makes nodes of tests ready sooner than an operator's: passwords that cost little, and tables that were made
once and are written down again.

All nodes of this process have both (``tests/conftest.py``), and those that are forked (:mod:`tests.forkserver`).
What passwords cost is tested in ``tests/accounts/test_sessions.py``, the steps of the tables in ``tests/schema``,
which takes them as deployed, and a real start in ``tests/apps/test_start.py``.
"""

from __future__ import annotations

import sqlite3
import tempfile
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from sqlalchemy import Connection, inspect

import grid.schema  # noqa: F401 - all tables
from grid.accounts.service import PASSWORDS
from grid.schema import migrations
from grid.storage.sql.database import Database

__all__ = ["have_cheap_passwords", "have_quick_tables", "step_by_step", "tables"]

step_by_step = migrations.upgrade
"""How a deployed node makes its tables."""


def have_cheap_passwords() -> None:
    """A hash takes microseconds instead of 64 MiB and a good part of a second."""
    PASSWORDS.hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


def have_quick_tables() -> None:
    """From now on an empty SQLite database gets its tables as the migrations made them once in this process."""
    migrations.upgrade = _upgrade


def _upgrade(connection: Connection, revision: str) -> None:
    if revision != "head" or connection.dialect.name != "sqlite" or inspect(connection).get_table_names():
        step_by_step(connection, revision)
        return
    for statement in tables():
        connection.exec_driver_sql(statement)


@cache
def tables() -> list[str]:
    """The statements that make them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        database = Database(f"sqlite:///{path}")
        with database.migration() as connection:
            step_by_step(connection, "head")
        database.close()
        made = sqlite3.connect(path)
        # Its own transaction is not wanted: that of the migration is around it.
        statements = [line for line in made.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;")]
        made.close()
    return statements
