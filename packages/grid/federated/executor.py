"""Background work, one job after the other for each training, several trainings beside each other."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

__all__ = ["SerialExecutor"]

logger = logging.getLogger(__name__)
Job = Callable[[], None]


class SerialExecutor:
    """Runs jobs of one key in order and never two at once; a slow training holds up no other.

    A job that is submitted while an equal one (same key and name) still waits is not queued again.
    Threads are started when there is work and end when there is none.
    """

    def __init__(self, threads: int = 4) -> None:
        self._threads = threads
        self._idle = threading.Condition()
        self._queues: dict[str, deque[tuple[str, Job]]] = {}
        self._ready: deque[str] = deque()
        self._running = 0
        self._stopping = False

    def submit(self, key: str, name: str, job: Job) -> None:
        with self._idle:
            if self._stopping:
                return
            queue = self._queues.get(key)
            if queue is None:
                queue = self._queues[key] = deque()
                self._ready.append(key)
            elif any(queued == name for queued, _ in queue):
                return
            queue.append((name, job))
            if self._running >= self._threads or not self._ready:
                return
            self._running += 1
        threading.Thread(target=self._work, name="grid-federated", daemon=True).start()

    def drain(self, timeout: float = 60.0) -> bool:
        """Wait until nothing is queued or running; whether that came within ``timeout`` seconds."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._running and not self._queues, timeout)

    def stop(self) -> None:
        """Drop what is queued and wait for what runs. Everything durable is in the database."""
        with self._idle:
            self._stopping = True
            self._ready.clear()
            self._idle.wait_for(lambda: not self._running, 60.0)
            self._queues.clear()

    def _work(self) -> None:
        time.sleep(0)  # whose report or commit asked for this is answered first
        while True:
            with self._idle:
                if not self._ready:
                    self._running -= 1
                    self._idle.notify_all()
                    return
                key = self._ready.popleft()
                name, job = self._queues[key].popleft()
            try:
                job()
            except Exception:
                logger.exception("job %s of training %s failed", name, key)
            with self._idle:
                if self._queues.get(key):
                    if not self._stopping:
                        self._ready.append(key)
                else:
                    self._queues.pop(key, None)
