"""The driver's own connection, for prepared statements: without the layers that SQLAlchemy has around it."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from grid.concurrency.offload import Semaphore
from grid.storage.sql.pool import hung_up

__all__ = ["DriverConnection", "DriverConnectionPool"]


class DriverConnection:
    """The driver's connection beneath one of SQLAlchemy's. Where that one has begun a transaction, it is in it."""

    __slots__ = ("_connection", "broken", "dialect", "driver")

    def __init__(self, connection: Connection) -> None:
        self._connection, self.dialect = connection, connection.dialect
        self.driver: Any = connection.connection.dbapi_connection
        self.broken = False

    def error(self, error: Any, statement: str, cursor: Any = None) -> DBAPIError:
        """What SQLAlchemy raises for a driver's ``error``; a connection that is lost is not used again."""
        lost = self.dialect.is_disconnect(error, self.driver, cursor)
        if lost:
            self.invalidate(error)
        base = self.dialect.loaded_dbapi.Error
        found = DBAPIError.instance(
            statement, None, error, base, connection_invalidated=lost, dialect=self.dialect
        )
        assert isinstance(found, DBAPIError)
        return found

    def invalidate(self, error: BaseException) -> None:
        """The connection is in nobody knows what state: never use it again."""
        self.broken = True
        self._connection.invalidate(error)
        with contextlib.suppress(Exception):  # one that belongs to no pool is closed by nobody else
            self.driver.close()

    def commit(self) -> None:
        """Commit; a driver's error becomes SQLAlchemy's."""
        try:
            self.driver.commit()
        except self.dialect.loaded_dbapi.Error as error:
            raise self.error(error, "COMMIT") from error

    def rollback(self) -> None:
        """Undo the transaction, also one that the server has lost already."""
        if self.broken:
            return
        try:
            self.driver.rollback()
        except self.dialect.loaded_dbapi.Error as error:
            self.invalidate(error)

    def close(self) -> None:
        """Close the connection, or give it back to the pool that it is of."""
        with contextlib.suppress(self.dialect.loaded_dbapi.Error):
            self._connection.close()


class DriverConnectionPool:
    """Connections for single statements, at most ``size``, the most recently used one first.

    Args:
        connect: opens one that belongs to no pool, and in which no transaction is begun.
    """

    def __init__(self, connect: Callable[[], Connection], size: int) -> None:
        self._connect = connect
        self._permits = Semaphore(size)
        self._idle: deque[DriverConnection] = deque()

    def lend(self) -> ConnectionLoan:
        """``with pool.lend() as connection:`` one that nobody else uses."""
        return ConnectionLoan(self)

    def take(self) -> DriverConnection:
        """One that nobody else uses; waits while ``size`` are taken. It must come back by :meth:`give`."""
        self._permits.acquire()
        try:
            while self._idle:
                idle = self._idle.pop()
                if not hung_up(idle.driver):
                    return idle
                idle.invalidate(ConnectionError("the server hung up"))
                idle.close()
            return DriverConnection(self._connect())
        except BaseException:
            self._permits.release()
            raise

    def give(self, driver_connection: DriverConnection, error: BaseException | None) -> None:
        """Take it back from a statement that ended with ``error``."""
        if driver_connection.broken:
            driver_connection.close()
            self.close()  # what else is idle has met the same fate
        elif error is None or isinstance(error, Exception):
            self._idle.append(driver_connection)
        else:  # who is killed leaves a statement behind that may still run
            driver_connection.close()
        self._permits.release()

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()


class ConnectionLoan:
    """A connection of :class:`DriverConnectionPool` in somebody's hands.

    No generator: that would cost as much as a statement.
    """

    __slots__ = ("_driver_connection", "_pool")

    def __init__(self, pool: DriverConnectionPool) -> None:
        self._pool = pool

    def __enter__(self) -> DriverConnection:
        self._driver_connection = self._pool.take()
        return self._driver_connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.give(self._driver_connection, error)
