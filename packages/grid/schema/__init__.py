"""All tables together, and the migrations that make them: the only room that knows every room.

It must not hold a rule of any of them. Whoever opens a node's database comes through here: :func:`upgrade` brings
its tables up to date, and with them every foreign key is known, which is what lets anything be deleted at all
(:mod:`grid.storage.objects.references`).
"""

from __future__ import annotations

from grid.schema import migrations
from grid.schema import tables as tables
from grid.storage.sql.base import declare_complete
from grid.storage.sql.database import Database

__all__ = ["downgrade", "upgrade"]

declare_complete()


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the tables to ``revision`` (Alembic). Replicas that start together take turns."""
    with database.migration() as connection:
        migrations.upgrade(connection, revision)


def downgrade(database: Database, revision: str) -> None:
    """Take the tables back to ``revision`` ("base" is the empty database)."""
    with database.migration() as connection:
        migrations.downgrade(connection, revision)
