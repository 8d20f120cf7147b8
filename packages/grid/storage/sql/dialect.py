"""The one statement in which SQLite and PostgreSQL differ for us: INSERT … ON CONFLICT."""

from __future__ import annotations

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session

__all__ = ["insert", "table_of"]


def insert(session: Session, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT with ``on_conflict_do_nothing`` and ``on_conflict_do_update``, for the session's engine."""
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


def table_of(model: type[DeclarativeBase]) -> Table:
    """A model's table: its statements do not pass through the ORM's unit of work and cost half as much."""
    table = model.__table__
    assert isinstance(table, Table)
    return table
