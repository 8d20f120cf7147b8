"""So many requests in a time, by name: what comes faster waits its turn, and nobody else does."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from grid.concurrency.offload import native_lock
from syft_ext.errors import TooManyRequests

__all__ = ["Pace"]

_NAMES = 65_536
"""So many are remembered; who is forgotten begins anew, and making so many names takes as many networks."""


class Pace:
    """A leaky bucket for each name (GCRA, ITU-T I.371): ``burst`` requests at once, then ``rate`` a second.

    Args:
        patience: seconds that a request may be made to wait; beyond it is refused.
    """

    def __init__(
        self,
        rate: float,
        burst: float,
        *,
        patience: float = 5.0,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._step, self._ahead, self._patience = 1.0 / rate, burst / rate, patience
        self._now, self._sleep = now, sleep
        self._due: OrderedDict[str, float] = OrderedDict()
        self._lock = native_lock()

    def wait(self, name: str, count: float = 1.0) -> None:
        """Return when ``name`` may have ``count`` requests more.

        Raises :class:`TooManyRequests`, with ``retry_after``, when that would take too long; it takes its time to,
        so that connections come no faster than that with their next request.
        """
        delay = self._delay(name, count)
        if delay > 0:
            self._sleep(min(delay, self._patience))
        if delay > self._patience:
            raise TooManyRequests("too many requests; slow down", retry_after=max(1, round(delay)))

    def takes(self, name: str, count: float = 1.0) -> bool:
        """Whether ``name`` may have ``count`` more at once; it counts only if so."""
        with self._lock:
            now = self._now()
            due = max(self._due.get(name, now), now)
            if due - now > self._ahead:
                return False
            self._note(name, due + count * self._step)
            return True

    def charge(self, name: str, count: float) -> None:
        """Let ``name`` wait as if they had come ``count`` times more."""
        with self._lock:
            now = self._now()
            latest = now + self._ahead + 2 * self._patience  # a debt ends
            self._note(name, min(max(self._due.get(name, now), now) + count * self._step, latest))

    def _delay(self, name: str, count: float) -> float:
        with self._lock:
            now = self._now()
            due = max(self._due.get(name, now), now)
            delay = due - now - self._ahead
            if delay > self._patience:
                return delay
            self._note(name, due + count * self._step)
            return delay

    def _note(self, name: str, due: float) -> None:
        self._due[name] = due
        self._due.move_to_end(name)
        while len(self._due) > _NAMES:
            self._due.popitem(last=False)
