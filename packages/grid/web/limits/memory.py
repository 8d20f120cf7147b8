"""The one budget of memory for what clients send: bodies, frames, segments, WebSockets' buffers.

Whoever holds bytes of a client's counts them here, under the client's name (their network; their account, once it
is known). Nobody gets more than a share, strangers together no more than half: so one that takes all they can get
leaves room for the others. Up to :data:`FREE` bytes a holder are not counted: what is so small is bounded by the
number of connections.
"""

from __future__ import annotations

from grid.concurrency.offload import native_lock
from syft_ext.errors import Unavailable

__all__ = ["FREE", "Holding", "MemoryBudget"]

FREE = 16 << 10
#: What one account may have of the budget, and one network of strangers.
ACCOUNT_SHARE, STRANGER_SHARE = 4, 16
#: Seconds after which memory may be free again.
RETRY_AFTER = 2


class MemoryBudget:
    """Bytes that may be held at a time.

    Attributes:
        limit: bytes in all.
        used: bytes that are held now.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0
        self._strangers = 0
        self._held: dict[str, int] = {}  # by name
        self.lock = native_lock()  # for a few instructions, of all its holders

    def holding(self, network: str) -> Holding:
        """A holder that has nothing yet, of a stranger from ``network``."""
        return Holding(self, network)

    def take(self, name: str, wanted: int, *, stranger: bool) -> bool:
        """Count ``wanted`` bytes more under ``name``, less if negative; False, and no change, if it cannot.

        With the lock.
        """
        held = self._held.get(name, 0) + wanted
        if wanted > 0:
            share = self.limit // (STRANGER_SHARE if stranger else ACCOUNT_SHARE)
            if self.used + wanted > self.limit or held > share:
                return False
            if stranger and self._strangers + wanted > self.limit // 2:
                return False
        self.used += wanted
        if stranger:
            self._strangers += wanted
        if held:
            self._held[name] = held
        else:
            self._held.pop(name, None)
        return True


class Holding:
    """What one exchange or one connection holds."""

    __slots__ = ("_budget", "_counted", "_name", "_size", "_stranger")

    def __init__(self, budget: MemoryBudget, network: str) -> None:
        self._budget, self._name, self._stranger = budget, f"network {network}", True
        self._size = self._counted = 0

    @property
    def size(self) -> int:
        """Bytes that it has taken, counted or not."""
        return self._size

    def belongs_to(self, account: str) -> None:
        """From now on this is ``account``'s. What it holds already is taken over, if there is room."""
        with self._budget.lock:
            name = f"account {account}"
            if name == self._name:
                return
            if self._counted and not self._budget.take(name, self._counted, stranger=False):
                raise _full()
            self._budget.take(self._name, -self._counted, stranger=self._stranger)
            self._name, self._stranger = name, False

    def take(self, count: int) -> None:
        """Hold ``count`` bytes more. Raises :class:`Unavailable`, with ``retry_after``, when there is no room."""
        if not self.move(0, count):
            raise _full()

    def move(self, before: int, now: int) -> bool:
        """A part of what it holds goes from ``before`` to ``now`` bytes; False, and no change, if it cannot."""
        with self._budget.lock:
            size = self._size + now - before
            counted = size if size > FREE else 0
            if counted != self._counted and not self._budget.take(
                self._name, counted - self._counted, stranger=self._stranger
            ):
                return False
            self._size, self._counted = size, counted
            return True

    def release(self) -> None:
        """Nothing of it is held any more."""
        if self._size:
            self.move(self._size, 0)


def _full() -> Unavailable:
    return Unavailable("the node holds as much as it can; try again", retry_after=RETRY_AFTER)
