"""Deadlines: one thread sleeps until the next one and is woken when an earlier one is set."""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Callable

from grid.concurrency.passing import is_passing, said_of
from syft_ext.clock import Clock

__all__ = ["Timers"]

logger = logging.getLogger(__name__)


class Timers:
    """Calls ``fire(key)`` once the clock has reached the time set for ``key``.

    A key has at most one time, the earliest that was set. ``fire`` sets the next one itself if it wants to.
    """

    def __init__(self, clock: Clock, fire: Callable[[str], None]) -> None:
        self._clock, self._fire = clock, fire
        self._changed = threading.Condition()
        self._times: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._thread: threading.Thread | None = None
        self._stopping = False

    def at(self, key: str, when: float) -> None:
        """Fire ``key`` at ``when`` (seconds since the epoch), unless it fires earlier anyway."""
        with self._changed:
            if when >= self._times.get(key, float("inf")):
                return
            self._times[key] = when
            heapq.heappush(self._heap, (when, key))
            if self._heap[0] == (when, key):
                self._changed.notify()

    def run_due(self) -> int:
        """Fire everything whose time has come, in order; returns how much that was."""
        fired = 0
        while (key := self._next_due()) is not None:
            fired += 1
            try:
                self._fire(key)
            except Exception as error:
                if is_passing(error):  # for hours, maybe, and nothing of it is the program's fault
                    logger.warning("the timer of %s is tried again: %s", key, said_of(error))
                else:
                    logger.exception("the timer of %s failed; it is tried again", key)
                self.at(key, self._clock.now() + 1.0)
                return fired
        return fired

    def _next_due(self) -> str | None:
        with self._changed:
            while self._heap and self._heap[0][0] <= self._clock.now():
                when, key = heapq.heappop(self._heap)
                if self._times.get(key) == when:  # else an earlier time replaced this one
                    del self._times[key]
                    return key
            return None

    def start(self) -> None:
        """From now on what is due fires in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="grid-timers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait for the one that fires now; no other fires after that."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stopping:
            self.run_due()
            with self._changed:
                if self._stopping:
                    return
                delay = self._heap[0][0] - self._clock.now() if self._heap else None
                if delay is None or delay > 0:
                    self._changed.wait(delay)
