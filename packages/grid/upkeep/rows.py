"""All rows of a database as plain values, and back into an empty one: SQLite or PostgreSQL, whichever it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Connection, Integer, MetaData, Table, func, insert, null, select, text
from sqlalchemy.orm import Session

from grid.schema import migrations
from grid.storage.sql.base import Base, require_complete
from syft_ext.errors import BadRequest, Conflict

__all__ = [
    "empty",
    "head_revision",
    "insert_rows",
    "known_revision",
    "revision_of",
    "settle_sequences",
    "tables_of",
]

_ROWS = 200
_REVISION = "alembic_version"
#: What no migration makes, and every node that was started.
_USED = ("installation", "audit_entries", "users", "blob")


def revision_of(session: Session | Connection) -> str:
    """Which revision of the schema a database has."""
    return str(session.scalar(text("SELECT version_num FROM alembic_version")) or "")


def head_revision() -> str:
    """The newest that this installation knows."""
    return str(_scripts().get_current_head())


def known_revision(revision: str) -> bool:
    """Whether this installation can make a database of that revision."""
    return any(script.revision == revision for script in _scripts().walk_revisions())


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(migrations.__file__).parent))


def tables_of(session: Session) -> Iterator[tuple[str, list[str], Iterator[list[list[Any]]]]]:
    """Each table: its name, its columns, and its rows some at a time. Tables come after those they refer to."""
    require_complete()
    for table in Base.metadata.sorted_tables:
        yield str(table.name), [str(column.name) for column in table.columns], _rows(session, table)


def _rows(session: Session, table: Table) -> Iterator[list[list[Any]]]:
    statement = select(table).execution_options(yield_per=_ROWS)
    for part in session.execute(statement).partitions():
        yield [list(row) for row in part]


def empty(connection: Connection) -> dict[str, Table]:
    """The tables of a database into which rows may be put; rows that migrations made are removed.

    Raises :class:`Conflict` for a database that somebody uses.
    """
    metadata = MetaData()
    metadata.reflect(connection)
    filled = [
        table
        for table in metadata.sorted_tables
        if table.name != _REVISION and connection.execute(select(table).limit(1)).first() is not None
    ]
    used = [table.name for table in filled if table.name in _USED]
    if used:
        raise Conflict(f"the database is not empty ({', '.join(used)}): restore into an empty one")
    for table in reversed(filled):
        connection.execute(table.delete())
    known = Base.metadata.tables if revision_of(connection) == head_revision() else metadata.tables
    return dict(known)


def insert_rows(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Put rows into a table of an empty database."""
    if any(name not in table.columns for name in columns):
        raise BadRequest(f"the backup's table {table.name} is not as its revision says")
    # SQL's NULL is no parameter of a JSON column: rows with one have a statement of their own.
    nullable = [
        name
        for name in columns
        if isinstance(table.columns[name].type, JSON) and table.columns[name].nullable
    ]
    plain = []
    for row in rows:
        values = dict(zip(columns, row, strict=True))
        nulls = {name: null() for name in nullable if values[name] is None}
        if nulls:
            connection.execute(insert(table).values({**values, **nulls}))
        else:
            plain.append(values)
    if plain:
        connection.execute(insert(table), plain)


def settle_sequences(connection: Connection, tables: dict[str, Table]) -> None:
    """PostgreSQL counts on from the rows that are there."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables.values():
        for column in table.primary_key.columns:
            if not isinstance(column.type, Integer):
                continue
            name = connection.scalar(
                text("SELECT pg_get_serial_sequence(:t, :c)"), {"t": table.name, "c": column.name}
            )
            last = connection.scalar(select(func.max(column)))
            if name is not None and last is not None:
                connection.execute(text("SELECT setval(:s, :v)"), {"s": name, "v": last})
