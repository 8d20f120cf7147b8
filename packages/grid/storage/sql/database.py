"""The database of a node: embedded SQLite, or PostgreSQL when several replicas share one.

    db = Database("sqlite:///home/node.db")
    schema.upgrade(db)                      # :mod:`grid.schema`
    with db.transaction() as session:       # commits on exit, rolls back on error
        session.execute(update(Task).where(Task.id == id, Task.state == "open").values(state="closed"))
    with db.read() as session:              # cannot write
        tasks = session.scalars(select(Task)).all()
    rows = db.query(PREPARED, {"id": id}).all()        # one statement, for a tenth of that
    with db.writing() as connection:        # a transaction of prepared statements
        CLOSE.run(connection, {"id": id})
    db.run(lambda session: close_cycle(session, id))   # a transaction that is run again on a conflict

Writers on SQLite take turns under one cooperative lock, so that a greenlet never waits *inside* SQLite,
where it would stop the event loop. On PostgreSQL transactions are READ COMMITTED; state moves by
compare-and-set (``UPDATE … WHERE state = …``, then look at ``rowcount``).
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from grid.concurrency.offload import Lock
from grid.storage.sql.base import Base
from grid.storage.sql.change_counter import ChangeCounter
from grid.storage.sql.connections import DriverConnection
from grid.storage.sql.engines import (
    SQLITE_READERS,
    begin_immediate,
    check_foreign_keys,
    parse_url,
    postgresql_driver_connections,
    postgresql_engine,
    sqlite_driver_connections,
    sqlite_engine,
    unhurried,
    without_foreign_keys,
)
from grid.storage.sql.faults import damaged, passing
from grid.storage.sql.pace import ServerPatience
from grid.storage.sql.prepared import PreparedStatement, StatementResult
from grid.storage.sql.wal import WriteAheadLog

__all__ = ["Base", "Database"]

T = TypeVar("T")

#: PostgreSQL: serialization_failure, deadlock_detected.
_CONFLICTS = {"40001", "40P01"}
_ATTEMPTS = 5
_MIGRATION_LOCK = 0x67726964  # any number that only Grid uses


class Database:
    """One database and its transactions.

    Args:
        url: ``sqlite:///path`` or ``postgresql://…`` (:func:`grid.storage.sql.engines.parse_url`).

    Raises :class:`InvalidConfig` for any other URL.
    """

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        self._writer: Connection | None = None
        self._pace = ServerPatience()
        self.dialect = self.url.get_backend_name()
        if self.dialect == "sqlite":
            self.engine = sqlite_engine(self.url, begin="BEGIN IMMEDIATE", size=2, read_only=False)
            self._readers = sqlite_engine(self.url, begin="BEGIN", size=SQLITE_READERS, read_only=True)
            self._driver_connections = sqlite_driver_connections(self._readers)
            assert self.url.database is not None
            self._log = WriteAheadLog(Path(self.url.database))
            self._changes = ChangeCounter(Path(self.url.database))
            self._write_lock: Lock | None = Lock()
        else:
            self.engine = postgresql_engine(self.url, self._pace)
            self._readers = self.engine.execution_options(
                postgresql_readonly=True, isolation_level="REPEATABLE READ"
            )
            self._driver_connections = postgresql_driver_connections(self.engine)
            self._write_lock = None
        self._inside: set[int] = set()
        #: Transactions that this process has committed. Whoever caches a decision asks again when it moved.
        self.commits = 0

    # -- transactions -------------------------------------------------------------------------------

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[Session]:
        """A transaction that commits on exit and rolls back on error.

        It must be short: on SQLite everybody else waits. It cannot be opened inside another one: pass the
        session on instead. Raises :class:`Unavailable` when the database cannot be reached.

        Args:
            durable: return only when the commit would survive a power cut. Without it, SQLite's commit
                survives the death of the process; PostgreSQL's is always durable. Concurrent durable
                commits share one sync.
        """
        with self._turn(), Session(self._bind(), expire_on_commit=False) as session:
            try:
                if self._write_lock is not None:
                    begin_immediate(session.connection)
                yield session
                session.commit()
            except BaseException:
                self._undo(session)
                raise
            self.committed()
        if durable:
            self.sync()

    def sync(self) -> None:
        """Return when all that was committed before would survive a power cut (PostgreSQL's commits would)."""
        if self._write_lock is not None:
            self._log.sync()

    def fold(self) -> None:
        """Take what was overwritten out of SQLite's log as well; PostgreSQL's is its operator's."""
        if self._write_lock is not None:
            self._log.fold()

    def writing(self) -> WriteTransaction:
        """As :meth:`transaction`, for prepared statements alone: for a fraction of what a session costs."""
        return WriteTransaction(self)

    def begin(self) -> tuple[DriverConnection, Connection | None]:
        """The driver's connection in a new transaction, and what to close afterwards."""
        if self._write_lock is None:
            connection = self.engine.connect()  # psycopg begins by itself
            return DriverConnection(connection), connection
        driver_connection = DriverConnection(self._own_writer())
        begin_immediate(lambda: driver_connection.driver.execute("BEGIN IMMEDIATE"))
        return driver_connection, None

    def _undo(self, session: Session) -> None:
        """Leave nothing of a transaction that failed: a COMMIT then ends neither SQLAlchemy's nor SQLite's."""
        with contextlib.suppress(SQLAlchemyError, sqlite3.Error):
            session.rollback()
        writer = self._writer
        if self._write_lock is None or writer is None:
            return
        try:
            if writer.in_transaction():
                writer.rollback()
            DriverConnection(writer).driver.rollback()
        except (SQLAlchemyError, sqlite3.Error):
            self._writer = None  # the next one gets another
            with contextlib.suppress(SQLAlchemyError, sqlite3.Error):
                writer.invalidate()
                writer.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The caller's turn to write; it stands in no other transaction of the caller."""
        self.take_turn()
        try:
            with _UNWRITABLE:
                yield
        finally:
            self.end_turn()

    def take_turn(self) -> None:
        """Wait for the caller's turn to write. Raises ``RuntimeError`` inside a transaction."""
        me = threading.get_ident()  # of the greenlet, under gevent
        if me in self._inside:
            raise RuntimeError("a transaction inside a transaction: pass the session on instead")
        if self._write_lock is not None:
            self._write_lock.acquire()
        self._inside.add(me)

    def end_turn(self) -> None:
        """Let the next one write."""
        self._inside.discard(threading.get_ident())
        if self._write_lock is not None:
            self._write_lock.release()

    def committed(self) -> None:
        """Count a commit that has just happened."""
        self.commits += 1
        if self._write_lock is not None:
            self._log.committed()

    @property
    def inside(self) -> bool:
        """Whether the caller is inside a transaction of this database."""
        return threading.get_ident() in self._inside

    def _bind(self) -> Engine | Connection:
        """What a transaction runs on. SQLite's only writer stays checked out: that saves a third of the time."""
        return self.engine if self._write_lock is None else self._own_writer()

    def _own_writer(self) -> Connection:
        if self._writer is None:
            self._writer = self.engine.connect()
        return self._writer

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that cannot write and that sees one snapshot of the whole database."""
        with _UNAVAILABLE, Session(self._readers, autoflush=False, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[DriverConnection]:
        """A connection that cannot write, for prepared statements; each sees what is committed by then."""
        with _UNAVAILABLE, self._driver_connections.lend() as driver_connection:
            yield driver_connection

    def query(self, statement: PreparedStatement, values: dict[str, Any] | None = None) -> StatementResult:
        """The rows of one prepared statement, which cannot write."""
        with _UNAVAILABLE:
            if self._write_lock is not None and statement.selects and self._write_lock.try_acquire():
                # Nobody writes: the writer has the pages in memory that other connections must read anew
                # after each commit, which costs more than the rest of a small query.
                try:
                    return statement.run(DriverConnection(self._own_writer()), values or {})
                finally:
                    self._write_lock.release()
            with self._driver_connections.lend() as driver_connection:
                return statement.run(driver_connection, values or {})

    def run(self, fn: Callable[[Session], T], *, durable: bool = False) -> T:
        """Run ``fn`` in a transaction; run it again when the database refused it for a conflict.

        ``fn`` may be called several times and must do nothing outside its session.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self.transaction(durable=durable) as session:
                    return fn(session)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _CONFLICTS or attempt == _ATTEMPTS:
                    raise
                time.sleep(0.005 * 2**attempt)
        raise AssertionError("unreachable")

    # -- life ---------------------------------------------------------------------------------------

    @contextmanager
    def migration(self) -> Iterator[Connection]:
        """One transaction around all steps of a migration, alone on the database: replicas take turns."""
        if self._write_lock is None:
            with _UNAVAILABLE, self.engine.begin() as connection:
                unhurried(connection)
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
                yield connection
            return
        with (
            self._write_lock,
            _UNWRITABLE,
            self.engine.connect() as connection,
            without_foreign_keys(connection),
        ):
            begin_immediate(connection.begin)
            yield connection
            check_foreign_keys(connection)
            connection.commit()

    def has_table(self, name: str) -> bool:
        """Whether there is a table ``name``. Raises as :meth:`ping`."""
        with _UNAVAILABLE, self.engine.connect() as connection:
            return inspect(connection).has_table(name)

    def version(self) -> int | None:
        """A number that another one replaces with every commit, whichever process makes it.

        None on PostgreSQL, which has no such number, and where it cannot be read.
        """
        return None if self._write_lock is None else self._changes.read()

    def ping(self) -> None:
        """Raise :class:`Unavailable` unless the database answers, :class:`DatabaseDamaged` where it is damaged."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def hurry(self) -> None:
        """Wait for the server a few seconds at most, also where somebody waits already: the node stops. This holds
        until :meth:`close`."""
        self._pace.hurry()

    def close(self) -> None:
        """Close idle connections; the database can be used again afterwards."""
        if self._write_lock is not None:
            with self._write_lock:
                if self._writer is not None:
                    self._writer.close()
                    self._writer = None
            self._log.close()
            self._changes.close()
        self._driver_connections.close()
        self._readers.dispose()
        self.engine.dispose()
        self._pace.relax()


class WriteTransaction:
    """A transaction of prepared statements: commits on exit and rolls back on error.

    A class, as :class:`_Unavailable` is: generators would cost as much as a small statement.
    """

    __slots__ = ("_connection", "_database", "_driver_connection")

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> DriverConnection:
        self._database.take_turn()
        try:
            with _UNWRITABLE:
                self._driver_connection, self._connection = self._database.begin()
        except BaseException:
            self._database.end_turn()
            raise
        return self._driver_connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with _UNWRITABLE:
                self._end(failed=error is not None)
        finally:
            self._database.end_turn()
        _UNWRITABLE.__exit__(kind, error, trace)

    def _end(self, *, failed: bool) -> None:
        try:
            if failed:
                self._driver_connection.rollback()
            else:
                self._driver_connection.commit()
                self._database.committed()
        except BaseException:
            self._driver_connection.rollback()
            raise
        finally:
            if self._connection is not None:
                self._connection.close()


class _Unavailable:
    """What passes by itself is :class:`Unavailable`, what never will :class:`DatabaseDamaged`
    (:mod:`grid.storage.sql.faults`); other errors stay."""

    def __init__(self, *, writing: bool = False) -> None:
        self._writing = writing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        found = passing(error, writing=self._writing) or damaged(error)
        if found is not None:
            raise found from error


_UNAVAILABLE, _UNWRITABLE = _Unavailable(), _Unavailable(writing=True)
