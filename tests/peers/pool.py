"""Gateways beside a node of the test's process, and offers that go straight to them."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence

from grid.node import Node
from grid.peers.gateway.wire import GatewayLimits
from grid.peers.gateways import Gateways
from grid.peers.pool import GatewayPool, PoolLimits
from syft_ext.errors import Unavailable
from syft_ext.messages.peers import IceServer

__all__ = ["LIMITS", "DirectSignals", "gateways_of", "until"]

LIMITS = PoolLimits(1, GatewayLimits(sessions=50, memory=128 << 20, idle=300.0), per_key=50, per_address=50)


class DirectSignals:
    """Hands an offer to ``gateways``; None: nobody is there."""

    def __init__(self, gateways: Gateways | None, key: str = "ab" * 32, origin: str = "") -> None:
        self._gateways, self._key, self._origin = gateways, key, origin
        self.session = secrets.token_hex(16)

    def servers(self) -> Sequence[IceServer]:
        return []

    def offer(self, sdp: str) -> str:
        if self._gateways is None:
            raise Unavailable("nobody is there")
        return self._gateways.offer(self.session, sdp, self._key, 30.0, origin=self._origin)

    def close(self) -> None:
        pass


@contextlib.contextmanager
def gateways_of(node: Node, limits: PoolLimits = LIMITS) -> Iterator[GatewayPool]:
    """Gateways for ``node``, once they take offers."""
    pool = GatewayPool(node, list, limits)
    pool.start()
    try:
        until(lambda: len(pool.pids()) == limits.gateways and not pool.warning() and _is_ready(pool))
        yield pool
    finally:
        pool.stop()


def _is_ready(pool: GatewayPool) -> bool:
    try:
        pool.check()
    except Unavailable:
        return False
    return True


def until(met: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until ``met()`` is true."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)
