"""Who waits for news of a training hears of it at the commit that makes it, not at the next look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Notifier"]


LOOK = 2.0
"""Seconds between two looks at whether a waiter is still there."""


class Notifier:
    """The latest history number of each training, and waiting for a later one.

    Numbers are published after their commit, so a waiter that has read the history up to ``after`` and then
    waits here cannot miss anything: what was committed in between is already newer than ``after``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[str, int] = {}
        self._waiting: dict[str, list[threading.Event]] = {}
        self._closed = False

    def publish(self, process_id: str, seq: int) -> None:
        """History row ``seq`` of ``process_id`` is committed."""
        with self._lock:
            self._latest[process_id] = max(seq, self._latest.get(process_id, 0))
            waiting = self._waiting.pop(process_id, [])
        for event in waiting:
            event.set()

    def wait(
        self, process_id: str, after: int, timeout: float, alive: Callable[[], bool] = lambda: True
    ) -> bool:
        """Return True once something later than ``after`` was published, False when ``timeout`` s passed, or when
        nobody is ``alive`` to hear of it."""
        deadline = time.monotonic() + timeout
        while True:
            event = threading.Event()
            with self._lock:
                if self._latest.get(process_id, 0) > after:
                    return True
                remaining = deadline - time.monotonic()
                if self._closed or remaining <= 0:
                    return False
                self._waiting.setdefault(process_id, []).append(event)
            if not event.wait(min(remaining, LOOK)):
                self._leave(process_id, event)
                if not alive():
                    return False

    def _leave(self, process_id: str, event: threading.Event) -> None:
        with self._lock:
            waiting = self._waiting.get(process_id, [])
            if event in waiting:
                waiting.remove(event)
            if not waiting:
                self._waiting.pop(process_id, None)

    def close(self) -> None:
        """Send everybody who waits home."""
        with self._lock:
            self._closed = True
            waiting = [event for events in self._waiting.values() for event in events]
            self._waiting.clear()
        for event in waiting:
            event.set()
