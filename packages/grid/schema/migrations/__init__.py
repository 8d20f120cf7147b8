"""Alembic migrations, run from inside the package: ``grid.schema.upgrade``.

To add or change tables (one linear history, one file per step):

1. declare the tables on :class:`grid.storage.sql.database.Base` in your concern's ``tables.py`` and add its
   import line to ``grid/schema/tables.py``;
2. add ``versions/NNNN_concern.py`` with the next number: ``revision = "NNNN"``, ``down_revision`` = the
   number before it, ``upgrade()`` and ``downgrade()``. Look at ``0001_objects.py``. Give every constraint
   and index the name that the naming convention of ``Base`` gives it (``op.f(...)``).
   ``python -m grid.schema.migrations NNNN concern`` writes a first draft from the difference between
   models and migrations;
3. alter tables with ``op.batch_alter_table`` (SQLite cannot alter in place). A shipped revision is never
   edited.

``tests/schema/test_migrations.py`` checks on both engines that the migrations produce exactly what the
models declare and go down and up again.

It knows each step of the schema; a step must not use the tables' classes, which go on changing after it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

__all__ = ["downgrade", "draft", "newest", "upgrade"]


_FOLDER = Path(__file__).parent


@cache
def newest() -> str:
    """The last revision: a step's file begins with its number."""
    return max(path.name for path in (_FOLDER / "versions").glob("[0-9]*.py")).partition("_")[0]


def config(connection: Connection) -> Config:
    """Alembic's configuration, without a file: where the scripts are and what to run them on."""
    result = Config()
    result.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    result.attributes["connection"] = connection
    return result


def upgrade(connection: Connection, revision: str) -> None:
    """Bring the schema up to ``revision`` ("head": the newest), in the connection's transaction."""
    if revision == "head" and MigrationContext.configure(connection).get_current_revision() == newest():
        return  # most starts: the steps need not be read, which takes longer than all else of a start
    command.upgrade(config(connection), revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Take the schema back to ``revision`` ("base": nothing); what later tables held is lost."""
    command.downgrade(config(connection), revision)


def draft(connection: Connection, number: str, concern: str) -> None:
    """Write ``versions/<number>_<concern>.py`` from the difference between models and database."""
    command.revision(config(connection), message=concern, rev_id=number, autogenerate=True)
