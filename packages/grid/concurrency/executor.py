"""Background work, one job after the other for each key, several keys beside each other."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

__all__ = ["SerialExecutor"]

logger = logging.getLogger(__name__)
Job = Callable[[], None]


LINGER = 2.0
"""Seconds for which a thread waits for more: a new one for each job would cost more than small jobs do."""


class SerialExecutor:
    """Runs jobs of one key in order and never two at once; a slow one holds up no other key.

    A job that is submitted while an equal one (same key and name) still waits is not queued again.
    Threads are started when there is work and end when there was none for a while.

    Args:
        threads: so many at most; ``name`` is theirs.
    """

    def __init__(self, threads: int = 4, name: str = "grid-federated") -> None:
        self._name = name
        lock = threading.Lock()
        self._work_there, self._changed = threading.Condition(lock), threading.Condition(lock)
        self._queues: dict[str, deque[tuple[str, Job]]] = {}
        self._ready: deque[str] = deque()
        self._left = threads  # that may still be started
        self._waiting = self._busy = 0
        self._stopping = False

    def submit(self, key: str, name: str, job: Job) -> None:
        """Queue ``job``, and return at once. What it raises is logged; after :meth:`stop` nothing is queued."""
        with self._work_there:
            if self._stopping:
                return
            queue = self._queues.get(key)
            if queue is None:
                queue = self._queues[key] = deque()
                self._ready.append(key)
            elif any(queued == name for queued, _ in queue):
                return
            queue.append((name, job))
            if not self._ready:
                return
            if self._waiting >= len(self._ready):
                self._work_there.notify()
                return
            if not self._left:
                return
            self._left -= 1
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def drain(self, timeout: float = 60.0) -> bool:
        """Wait until nothing is queued or running; whether that came within ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy and not self._queues, timeout)

    def stop(self) -> None:
        """Drop what is queued and wait for what runs. Everything durable is in the database."""
        with self._changed:
            self._stopping = True
            self._ready.clear()
            self._work_there.notify_all()
            self._changed.wait_for(lambda: not self._busy, 60.0)
            self._queues.clear()

    def _run(self) -> None:
        while (key := self._next()) is not None:
            time.sleep(0)  # whose report or commit asked for this is answered first
            name, job = self._queues[key].popleft()
            try:
                job()
            except Exception:
                logger.exception("job %s of %s failed", name, key)
            self._done(key)

    def _next(self) -> str | None:
        """A key with work, which nobody else has now; None when the thread is to end."""
        with self._work_there:
            self._waiting += 1
            self._work_there.wait_for(lambda: self._ready or self._stopping, LINGER)
            self._waiting -= 1
            if not self._ready:
                self._left += 1
                return None
            self._busy += 1
            return self._ready.popleft()

    def _done(self, key: str) -> None:
        with self._changed:
            self._busy -= 1
            if not self._queues.get(key):
                self._queues.pop(key, None)
            elif not self._stopping:
                self._ready.append(key)
            self._changed.notify_all()
