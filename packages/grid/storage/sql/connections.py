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

__all__ = ["Link", "Links"]


class Link:
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

    def commit(self) -> None:
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


class Links:
    """Connections for single statements, at most ``size``, the most recently used one first.

    Args:
        connect: opens one that belongs to no pool, and in which no transaction is begun.
    """

    def __init__(self, connect: Callable[[], Connection], size: int) -> None:
        self._connect = connect
        self._permits = Semaphore(size)
        self._idle: deque[Link] = deque()

    def lend(self) -> Lent:
        """``with links.lend() as link:`` one that nobody else uses."""
        return Lent(self)

    def take(self) -> Link:
        self._permits.acquire()
        try:
            return self._idle.pop() if self._idle else Link(self._connect())
        except BaseException:
            self._permits.release()
            raise

    def give(self, link: Link, error: BaseException | None) -> None:
        """Take it back from a statement that ended with ``error``."""
        if link.broken:
            link.close()
            self.close()  # what else is idle has met the same fate
        elif error is None or isinstance(error, Exception):
            self._idle.append(link)
        else:  # who is killed leaves a statement behind that may still run
            link.close()
        self._permits.release()

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()


class Lent:
    """A connection of :class:`Links` in somebody's hands. No generator: that would cost as much as a statement."""

    __slots__ = ("_link", "_links")

    def __init__(self, links: Links) -> None:
        self._links = links

    def __enter__(self) -> Link:
        self._link = self._links.take()
        return self._link

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._links.give(self._link, error)
