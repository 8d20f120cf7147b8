"""A memory of Domains that did not answer, so that they do not slow down the next search (circuit breaker).

Sans-IO. States: *closed* (ask and wait), *open* (do not ask until ``retry_at``), *half-open* (ask, but let
nobody wait for it). M. Nygard, "Release It!", 2nd edition, section 5.2.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

__all__ = ["Breaker", "BreakerState"]

BreakerState = Literal["closed", "open", "half-open"]


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    retry_at: float = 0.0
    error: str = ""


class Breaker:
    """One circuit per key. The pause doubles with every failure in a row, ``first`` to ``longest`` seconds."""

    def __init__(self, *, first: float = 2.0, longest: float = 120.0) -> None:
        self._first = first
        self._longest = longest
        self._circuits: dict[str, _Circuit] = {}
        self._lock = threading.Lock()

    def state(self, key: str, now: float) -> BreakerState:
        """Whether to ask, at ``now`` (seconds). Becoming half-open counts as this caller's attempt."""
        with self._lock:
            entry = self._circuits.get(key)
            if entry is None or not entry.failures:
                return "closed"
            if now < entry.retry_at:
                return "open"
            entry.retry_at = now + self._pause(entry.failures)  # others do not try meanwhile
            return "half-open"

    def error(self, key: str) -> str:
        """What went wrong last."""
        with self._lock:
            entry = self._circuits.get(key)
            return entry.error if entry else ""

    def succeeded(self, key: str) -> None:
        """Close the circuit: it answered."""
        with self._lock:
            self._circuits.pop(key, None)

    def failed(self, key: str, now: float, error: str) -> None:
        """Open the circuit at ``now`` (seconds), for twice as long as at the failure before."""
        with self._lock:
            entry = self._circuits.setdefault(key, _Circuit())
            entry.failures += 1
            entry.error = error
            entry.retry_at = now + self._pause(entry.failures)

    def _pause(self, failures: int) -> float:
        return float(min(self._longest, self._first * 2 ** (min(failures, 30) - 1)))
