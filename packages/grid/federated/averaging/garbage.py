"""Contents that a finished cycle needs no more are collected a little later, many at a time.

Right after a cycle its workers want the next model; nobody waits for the room of old reports. What a crash
leaves behind, the node's sweep finds. The model that was replaced stays, but hardly anybody will read it: the
system need not keep it in memory.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

__all__ = ["Garbage"]

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds for which garbage gathers."""
QUIET = 40.0
"""Seconds without garbage after which the room that was kept for the next cycle is given up."""
ENOUGH = 32 << 20
"""Bytes of garbage that are collected at once: memory that files give up early is used again for the next ones."""


class Garbage:
    """Args: ``collect``: removes those of some contents that nothing refers to, and cools some others; called
    with nothing when it has been quiet for a while.
    """

    def __init__(self, collect: Callable[[list[str], list[str]], object]) -> None:
        self._collect = collect
        self._changed = threading.Condition()
        self._digests: dict[str, None] = {}
        self._cold: list[str] = []
        self._bytes = 0
        self._working = self._stopping = False

    def add(self, digests: Iterable[str], size: int, cold: Iterable[str] = ()) -> None:
        """Collect ``digests``, of ``size`` bytes each, soon; ``cold`` ones will hardly be read again."""
        with self._changed:
            first = not self._is_any()
            self._cold += cold
            before = len(self._digests)
            self._digests.update(dict.fromkeys(digests))
            self._bytes += (len(self._digests) - before) * size
            if first or self._bytes >= ENOUGH:
                self._changed.notify_all()
            if self._working or self._stopping or not self._is_any():
                return
            self._working = True
        threading.Thread(target=self._work, name="grid-garbage", daemon=True).start()

    def stop(self) -> None:
        """Collect what is there, and nothing from now on."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._working, 60.0)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._is_any(), QUIET)
                quiet = not self._is_any()
                if not quiet:
                    self._changed.wait_for(lambda: self._stopping or self._bytes >= ENOUGH, PAUSE)
                digests, self._digests, self._bytes = list(self._digests), {}, 0
                cold, self._cold = self._cold, []
            try:
                self._collect(digests, cold)
            except Exception:
                logger.exception("%d contents are left to the sweep", len(digests))
            with self._changed:
                if quiet and not self._is_any():
                    self._working = False
                    self._changed.notify_all()
                    return

    def _is_any(self) -> bool:
        return bool(self._digests or self._cold)
