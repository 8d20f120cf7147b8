"""How frames travel: HTTP(S), WebSocket, in-process — one interface, so that WebRTC can join them."""

from syft_ext.transport.base import IncomingFrame, Transport
from syft_ext.transport.connection import Connection, open_transport
from syft_ext.transport.http import HTTPTransport
from syft_ext.transport.local import LocalTransport
from syft_ext.transport.payload import PayloadReader
from syft_ext.transport.websocket import WebSocketTransport

__all__ = [
    "Connection",
    "HTTPTransport",
    "IncomingFrame",
    "LocalTransport",
    "PayloadReader",
    "Transport",
    "WebSocketTransport",
    "open_transport",
]
