"""Whose password is looked at next: one of each network at a time, however many wait there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from grid.concurrency.offload import Semaphore, native_lock
from syft_ext.errors import TooManyRequests

__all__ = ["Turns"]

#: Logins of one network that may wait; each is a greenlet and nothing more.
_WAITING = 64


class Turns:
    """A network waits for itself only: hashing takes time on purpose, and who floods it has one turn."""

    def __init__(self) -> None:
        self._queues: dict[str, tuple[Semaphore, int]] = {}
        self._guard = native_lock()

    @contextmanager
    def turn(self, network: str) -> Iterator[None]:
        """Wait until it is ``network``'s turn. Raises :class:`TooManyRequests` when too many wait already."""
        with self._guard:
            queue, waiting = self._queues.get(network) or (Semaphore(1), 0)
            if waiting >= _WAITING:
                raise TooManyRequests("too many logins at once from this address; try again", retry_after=5)
            self._queues[network] = queue, waiting + 1
        try:
            with queue:
                yield
        finally:
            with self._guard:
                queue, waiting = self._queues[network]
                if waiting > 1:
                    self._queues[network] = queue, waiting - 1
                else:
                    del self._queues[network]
