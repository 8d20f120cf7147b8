"""Whether this node may run what strangers bring: asked at the start, said wherever people look."""

from __future__ import annotations

import logging
import threading

from grid.concurrency.offload import offload
from grid.node.service import Service, ServiceNode

__all__ = ["ConfinementService"]

logger = logging.getLogger(__name__)

#: Seconds between two looks at which processes for plans are idle.
_INTERVAL = 10.0


class ConfinementService(Service):
    """Says in log and ``/readyz`` of ``node.gate``, which plans, sessions, environments and conversions pass; ends
    processes for plans that were idle."""

    def __init__(self, node: ServiceNode) -> None:
        super().__init__(node)
        self._refusal = ""
        self._stopping = threading.Event()

    def start(self) -> None:
        """Look once, and write down what is missing: whoever reads the log shall not find out by a refusal."""
        offload(self.node.gate.look)
        self._refusal = self.node.gate.refusal()
        if self._refusal:
            logger.error("%s", self._refusal)
        elif warning := self.warning():
            logger.warning("%s", warning)
        threading.Thread(target=self._sweep_until_stopped, name="confinement", daemon=True).start()

    def _sweep_until_stopped(self) -> None:
        while not self._stopping.wait(_INTERVAL):
            self.node.plan_processes.sweep()

    def stop(self) -> None:
        self._stopping.set()
        if self._refusal:
            logger.error("this node ran none of strangers' code: %s", self._refusal)

    checks = "sandbox"

    def check(self) -> None:
        offload(self.node.gate.check)

    def warning(self) -> str:
        return self.node.gate.warning()
