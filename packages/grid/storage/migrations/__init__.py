"""Alembic migrations, run from inside the package: ``Database.upgrade()``.

To add or change tables (one linear history, one file per step):

1. declare the tables on :class:`grid.storage.database.Base` in your concern's ``tables.py`` and add its
   import line to ``grid/storage/models.py``;
2. add ``versions/NNNN_concern.py`` with the next number: ``revision = "NNNN"``, ``down_revision`` = the
   number before it, ``upgrade()`` and ``downgrade()``. Look at ``0001_objects.py``. Give every constraint
   and index the name that the naming convention of ``Base`` gives it (``op.f(...)``).
   ``python -m grid.storage.migrations NNNN concern`` writes a first draft from the difference between
   models and migrations;
3. alter tables with ``op.batch_alter_table`` (SQLite cannot alter in place). A shipped revision is never
   edited.

``tests/storage/test_migrations.py`` checks on both engines that the migrations produce exactly what the
models declare and go down and up again.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

__all__ = ["downgrade", "draft", "upgrade"]

_LOCK = 0x67726964  # any number that only Grid uses


def config(connection: Connection) -> Config:
    """Alembic's configuration, without a file: where the scripts are and what to run them on."""
    result = Config()
    result.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    result.attributes["connection"] = connection
    return result


def upgrade(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        _take_turns(connection)
        command.upgrade(config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        _take_turns(connection)
        command.downgrade(config(connection), revision)


def draft(engine: Engine, number: str, concern: str) -> None:
    """Write ``versions/<number>_<concern>.py`` from the difference between models and ``engine``."""
    with engine.begin() as connection:
        command.revision(config(connection), message=concern, rev_id=number, autogenerate=True)


def _take_turns(connection: Connection) -> None:
    """Replicas start together; SQLite's BEGIN IMMEDIATE has the same effect."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
