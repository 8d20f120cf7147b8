"""This node's signed connections to its peers, one pooled transport per address."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from grid.network.lines import Lines, LineTransport
from syft_ext.clock import Clock
from syft_ext.identity import Identity
from syft_ext.messages.network import LINE
from syft_ext.transport import Connection, Transport

__all__ = ["PeerConnections"]

CAPACITY = 256


class PeerConnections:
    """Connections that sign with the node's own key and hold the peer to the key that it is known by.

    Args:
        opener: makes the transport for an address, and decides what may be connected to.
        lines: of those that have no address; by default there are none.
    """

    def __init__(
        self, identity: Identity, clock: Clock, opener: Callable[[str], Transport], lines: Lines | None = None
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._opener = opener
        self._lines = Lines() if lines is None else lines
        self._transports: OrderedDict[str, Transport] = OrderedDict()
        self._lock = threading.Lock()

    def transport(self, address: str) -> Transport:
        """The transport to ``address``; the least recently used one is closed when there are too many."""
        with self._lock:
            transport = self._transports.pop(address, None) or self._opener(address)
            self._transports[address] = transport
            surplus = self._transports.popitem(last=False)[1] if len(self._transports) > CAPACITY else None
        if surplus is not None:
            surplus.close()
        return transport

    def connect(self, address: str, verify_key: str = "") -> Connection:
        """A connection to the node at ``address``; with ``verify_key`` only that node will do, and it may be one
        that keeps a line (:data:`~syft_ext.messages.network.LINE`)."""
        on_line = address == LINE and verify_key
        transport = LineTransport(self._lines, verify_key) if on_line else self.transport(address)
        return Connection(transport, self._identity, node_key=verify_key, clock=self._clock)

    def close(self) -> None:
        """Close the connections to all peers."""
        with self._lock:
            transports = list(self._transports.values())
            self._transports.clear()
        for transport in transports:
            transport.close()
