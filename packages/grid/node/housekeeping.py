"""Keeping a node's storage tidy: contents that nobody needs, what waited long enough, and room on the disk."""

from __future__ import annotations

import logging
import os
import threading
import time

from grid.concurrency.offload import offload
from grid.node.node import Node
from grid.node.service import Service
from grid.storage.objects import references
from syft_ext.errors import Conflict, RestoredDatabase, Unavailable

__all__ = ["HousekeepingService"]

logger = logging.getLogger(__name__)

#: Seconds between two sweeps. What is swept was left by a crash, so there is no hurry.
INTERVAL = 3600.0
#: Seconds between two looks at whether so much was deleted that a sweep is due at once: anybody may delete much.
LOOK = 10.0
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
        """Remove what users abandoned and files of dead writers, put contents that nobody needs aside, and remove
        those that have waited there; how many. Raises what keeps it from that: another database."""
        abandoned = sum(service.tidy() for service in self.node.services)
        left = offload(self.node.blobs.sweep)
        left += offload(references.sweep, self.node.db, self.node.blobs)
        return abandoned + left + offload(references.purge, self.node.db, self.node.blobs)

    def _sweep_until_stopped(self) -> None:
        while not self._stopping.is_set():
            try:
                if removed := self.sweep():
                    logger.info("put aside or removed %d uploads and contents that nobody needs", removed)
            except (Conflict, RestoredDatabase) as error:  # the database is not, or may not be, the right one
                logger.warning("nothing is swept: %s", error.detail)
            except Exception:
                logger.exception("the sweep failed")
            self._wait()

    def _wait(self) -> None:
        """Until the next sweep is due."""
        due = time.monotonic() + INTERVAL
        while not self._stopping.wait(LOOK) and time.monotonic() < due:
            quarantine = self.node.blobs.quarantine
            if quarantine is not None and quarantine.crowded:
                return
