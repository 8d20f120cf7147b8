"""Keeping a node's storage tidy: contents that crashed callers left behind, and room on the disk."""

from __future__ import annotations

import logging
import os
import threading

from grid.concurrency.offload import offload
from grid.node.node import Node
from grid.node.service import Service
from grid.storage.objects import references
from syft_ext.errors import Unavailable

__all__ = ["HousekeepingService"]

logger = logging.getLogger(__name__)

#: Seconds between two sweeps. What is swept was left by a crash, so there is no hurry.
INTERVAL = 3600.0
#: Bytes that must be free on the disk of the home: below that a node says that it is not ready.
RESERVE = 64 << 20


class HousekeepingService(Service):
    """Sweeps at start and every hour; answers ``/readyz`` for the disk."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._sweep_until_stopped, name="housekeeping", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10)

    checks = "disk"

    def check(self) -> None:
        status = os.statvfs(self.node.home)
        if status.f_bavail * status.f_frsize < RESERVE:
            raise Unavailable("the disk is full", reserve=RESERVE)
        self.node.blobs.check()

    def sweep(self) -> int:
        """Remove what users abandoned, contents that nobody needs, and files of dead writers; how many."""
        abandoned = sum(service.tidy() for service in self.node.services)
        left = offload(self.node.blobs.sweep)
        return abandoned + left + offload(references.sweep, self.node.db, self.node.blobs)

    def _sweep_until_stopped(self) -> None:
        while not self._stopping.is_set():
            try:
                if removed := self.sweep():
                    logger.info("removed %d uploads and contents that nobody needs", removed)
            except Exception:
                logger.exception("the sweep failed")
            self._stopping.wait(INTERVAL)
