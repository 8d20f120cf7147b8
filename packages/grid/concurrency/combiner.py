"""Many callers, one transaction: whoever comes first works for all who have come meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

__all__ = ["Combiner"]

T = TypeVar("T")
R = TypeVar("R")


class _PendingItem(Generic[T, R]):
    __slots__ = ("done", "item", "result")

    def __init__(self, item: T) -> None:
        self.item = item
        self.result: R | BaseException | None = None
        self.done = threading.Event()


class Combiner(Generic[T, R]):
    """Args: ``work``: one result, or exception, for each item, in their order."""

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R | BaseException]]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._pending: list[_PendingItem[T, R]] = []
        self._leading = False

    def submit(self, item: T) -> R:
        """The result for ``item``, from a round together with what else is there; raises its exception."""
        entry: _PendingItem[T, R] = _PendingItem(item)
        with self._lock:
            self._pending.append(entry)
        try:
            time.sleep(0)  # whoever is as far as this caller joins it: one sync of the disk wakes many
        except BaseException:
            self._withdraw(entry)
            raise
        with self._lock:
            lead, self._leading = not self._leading, True
        if lead:
            self._lead()
        entry.done.wait()
        if isinstance(entry.result, BaseException):
            raise entry.result
        return entry.result  # type: ignore[return-value]

    def _withdraw(self, entry: _PendingItem[T, R]) -> None:
        """The caller was killed: nobody works for it, unless somebody does already."""
        with self._lock:
            if entry in self._pending:
                self._pending.remove(entry)

    def _lead(self) -> None:
        while True:
            with self._lock:
                entries, self._pending = self._pending, []
                if not entries:
                    self._leading = False
                    return
            try:
                results = self._work([entry.item for entry in entries])
            except BaseException as error:
                results = [error] * len(entries)
            for entry, result in zip(entries, results, strict=True):
                entry.result = result
                entry.done.set()
