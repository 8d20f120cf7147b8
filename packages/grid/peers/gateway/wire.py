"""What a gateway and its node say to each other, over a unix socket in the node's home.

Every message is ``uint32 length · bytes``, big-endian. The gateway opens the connections, and begins each with a
greeting in msgpack: one for orders, and then one for each channel of each session, on which the channel's
messages travel as they are. The node knows the gateway by its credentials (unix(7), SO_PEERCRED): nobody else's
word about a peer is taken.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from syft_ext.errors import Problem
from syft_ext.messages.peers import IceServer
from syft_ext.transport.webrtc.terms import MAX_MESSAGE, OPENING, STALLED

__all__ = [
    "HEAD",
    "MAX_ORDER",
    "SOCKET",
    "CandidatesOrder",
    "ChannelGreeting",
    "DropOrder",
    "FromGateway",
    "FromNode",
    "GatewayLimits",
    "Greeting",
    "OfferOrder",
    "OrderDone",
    "OrderRefused",
    "OrdersGreeting",
    "SessionEnded",
    "Splitter",
    "decode_from_gateway",
    "decode_from_node",
    "decode_greeting",
    "encode",
    "reachable",
]

HEAD: Final = struct.Struct(">I")
MAX_ORDER = 1 << 20
"""Bytes of an order, or of what is said about one."""
SOCKET = "gateways.sock"
"""In the node's home."""


class GatewayLimits(msgspec.Struct, frozen=True):
    """What one gateway holds against its peers.

    Attributes:
        sessions: that it ends at a time.
        memory: bytes that came, and that the node has not taken.
        idle: seconds without a message after which a session is closed.
        opening, stalled: seconds in which it is open, and in which something leaves that waits to.
    """

    sessions: int
    memory: int
    idle: float
    opening: float = OPENING
    stalled: float = STALLED


class OrdersGreeting(msgspec.Struct, tag="orders"):
    """The connection of a gateway for orders: the node's, and what becomes of them."""


class ChannelGreeting(msgspec.Struct, tag="channel"):
    """The connection of one channel.

    Attributes:
        key, session: which session's.
        channel: its id.
        remote: network address of the remote candidate.
        kind: of that candidate.
    """

    key: str
    session: str
    channel: int
    remote: str
    kind: str


Greeting = OrdersGreeting | ChannelGreeting


class OfferOrder(msgspec.Struct, tag="offer"):
    """Answer an offer; ``number`` is in the word that says what became of it."""

    number: int
    key: str
    session: str
    sdp: str
    servers: list[IceServer]


class CandidatesOrder(msgspec.Struct, tag="candidates"):
    """More candidates of whoever offered a session."""

    number: int
    key: str
    session: str
    lines: list[str]
    done: bool


class DropOrder(msgspec.Struct, tag="drop"):
    """Close a session, and tell its peer why."""

    key: str
    session: str
    code: int
    reason: str


FromNode = OfferOrder | CandidatesOrder | DropOrder


class OrderDone(msgspec.Struct, tag="answered"):
    """An order was carried out; ``sdp`` is the answer to an offer."""

    number: int
    sdp: str = ""


class OrderRefused(msgspec.Struct, tag="refused"):
    """An order was not, and why."""

    number: int
    problem: Problem


class SessionEnded(msgspec.Struct, tag="ended"):
    """A session is over."""

    key: str
    session: str
    reason: str


FromGateway = OrderDone | OrderRefused | SessionEnded

_encoder = msgspec.msgpack.Encoder()
_from_node: msgspec.msgpack.Decoder[FromNode] = msgspec.msgpack.Decoder(FromNode)
_from_gateway: msgspec.msgpack.Decoder[FromGateway] = msgspec.msgpack.Decoder(FromGateway)
_greeting: msgspec.msgpack.Decoder[Greeting] = msgspec.msgpack.Decoder(Greeting)
decode_from_node, decode_from_gateway, decode_greeting = (
    _from_node.decode,
    _from_gateway.decode,
    _greeting.decode,
)


def encode(message: FromNode | FromGateway | Greeting) -> bytes:
    """``message`` with its length before it."""
    body = _encoder.encode(message)
    return HEAD.pack(len(body)) + body


class Splitter:
    """Messages out of the pieces in which they come. Nothing larger than ``most`` bytes is taken."""

    def __init__(self, most: int = MAX_MESSAGE) -> None:
        self._most, self._rest = most, bytearray()

    def messages(self, data: bytes) -> Iterator[bytes]:
        """Those that are whole now. Raises ValueError for one that is too large."""
        self._rest += data
        start, rest = 0, self._rest
        try:
            while len(rest) - start >= HEAD.size:
                (size,) = HEAD.unpack_from(rest, start)
                if size > self._most:
                    raise ValueError(f"a message of {size} bytes")
                end = start + HEAD.size + size
                if len(rest) < end:
                    break
                yield bytes(memoryview(rest)[start + HEAD.size : end])
                start = end
        finally:
            del rest[:start]


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name of ``path`` that is short enough for a unix socket (108 bytes), for the block: homes may lie deep."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
