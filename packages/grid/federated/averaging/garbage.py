"""Contents that a finished cycle needs no more are collected a little later, many at a time.

Right after a cycle its workers want the next model; nobody waits for the room of old reports. What a crash
leaves behind, the node's sweep finds. The model that was replaced stays, but hardly anybody will read it: the
system need not keep it in memory.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping

from grid.concurrency.offload import offload
from grid.federated.state.events import CycleForgotten, ModelReplaced, StateForgotten
from grid.federated.state.store import TrainingStore
from grid.node.events import EventBus
from grid.storage.objects.references import collect

__all__ = ["Garbage"]

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds for which garbage gathers."""
QUIET = 40.0
"""Seconds without garbage after which the room that was kept for the next cycle is given up."""
ENOUGH = 32 << 20
"""Bytes of garbage that are collected at once: memory that files give up early is used again for the next ones."""


class Garbage:
    """Collects what :class:`CycleForgotten` and :class:`StateForgotten` name; cools old models."""

    def __init__(self, store: TrainingStore, bus: EventBus) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._contents: dict[str, int] = {}
        self._cold: list[str] = []
        self._bytes = 0
        self._working = self._stopping = False
        bus.subscribe(CycleForgotten, lambda event: self._add(event.contents, ()))
        bus.subscribe(StateForgotten, lambda event: self._add(event.contents, ()))
        bus.subscribe(ModelReplaced, lambda event: self._add({}, (event.digest,)))

    def _add(self, contents: Mapping[str, int], cold: Iterable[str]) -> None:
        """Collect ``contents`` (digest → bytes) soon; ``cold`` ones will hardly be read again."""
        with self._changed:
            first = not self._is_any()
            self._cold += cold
            self._bytes += sum(size for digest, size in contents.items() if digest not in self._contents)
            self._contents.update(contents)
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
                digests, self._contents, self._bytes = list(self._contents), {}, 0
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

    def _collect(self, digests: list[str], cold: list[str]) -> None:
        """Remove those that nothing refers to; called with nothing when it has been quiet for a while."""
        offload(self._collect_now, digests, cold)

    def _collect_now(self, digests: list[str], cold: list[str]) -> None:
        blobs = self._store.blobs
        collect(self._store.database, blobs, digests, recycle=True)
        blobs.cache.drop_page_cache(cold)
        blobs.cache.trim(everything=not digests and not cold)

    def _is_any(self) -> bool:
        return bool(self._contents or self._cold)
