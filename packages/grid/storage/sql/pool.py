"""A connection pool whose waiting is cooperative, from greenlets and real threads alike."""

from __future__ import annotations

from collections import deque
from typing import Any

from sqlalchemy.pool import ConnectionPoolEntry, Pool

from grid.concurrency.offload import Semaphore, readable_now

__all__ = ["CooperativePool", "hung_up"]


def hung_up(driver: Any) -> bool:
    """Whether the server has hung up on an idle connection, or said that it will: without a question of ours, what
    it has to say is that. SQLite's connections have no other end."""
    descriptor = getattr(driver, "fileno", None)
    if descriptor is None:
        return False
    try:
        return readable_now(descriptor())
    except (OSError, ValueError, driver_errors(driver)):
        return True


def driver_errors(driver: Any) -> type[Exception]:
    """The errors of the driver that the connection is of."""
    found: type[Exception] = getattr(driver, "Error", OSError)
    return found


class CooperativePool(Pool):
    """At most ``pool_size`` connections, opened when needed, the most recently used one first.

    SQLAlchemy's ``QueuePool`` waits on a ``threading`` condition: under gevent that one cannot be shared
    between the event loop and offloaded work.
    """

    def __init__(self, creator: Any, pool_size: int = 16, **options: Any) -> None:
        super().__init__(creator, **options)
        self._size = pool_size
        self._permits = Semaphore(pool_size)
        self._idle: deque[ConnectionPoolEntry] = deque()

    def _do_get(self) -> ConnectionPoolEntry:
        self._permits.acquire()
        try:
            record = self._idle.pop()
            if hung_up(record.dbapi_connection):
                record.invalidate()  # and connects anew
            return record
        except IndexError:
            pass
        try:
            return self._create_connection()
        except BaseException:
            self._permits.release()
            raise

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        self._idle.append(record)
        self._permits.release()

    def dispose(self) -> None:
        """Close what is idle. What is lent out comes back here all the same."""
        while self._idle:
            self._idle.pop().close()

    def recreate(self) -> CooperativePool:
        """An empty pool of the same kind, as SQLAlchemy asks for after :meth:`dispose`."""
        return CooperativePool(
            self._creator,
            pool_size=self._size,
            recycle=self._recycle,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )

    def status(self) -> str:
        """One line for logs."""
        return f"{type(self).__name__} size: {self._size} idle: {len(self._idle)}"
