"""How the two database engines are opened and set up."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from grid.storage.pool import CooperativePool
from syft_ext.errors import InvalidConfig

__all__ = ["parse_url", "postgresql_engine", "sqlite_engine"]

#: Connections to one PostgreSQL; its default ``max_connections`` is 100, for all replicas together.
POSTGRESQL_CONNECTIONS = 20
SQLITE_READERS = 32
BUSY_MILLISECONDS = 200


def parse_url(text: str) -> URL:
    """The URL with its driver: PostgreSQL always goes through psycopg 3.

    ``postgresql://``, ``postgres://`` and ``postgresql+psycopg2://`` are accepted; ``sqlite:///file`` needs
    a file, because its writer and its readers are separate connections. Raises :class:`InvalidConfig`.
    """
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise InvalidConfig("the database URL cannot be read") from error
    if url.drivername in {"postgresql", "postgres", "postgresql+psycopg2", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if not url.database or ":memory:" in url.database or url.database.startswith("file:"):
            raise InvalidConfig("SQLite needs a file: sqlite:///path/to/node.db")
        return url.set(drivername="sqlite+pysqlite")
    raise InvalidConfig("the database is SQLite or PostgreSQL", driver=url.drivername)


def postgresql_engine(url: URL) -> Engine:
    return create_engine(
        url,
        poolclass=CooperativePool,
        pool_size=POSTGRESQL_CONNECTIONS,
        connect_args={"connect_timeout": 10, "application_name": "grid"},
    )


def sqlite_engine(url: URL, *, begin: str, size: int, read_only: bool) -> Engine:
    """An engine on an SQLite file whose transactions start with ``begin``.

    ``synchronous=NORMAL`` in WAL mode: a commit survives the death of the process, and after a power cut
    the file is consistent; the last commits may be missing unless their transaction asked to be durable
    (:meth:`Database.transaction`), which syncs the log off the event loop. ``FULL`` would sync on it.
    The writer does not checkpoint by itself either, for the same reason (:mod:`grid.storage.checkpoint`).
    """
    assert url.database is not None
    _create_private(Path(url.database))
    engine = create_engine(
        url, poolclass=CooperativePool, pool_size=size, connect_args={"check_same_thread": False}
    )
    pragmas = [
        f"busy_timeout={BUSY_MILLISECONDS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "wal_autocheckpoint=0",
        *(["query_only=ON"] if read_only else []),
    ]
    event.listen(engine, "connect", _configure(pragmas))
    event.listen(engine, "begin", _begin(begin))
    return engine


def _create_private(path: Path) -> None:
    """Make the file for its owner only. An existing one is not opened: closing it drops SQLite's locks."""
    if not path.exists():
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            pass
        except OSError as error:
            raise InvalidConfig(f"the database file cannot be made: {error.strerror}") from error


def _configure(pragmas: list[str]) -> Callable[[sqlite3.Connection, Any], None]:
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # the driver starts no transaction behind our back
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    return configure


def _begin(statement: str) -> Callable[[Connection], None]:
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    return begin
