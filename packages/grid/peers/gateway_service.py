"""The gateways of a Domain, started and ended with it."""

from __future__ import annotations

from importlib.util import find_spec

from prometheus_client import Gauge

from grid.accounts.events import UserDisabled
from grid.config import DomainSettings
from grid.node import Node, Service
from grid.peers.gateway.wire import GatewayLimits
from grid.peers.gateways import Gateways, IceServersNow, NoGateways
from grid.peers.pool import GatewayPool, PoolLimits
from grid.peers.service import OfferService
from syft_ext.errors import Unsupported
from syft_ext.transport.webrtc.engine import EXTRA

__all__ = ["GatewayService", "make_gateways"]


def make_gateways(settings: DomainSettings, node: Node, servers: IceServersNow) -> Gateways:
    """The gateways that ``settings`` ask for, not started. Raises :class:`Unsupported` where what they need is not
    installed."""
    if not settings.peers:
        return NoGateways()
    if find_spec("aiortc") is None:
        raise Unsupported(f"peers need a package that is not installed (aiortc): pip install '{EXTRA}'")
    return GatewayPool(
        node,
        servers,
        PoolLimits(
            settings.peer_gateways,
            GatewayLimits(settings.peers_per_gateway, settings.peer_memory, settings.peer_idle),
            settings.peers_per_key,
            settings.peers_per_address,
        ),
    )


class GatewayService(Service):
    """Starts and ends the gateways that :class:`OfferService` hands offers to, and tells how they are."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        gateways = node.service(OfferService).gateways
        self._pool = gateways if isinstance(gateways, GatewayPool) else None
        self.checks = "gateways" if self._pool is not None else ""
        if self._pool is not None:
            demote = self._pool.demote
            node.events.subscribe(UserDisabled, lambda event: demote(f"user {event.user_id}"))
        gauge = Gauge("grid_peer_sessions", "WebRTC sessions of peers", registry=node.metrics)
        gauge.set_function(lambda: float(len(self._pool)) if self._pool is not None else 0.0)

    def start(self) -> None:
        if self._pool is not None:
            self._pool.start()

    def stop(self) -> None:
        if self._pool is not None:
            self._pool.stop()

    def check(self) -> None:
        if self._pool is not None:
            self._pool.check()

    def warning(self) -> str:
        return self._pool.warning() if self._pool is not None else ""
