"""Asking for a session: what is said before there is one, over a way that leads to the node already.

The node is held to its key, and signs its answer to this very request; a one-time key signs ours. So nobody in
between can put another fingerprint into a description, and a session says nothing about who opened it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from typing import Protocol

from syft_ext.errors import GridError
from syft_ext.identity import Identity
from syft_ext.messages.peers import GetIceServers, IceServer, IceServers, OfferPeer, PeerAnswer
from syft_ext.transport.base import Transport
from syft_ext.transport.connection import Connection

__all__ = ["Signaller", "Signalling"]

logger = logging.getLogger(__name__)

ANSWERING = 15.0
"""Seconds that an answer may take."""
SERVERS = 5.0
"""Seconds in which a node tells its servers."""


class Signaller(Protocol):
    """How one session is asked for."""

    def servers(self) -> Sequence[IceServer]:
        """STUN and TURN servers; none where nobody tells any."""

    def offer(self, sdp: str) -> str:
        """The node's answer to our description. Raises what the node refuses, and what leads nowhere."""

    def close(self) -> None:
        """No more is asked for it."""


class Signalling:
    """Asks the node over ``way``, and its Network for servers first.

    Args:
        way: leads to the node that the session is with. node_key: its verify key.
        network: leads to the Network.
        owned: whether both are closed with this.
    """

    def __init__(self, way: Transport, node_key: str, network: Transport, *, owned: bool) -> None:
        identity = Identity.generate()
        self._node = Connection(way, identity, node_key=node_key)
        self._network = Connection(network, identity)
        self._owned = owned

    def servers(self) -> Sequence[IceServer]:
        for connection in (self._network, self._node):
            try:
                told: IceServers = connection.call(GetIceServers(), timeout=SERVERS)
            except GridError as error:
                logger.info("%s tells no STUN or TURN servers: %s", connection.address, error)
                continue
            if told.servers:
                return told.servers
        return []

    def offer(self, sdp: str) -> str:
        message = OfferPeer(session=secrets.token_hex(16), sdp=sdp, wait=ANSWERING)
        reply: PeerAnswer = self._node.call(message, timeout=ANSWERING)
        return reply.sdp

    def close(self) -> None:
        if self._owned:
            self._node.close()
            self._network.close()
