"""Frames over one WebSocket: every frame is a binary message, exchanges are multiplexed by nonce."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from syft_ext.errors import Unavailable
from syft_ext.transport.multiplexed import MultiplexedTransport
from syft_ext.transport.pipe import CloseCode

__all__ = ["WebSocketTransport"]

CONNECT_TIMEOUT = 10.0
Piece = bytes | bytearray | memoryview


class WebSocketTransport(MultiplexedTransport):
    """``address`` is ``ws://host:port`` or ``wss://…``; ``ca_file`` is a private CA, if any.

    Reconnects by itself at the next exchange.
    """

    public = True

    def __init__(self, address: str, *, ca_file: str | None = None, max_size: int = 1 << 30) -> None:
        address = address.rstrip("/")
        context = ssl.create_default_context(cafile=ca_file) if address.startswith("wss") else None

        def open_pipe() -> _WebSocketPipe:
            try:
                opening = connect(
                    f"{address}/messages",
                    ssl=context,
                    max_size=max_size,
                    open_timeout=CONNECT_TIMEOUT,
                    compression=None,
                )
                # Its life is longer than any block; close() ends it. (websockets wants to be entered.)
                return _WebSocketPipe(opening.__enter__(), address)
            except (WebSocketException, OSError) as error:
                raise _unreachable(address, error) from error

        super().__init__(address, open_pipe)


class _WebSocketPipe:
    """The caller's end of a WebSocket. A message may be as large as a frame."""

    max_message = None

    def __init__(self, socket: ClientConnection, address: str) -> None:
        self._socket, self._address = socket, address

    def send(self, message: Iterable[Piece]) -> None:
        try:
            self._socket.send(b"".join(message))
        except (WebSocketException, OSError) as error:
            raise _unreachable(self._address, error) from error

    def receive(self) -> bytes | None:
        try:
            while not isinstance(message := self._socket.recv(), bytes):
                pass  # text is no frame
        except (WebSocketException, OSError):
            return None
        return message

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        self._socket.close(code, reason)


def _unreachable(address: str, error: Exception) -> Unavailable:
    return Unavailable(f"{address} cannot be reached: {type(error).__name__}")
