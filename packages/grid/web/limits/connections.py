"""Who is connected: so many in all, so many from one network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from grid.concurrency.offload import native_lock

__all__ = ["ConnectionTable"]

#: When so much of the table is taken, connections on which nothing happens make room.
CROWDED = 0.9


class ConnectionTable:
    """The connections of one server, by the networks that they come from.

    Args:
        limit: connections in all. Where the server itself bounds them, no more come here.
        per_network: connections from one network; ``exempt`` says of which networks it does not hold (those of
            trusted proxies, behind which is everybody).
        make_room: lets go some connections on which nothing happens; called when the table is nearly full.
    """

    def __init__(
        self,
        limit: int,
        per_network: int,
        *,
        exempt: Callable[[str], bool] = lambda network: False,
        make_room: Callable[[], None] = lambda: None,
    ) -> None:
        self.limit, self.per_network = limit, per_network
        self._exempt, self._make_room = exempt, make_room
        self._open: Counter[str] = Counter()
        self._count = 0
        self._lock = native_lock()

    def __len__(self) -> int:
        return self._count

    def open(self, network: str) -> bool:
        """Whether one more connection of ``network`` is taken; if so, :meth:`close` must follow."""
        with self._lock:
            full = self._open[network] >= self.per_network and not self._exempt(network)
            if full or self._count >= self.limit:
                if not self._open[network]:
                    del self._open[network]
                return False
            self._open[network] += 1
            self._count += 1
            crowded = self._count > self.limit * CROWDED
        if crowded:
            self._make_room()
        return True

    def close(self, network: str) -> None:
        """A connection of ``network`` is over."""
        with self._lock:
            self._count -= 1
            self._open[network] -= 1
            if not self._open[network]:
                del self._open[network]
