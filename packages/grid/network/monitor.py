"""Watching the nodes that associated with this one: who is online, and since when not."""

from __future__ import annotations

import logging
import threading
from functools import partial

from prometheus_client import Gauge

from grid.network.associations import AssociationService, online_status
from grid.network.tables import Association
from grid.node import Context, Node, Service, handles
from syft_ext.errors import Ambiguous, NotFound
from syft_ext.messages.network import (
    DomainList,
    DomainLocation,
    DomainView,
    ListDomains,
    LocateDomain,
    shown_address,
)

__all__ = ["MonitorService", "NetworkMonitorService"]

logger = logging.getLogger(__name__)


class MonitorService(Service):
    """Logs when an associated node goes offline or comes back, and counts them for Prometheus."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.associations = node.service(AssociationService)
        self._known: dict[str, str] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        gauge = Gauge("grid_nodes", "Associated nodes by status", ("status",), registry=node.metrics)
        for status in ("online", "busy", "offline"):
            gauge.labels(status).set_function(partial(self._count, status))

    def start(self) -> None:
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5)

    def status(self, row: Association) -> str:
        """online, busy or offline, now."""
        return online_status(row, self.node.clock.now(), self.associations.offline_after)

    def _count(self, status: str) -> float:
        return float(sum(seen == status for seen in self._known.values()))

    def _watch(self) -> None:
        # Half the period: a node is found offline at most 1.5 periods after its last heartbeat.
        while not self._stopping.is_set():
            try:
                self.look()
            except Exception:
                logger.exception("the monitor could not read the associations")
            self._stopping.wait(self.associations.offline_after / 2)

    def look(self) -> None:
        """Compare every node's status with the last time, and log what changed."""
        rows = self.associations.registry.accepted("incoming")
        current = {row.verify_key: self.status(row) for row in rows}
        for row in rows:
            before, now = self._known.get(row.verify_key), current[row.verify_key]
            if now == "offline" and before != "offline":
                logger.warning("%s %s is offline", row.kind, row.name)
            elif before == "offline" and now != "offline":
                logger.info("%s %s is back", row.kind, row.name)
        self._known = current


class NetworkMonitorService(MonitorService):
    """The same on a Network, whose users may see the Domains."""

    @handles(ListDomains)
    def domains(self, ctx: Context, message: ListDomains) -> DomainList:
        rows = self.associations.registry.accepted("incoming", self.node.kind.presents)
        return DomainList(domains=[self._view(row) for row in sorted(rows, key=lambda row: row.name)])

    @handles(LocateDomain)
    def locate(self, ctx: Context, message: LocateDomain) -> DomainLocation:
        rows = self.associations.registry.accepted("incoming", self.node.kind.presents)
        found = [row for row in rows if row.verify_key == message.domain]
        found = found or [row for row in rows if row.name == message.domain]
        if not found:
            raise NotFound("this Network knows no such Domain")
        if len(found) > 1:
            raise Ambiguous("several Domains of this Network have this name; use the verify key of one")
        (row,) = found
        return DomainLocation(name=row.name, verify_key=row.verify_key, address=shown_address(row.address))

    def _view(self, row: Association) -> DomainView:
        return DomainView(
            domain_id=row.node_id,
            name=row.name,
            address=shown_address(row.address),
            verify_key=row.verify_key,
            status=self.status(row),  # type: ignore[arg-type]
            version=row.version,
            counts=row.counts,
            last_seen=row.last_seen,
        )
