"""Frames over one WebSocket: every frame is a binary message, exchanges are multiplexed by nonce."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from syft_ext.errors import GridError, Unauthenticated, Unavailable
from syft_ext.transport.dialing import Dial
from syft_ext.transport.multiplexed import MultiplexedTransport
from syft_ext.transport.pipe import LOG_IN_FIRST, CloseCode
from syft_ext.transport.proxies import environment_dial
from syft_ext.transport.reasons import reason_of, tls_context

__all__ = ["WebSocketPipe", "WebSocketTransport", "open_websocket"]

CONNECT_TIMEOUT = 10.0
Piece = bytes | bytearray | memoryview


class WebSocketTransport(MultiplexedTransport):
    """``address`` is ``ws://host:port`` or ``wss://…``; ``ca_file`` is a private CA, if any.

    Reconnects by itself at the next exchange. ``dial`` opens its sockets; by default they are opened as the
    environment says (:mod:`syft_ext.transport.proxies`).
    """

    public = True

    def __init__(
        self,
        address: str,
        *,
        ca_file: str | None = None,
        max_size: int = 1 << 30,
        dial: Dial | None = None,
    ) -> None:
        address = address.rstrip("/")
        secure = address.startswith("wss")
        tls, opened = tls_context(ca_file) if secure else None, dial or environment_dial(secure=secure)
        super().__init__(
            address, lambda: open_websocket(address, "/messages", dial=opened, tls=tls, max_size=max_size)
        )


def open_websocket(
    address: str,
    path: str,
    *,
    dial: Dial,
    tls: ssl.SSLContext | None,
    max_size: int,
    max_message: int | None = None,
) -> WebSocketPipe:
    """The caller's end of a WebSocket to ``path`` of the node at ``address`` (``ws://…`` or ``wss://…``).

    ``max_size``: bytes of the largest message that is taken; ``max_message``: as of the pipe. Raises
    :class:`~syft_ext.errors.Unavailable` when nobody is there.
    """
    try:
        opening = connect(
            f"{address}{path}",
            # On a socket that it is handed it follows no redirect.
            sock=dial(*_place(address), CONNECT_TIMEOUT),
            proxy=None,  # the library would take that of the environment once more
            ssl=tls,
            max_size=max_size,
            open_timeout=CONNECT_TIMEOUT,
            compression=None,
        )
        # Its life is longer than any block; close() ends it. (websockets wants to be entered.)
        return WebSocketPipe(opening.__enter__(), address, max_message)
    except (WebSocketException, OSError, UnicodeError) as error:
        raise _unreachable(address, error) from error


class WebSocketPipe:
    """The caller's end of a WebSocket.

    Attributes:
        max_message: None where a message may be as large as a frame.
        failure: why nothing more comes, once nothing does.
    """

    def __init__(self, socket: ClientConnection, address: str, max_message: int | None = None) -> None:
        self._socket, self._address, self.max_message = socket, address, max_message
        self.failure: GridError | None = None

    def send(self, message: Iterable[Piece]) -> None:
        try:
            self._socket.send(b"".join(message))
        except (WebSocketException, OSError) as error:
            raise _unreachable(self._address, error) from error

    def receive(self) -> bytes | None:
        try:
            while not isinstance(message := self._socket.recv(), bytes):
                pass  # text is no frame
        except (WebSocketException, OSError) as error:
            self.failure = _unreachable(self._address, error)
            return None
        return message

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        self._socket.close(code, reason)


def _place(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)


def _unreachable(address: str, error: Exception) -> GridError:
    if isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.reason == LOG_IN_FIRST:
        return Unauthenticated(f"{address}: {LOG_IN_FIRST}")
    if isinstance(error, ConnectionClosed):
        return Unavailable(f"{address} hung up: {error}")
    return Unavailable(f"{address} cannot be reached: {_reason(address, error)}")


def _reason(address: str, error: Exception) -> str:
    secure = address.startswith("wss")
    if isinstance(error, InvalidStatus):
        return f"it answered HTTP {error.response.status_code} to a WebSocket"
    if isinstance(error, WebSocketException):
        hint = "" if secure else "; one with TLS does so: it is reached by wss://"
        return f"it does not answer in HTTP{hint}"
    return reason_of(error, secure=secure)
