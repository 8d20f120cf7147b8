"""How the two database engines are opened and set up."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from grid.storage.sql.connections import DriverConnectionPool
from grid.storage.sql.pace import ServerPatience
from grid.storage.sql.pool import CooperativePool
from syft_ext.errors import InvalidConfig, Unavailable

__all__ = [
    "parse_url",
    "postgresql_driver_connections",
    "postgresql_engine",
    "sqlite_driver_connections",
    "sqlite_engine",
    "unhurried",
]

T = TypeVar("T")

#: Connections to one PostgreSQL; its default ``max_connections`` is 100, for all replicas together.
POSTGRESQL_CONNECTIONS = 14
CONNECT_SECONDS = 10.0
POSTGRESQL_DRIVER_CONNECTIONS = 6
SQLITE_READERS = 32
SQLITE_DRIVER_CONNECTIONS = 16
BUSY_MILLISECONDS = 50
_BUSY_SECONDS = 30.0


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


def postgresql_engine(url: URL, pace: ServerPatience) -> Engine:
    """An engine whose pool waits cooperatively, of ``POSTGRESQL_CONNECTIONS`` at most, at ``pace``."""
    import psycopg

    from grid.storage.sql.postgresql import TimedConnection

    engine = create_engine(
        url,
        poolclass=CooperativePool,
        pool_size=POSTGRESQL_CONNECTIONS,
        connect_args={"application_name": "grid"},
    )

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: Any, parameters: Any) -> Any:
        if pace.given_up:
            raise psycopg.OperationalError("the database did not answer, and the node stops")
        seconds = max(2, round(pace.limit(CONNECT_SECONDS)))  # libpq takes whole ones, two at least
        connection = TimedConnection.connect(*arguments, **{"connect_timeout": seconds, **parameters})
        connection.pace = pace
        return connection

    return engine


def unhurried(connection: Connection) -> None:
    """Let the statements of this connection take as long as they do: migrations wait for one another."""
    connection.connection.driver_connection.patience = None  # type: ignore[union-attr]
    connection.detach()  # it is nobody else's


def sqlite_engine(url: URL, *, begin: str, size: int, read_only: bool) -> Engine:
    """An engine on an SQLite file whose transactions start with ``begin``.

    ``synchronous=NORMAL`` in WAL mode: a commit survives the death of the process, and after a power cut
    the file is consistent; the last commits may be missing unless their transaction asked to be durable
    (:meth:`Database.transaction`), which syncs the log off the event loop. ``FULL`` would sync on it.
    The writer does not checkpoint by itself either, for the same reason (:mod:`grid.storage.sql.wal`).
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


def postgresql_driver_connections(engine: Engine) -> DriverConnectionPool:
    """Connections that cannot write and in which each statement is a transaction: no round trips around it."""

    def connect() -> Connection:
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        connection.detach()
        return connection

    return DriverConnectionPool(connect, POSTGRESQL_DRIVER_CONNECTIONS)


def sqlite_driver_connections(readers: Engine) -> DriverConnectionPool:
    """Connections that cannot write. A single statement needs no BEGIN: it is a transaction of its own."""

    def connect() -> Connection:
        connection = readers.connect()
        connection.detach()
        return connection

    return DriverConnectionPool(connect, SQLITE_DRIVER_CONNECTIONS)


def begin_immediate(begin: Callable[[], T]) -> T:
    """What ``begin`` returns, which starts a write transaction; another *process* may be writing: wait for it.

    SQLite's own waiting would stop the event loop, so it gives up early and this sleeps between tries.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return begin()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            if time.monotonic() > deadline:
                raise Unavailable("another process keeps the database locked") from error
            time.sleep(0.005)


@contextmanager
def without_foreign_keys(connection: Connection) -> Iterator[None]:
    """Suspend SQLite's foreign keys: a migration that rebuilds a table drops the old one, and the drop
    would cascade to the rows that refer to it. :func:`check_foreign_keys` makes up for it."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.rollback()
        driver.execute("PRAGMA foreign_keys=ON")


def check_foreign_keys(connection: Connection) -> None:
    """Refuse to commit a migration that leaves a row referring to nothing."""
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise RuntimeError(f"the migration breaks a foreign key of table {broken[0]}")


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
            # The first to turn on the write-ahead log needs the file for itself: others may be doing the same.
            begin_immediate(partial(connection.execute, f"PRAGMA {pragma}"))

    return configure


def _begin(statement: str) -> Callable[[Connection], None]:
    def begin(connection: Connection) -> None:
        # Straight to the driver: this runs in every transaction, and there is nothing to compile.
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute(statement)

    return begin
