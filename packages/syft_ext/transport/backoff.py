"""Waiting longer after each failure: capped exponential backoff with full jitter.

Source: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random
import threading

__all__ = ["Backoff"]


class Backoff:
    """Delays of ``uniform(0, min(cap, base * 2**n))`` seconds, of at least ``base / 2``.

    Args:
        base: seconds before the first retry, about.
        cap: no delay is longer.
        stop: ends a wait early when it is set.
    """

    def __init__(
        self,
        base: float = 0.2,
        cap: float = 5.0,
        *,
        stop: threading.Event | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.base, self.cap = base, cap
        self.failures = 0
        self._stop = stop or threading.Event()
        self._random = rng or random.Random()  # noqa: S311 - spreads load, keeps no secret

    def next_delay(self) -> float:
        """Count one more failure; the seconds to wait now."""
        ceiling = min(self.cap, self.base * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return max(self.base / 2, self._random.uniform(0, ceiling))

    def wait(self) -> bool:
        """Wait after a failure; False when the wait was ended by ``stop``."""
        return not self._stop.wait(self.next_delay())

    def reset(self) -> None:
        """It worked: begin with short delays again."""
        self.failures = 0
