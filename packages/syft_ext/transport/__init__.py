"""How frames travel: one interface, and a transport for each scheme of an address.

Knows frames and the sockets under them; must not know what the messages say.
"""

from syft_ext.transport.base import IncomingFrame, Transport
from syft_ext.transport.connection import Connection
from syft_ext.transport.http import HTTPTransport
from syft_ext.transport.local import LocalTransport
from syft_ext.transport.payload import PayloadReader
from syft_ext.transport.registry import known_schemes, open_transport, register_transport
from syft_ext.transport.websocket import WebSocketTransport

__all__ = [
    "Connection",
    "HTTPTransport",
    "IncomingFrame",
    "LocalTransport",
    "PayloadReader",
    "Transport",
    "WebSocketTransport",
    "known_schemes",
    "open_transport",
    "register_transport",
]
