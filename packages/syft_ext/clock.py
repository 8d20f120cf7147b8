"""The clock is injected everywhere, so that tests can turn it."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """What is asked for the time, everywhere."""

    def now(self) -> float:
        """Seconds since the epoch."""


class SystemClock:
    """The machine's clock, which may be set back."""

    def now(self) -> float:
        return time.time()


class ManualClock:
    """A clock that stands still until somebody moves it."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        self._now += seconds
