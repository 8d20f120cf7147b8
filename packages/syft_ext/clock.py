"""The clock is injected everywhere, so that tests can turn it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SteadyClock", "SystemClock", "wall_of"]


class Clock(Protocol):
    """What is asked for the time, everywhere."""

    def now(self) -> float:
        """Seconds since the epoch."""


class SystemClock:
    """The machine's clock, which may be set back."""

    def now(self) -> float:
        return time.time()


def _since_boot() -> float:
    """Seconds that nobody can set, those asleep among them where the system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SteadyClock:
    """The machine's clock without its steps: it never goes back, and follows a step by running faster or slower.

    Leases, deadlines and windows of a node live by it: a machine whose clock is set by hours (a guest that woke, a
    time server that was reached late) must not end what others are doing. A start reads the machine's clock.

    Args:
        wall: the machine's clock, seconds since the epoch.
        steady: seconds since any moment, which nobody sets.
    """

    SLEW = 0.25
    """Seconds that are caught up, at most, in each second."""

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = _since_boot
    ) -> None:
        self._wall, self._steady = wall, steady
        self._lock = threading.Lock()
        self._now, self._at = wall(), steady()

    def now(self) -> float:
        with self._lock:
            at = self._steady()
            elapsed, self._at = max(0.0, at - self._at), at
            reached = self._now + elapsed
            most = self.SLEW * elapsed
            self._now = reached + min(max(self._wall() - reached, -most), most)
            return self._now


def wall_of(clock: Clock) -> Clock:
    """The machine's own clock, as it is set: for what must agree with clocks that people hold in their hands."""
    return SystemClock() if isinstance(clock, SteadyClock) else clock


class ManualClock:
    """A clock that stands still until somebody moves it."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        self._now += seconds
