"""Group commit: many callers wait, one thread does the slow thing for all of them together.

A sync costs about as much for fifty files as for one, so callers that arrive while a group is being synced
form the next one. The thread starts with the first item and ends when none came for a while; callers wait on
a :class:`grid.concurrency.offload.Signal`, so neither the event loop nor other threads stop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from grid.concurrency.offload import Signal, native_lock, start_thread

__all__ = ["GroupCommit"]

T = TypeVar("T")

LINGER = 2.0
"""Seconds for which the thread waits for more: a new one for each item would cost more than small items do."""


class _PendingCommit(Generic[T]):
    __slots__ = ("error", "item", "signal")

    def __init__(self, item: T, signal: Signal | None) -> None:
        self.item, self.signal = item, signal
        self.error: BaseException | None = None


class GroupCommit(Generic[T]):
    """Runs ``commit(items)`` in a real thread for all that was submitted since the last run.

    Args:
        commit: returns one error or None per item; what it raises is everybody's error.
    """

    def __init__(self, commit: Callable[[list[T]], list[BaseException | None]]) -> None:
        self._commit = commit
        self._guard = native_lock()
        self._pending: list[_PendingCommit[T]] = []
        self._running = self._asleep = False
        self._wake = native_lock()
        self._wake.acquire()

    def submit(self, item: T) -> None:
        """Return when a group with ``item`` was committed; raise what went wrong with it."""
        signal = Signal()
        entry = _PendingCommit(item, signal)
        self._add(entry)
        signal.wait()
        if entry.error is not None:
            raise entry.error

    def leave(self, item: T) -> None:
        """Have ``item`` committed soon. What goes wrong with it, ``commit`` alone knows."""
        self._add(_PendingCommit(item, None))

    def _add(self, entry: _PendingCommit[T]) -> None:
        with self._guard:
            self._pending.append(entry)
            start, self._running = not self._running, True
            asleep, self._asleep = self._asleep, False
        if start:
            start_thread(self._drain)
        elif asleep:
            self._wake.release()

    def _drain(self) -> None:
        while True:
            with self._guard:
                entries, self._pending = self._pending, []
                self._asleep = not entries
            if entries:
                self._work(entries)
            elif not self._more_comes():
                return

    def _work(self, entries: list[_PendingCommit[T]]) -> None:
        try:
            errors = self._commit([entry.item for entry in entries])
        except BaseException as error:
            errors = [error] * len(entries)
        for entry, found in zip(entries, errors, strict=True):
            entry.error = found
        Signal.set_all([entry.signal for entry in entries if entry.signal is not None])

    def _more_comes(self) -> bool:
        """Sleep until something is submitted; False when nothing was, and the thread ends."""
        if not self._wake.acquire(timeout=LINGER):
            with self._guard:
                if self._asleep:
                    self._running = self._asleep = False
                    return False
            self._wake.acquire()  # whoever submitted at the last moment is just releasing it
        return True
