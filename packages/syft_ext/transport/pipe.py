"""What exchanges are multiplexed over: whole messages, in order, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Protocol

__all__ = ["LOG_IN_FIRST", "WINDOW", "CloseCode", "MessagePipe"]

Piece = bytes | bytearray | memoryview


WINDOW = 256 << 10

#: What a node says when it ends a connection (1009): so large a message it takes only from those it knows.
LOG_IN_FIRST = "log in first: of strangers only small messages are taken"


class CloseCode(IntEnum):
    """Why a connection, or an exchange, ends: the codes of RFC 6455, section 7.4, that are used."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013


class MessagePipe(Protocol):
    """A WebSocket, a data channel, or whatever else keeps messages apart and in order.

    Attributes:
        max_message: bytes that a message may have; None when it may be as large as a frame. Both ends must
            say the same: frames travel whole, or in segments (:mod:`syft_ext.transport.segments`).
        window: bytes of a frame in segments that may be under way, where a pipe has another than
            :data:`WINDOW`; both ends must say the same.
        streams: exchanges in segments that may be under way, where a pipe has fewer than others.
    """

    @property
    def max_message(self) -> int | None:
        """See above; fixed for a connection."""

    def send(self, message: Iterable[Piece]) -> None:
        """Send one message, given in pieces; several threads may. It waits while the other end is slow.

        Raises :class:`~syft_ext.errors.Unavailable` when the connection is closed or breaks.
        """

    def receive(self) -> bytes | None:
        """The next message; one thread asks. None once the connection has ended, however that came about."""

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """End the connection, and wake whoever is in :meth:`receive`. May be called twice."""
