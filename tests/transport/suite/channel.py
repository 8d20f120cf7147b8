"""A pipe whose messages are small, as a data channel's: a pair of sockets, each message behind its length."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterable

from syft_ext.errors import Unavailable
from syft_ext.transport.multiplexed import MultiplexedTransport
from syft_ext.transport.pipe import CloseCode, MessagePipe
from syft_ext.transport.relayed.sealed import ask_sealed

__all__ = ["ChannelPipe", "ChannelTransport", "SealedChannelTransport", "channel"]

LENGTH = struct.Struct(">I")


class ChannelPipe:
    """One end. It carries what a data channel carries at most, and refuses more.

    Attributes:
        largest: bytes of the largest message that was sent.
    """

    max_message = 16 << 10

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._sending = threading.Lock()
        self.largest = 0

    def send(self, message: Iterable[bytes | bytearray | memoryview]) -> None:
        data = b"".join(message)
        assert len(data) <= self.max_message
        self.largest = max(self.largest, len(data))
        try:
            with self._sending:
                self._line.sendall(LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise Unavailable("the channel is closed") from error

    def receive(self) -> bytes | None:
        head = self._exactly(LENGTH.size)
        return self._exactly(LENGTH.unpack(head)[0]) if head is not None else None

    def _exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            try:
                more = self._line.recv(count - len(data))
            except OSError:
                return None
            if not more:
                return None
            data += more
        return data

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self._line.close()

    def __del__(self) -> None:
        self._line.close()


def channel() -> tuple[ChannelPipe, ChannelPipe]:
    """Both ends."""
    one, other = socket.socketpair()
    return ChannelPipe(one), ChannelPipe(other)


#: Who answers at the other end of ``channel://name``; runs in a thread for each channel.
ANSWERING: dict[str, Callable[[ChannelPipe], None]] = {}


class ChannelTransport(MultiplexedTransport):
    """``address`` is ``channel://name``."""

    def __init__(self, address: str, *, ca_file: str | None = None) -> None:
        super().__init__(address, self._open)

    def _open(self) -> MessagePipe:
        return self._open_channel()

    def _open_channel(self) -> ChannelPipe:
        serve = ANSWERING.get(self.address.partition("://")[2])
        if serve is None:
            raise Unavailable(f"{self.address} cannot be reached")
        mine, theirs = channel()
        threading.Thread(target=serve, args=(theirs,), daemon=True).start()
        return mine


class SealedChannelTransport(ChannelTransport):
    """The same, sealed to the node of ``verify_key``."""

    def __init__(self, address: str, verify_key: str) -> None:
        super().__init__(address)
        self._verify_key = verify_key

    def _open(self) -> MessagePipe:
        return ask_sealed(self._open_channel(), self._verify_key)
