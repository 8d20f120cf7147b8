"""Between a process and its confined child that holds the library: typed messages over a socket, and bytes
behind them.

A frame is ``uint32 n``, ``uint64 m`` (little-endian), ``n`` bytes of msgpack, ``m`` bytes. Nothing is unpickled.
"""

from __future__ import annotations

import socket
import struct
from typing import TypeAlias

import msgspec

from syft_ext.encrypted.forms import Form
from syft_ext.errors import GridError

__all__ = [
    "Decrypt",
    "Encrypt",
    "LibraryDone",
    "LibraryFailed",
    "LibraryReady",
    "MakeKeys",
    "Open",
    "Reply",
    "Request",
    "Shift",
    "Summand",
    "TakeSum",
    "receive_reply",
    "receive_request",
    "send",
]

_HEADER = struct.Struct("<IQ")
_MOST_BODY, _MOST_BULK = 1 << 16, 1 << 32


class MakeKeys(msgspec.Struct, frozen=True, tag=True):
    """New keys of these parameters: :class:`LibraryDone` with two lengths, and both messages behind it."""

    parameters: str


class Open(msgspec.Struct, frozen=True, tag=True):
    """From now on, this context (the bytes behind); another one is forgotten."""

    parameters: str
    secret: bool


class Encrypt(msgspec.Struct, frozen=True, tag=True):
    """The numbers behind (float64, or int64 of a scheme of whole numbers), in this form."""

    form: Form


class Decrypt(msgspec.Struct, frozen=True, tag=True):
    """The ciphertexts behind, as in a frame; ``count``: of a form that is counted, how many must be in it;
    ``real``: how large an imaginary part may be at most, None: nobody looks."""

    form: Form
    count: int
    real: float | None = None


class Summand(msgspec.Struct, frozen=True, tag=True):
    """Ciphertexts of vectors with ``slots`` numbers, as long as ``lengths`` says, to be added to what came
    since the ``first`` of a sum, which forgets whatever an earlier one left. Not answered."""

    form: Form
    slots: int
    lengths: list[int]
    first: bool


class Shift(msgspec.Struct, frozen=True, tag=True):
    """Add the plain numbers behind (float64) to what came since the first summand. Not answered."""


class TakeSum(msgspec.Struct, frozen=True, tag=True):
    """The sum of what came since the first summand."""


class LibraryReady(msgspec.Struct, frozen=True, tag=True):
    """Once: the child is confined by these means, and lacks those."""

    protections: list[str]
    missing: dict[str, str]


class LibraryDone(msgspec.Struct, frozen=True, tag=True):
    """It was done; ``lengths``: of the parts of what is behind."""

    lengths: list[int] = []


class LibraryFailed(msgspec.Struct, frozen=True, tag=True):
    """The error, without a traceback."""

    code: str
    detail: str


Request: TypeAlias = MakeKeys | Open | Encrypt | Decrypt | Summand | Shift | TakeSum
Reply: TypeAlias = LibraryReady | LibraryDone | LibraryFailed
_REQUESTS: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_REPLIES: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def send(channel: socket.socket, message: Request | Reply, *bulk: bytes | bytearray | memoryview) -> None:
    """Write a message, and what is behind it. OSError when the other side is gone."""
    body = msgspec.msgpack.encode(message)
    channel.sendall(_HEADER.pack(len(body), sum(len(each) for each in bulk)) + body)
    for each in bulk:
        channel.sendall(each)


def receive_request(channel: socket.socket) -> tuple[Request, bytearray] | None:
    """The next request; None at the end."""
    found = _receive(channel)
    return None if found is None else (_REQUESTS.decode(found[0]), found[1])


def receive_reply(channel: socket.socket) -> tuple[Reply, bytearray] | None:
    """The next answer; None at the end. Raises :class:`msgspec.MsgspecError` for what is none."""
    found = _receive(channel)
    return None if found is None else (_REPLIES.decode(found[0]), found[1])


def _receive(channel: socket.socket) -> tuple[bytearray, bytearray] | None:
    header = _exactly(channel, _HEADER.size)
    if header is None:
        return None
    body, bulk = _HEADER.unpack(header)
    if body > _MOST_BODY or bulk > _MOST_BULK:
        raise GridError("an impossible message")
    first = _exactly(channel, body)
    second = None if first is None else _exactly(channel, bulk)
    return None if first is None or second is None else (first, second)


def _exactly(channel: socket.socket, size: int) -> bytearray | None:
    data = bytearray(size)
    view, filled = memoryview(data), 0
    while filled < size:
        count = channel.recv_into(view[filled:], 0, socket.MSG_WAITALL)
        if not count:
            return None
        filled += count
    return data
