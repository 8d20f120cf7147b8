"""Frames over one WebSocket: every frame is a binary message, exchanges are multiplexed by nonce."""

from __future__ import annotations

import ssl
import threading

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from syft_ext.errors import DeadlineExceeded, GridError, Unavailable
from syft_ext.messages.envelope import Envelope, frame_head, open_frame
from syft_ext.transport.base import IncomingFrame, Pieces, Transport
from syft_ext.transport.payload import PayloadReader

__all__ = ["WebSocketTransport"]


class _Pending:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.frame: tuple[Envelope, memoryview] | None = None


class WebSocketTransport(Transport):
    """``address`` is ``ws://host:port`` or ``wss://…``; ``ca_file`` is a private CA, if any.

    Reconnects by itself at the next exchange.
    """

    public = True

    def __init__(self, address: str, *, ca_file: str | None = None, max_size: int = 1 << 30) -> None:
        self.address = address.rstrip("/")
        self._context = ssl.create_default_context(cafile=ca_file) if address.startswith("wss") else None
        self._max_size = max_size
        self._lock = threading.Lock()
        self._socket: ClientConnection | None = None
        self._pending: dict[bytes, _Pending] = {}

    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        pending = self._pending[envelope.nonce] = _Pending()
        try:
            self._connected().send(b"".join((frame_head(envelope), *payload)))
            if not pending.done.wait(timeout):
                raise DeadlineExceeded(f"{self.address} did not answer in time")
        except (WebSocketException, OSError, TimeoutError) as error:
            raise Unavailable(f"{self.address} cannot be reached: {type(error).__name__}") from error
        finally:
            self._pending.pop(envelope.nonce, None)
        if pending.frame is None:
            raise Unavailable(f"{self.address} hung up")
        reply, data = pending.frame
        return IncomingFrame(reply, PayloadReader.of(data, reply.payload_digest))

    def _connected(self) -> ClientConnection:
        with self._lock:
            if self._socket is None:
                opening = connect(
                    f"{self.address}/messages",
                    ssl=self._context,
                    max_size=self._max_size,
                    open_timeout=10,
                    compression=None,
                )
                # Its life is longer than any block; close() ends it. (websockets wants to be entered.)
                self._socket = opening.__enter__()
                threading.Thread(target=self._read, args=(self._socket,), daemon=True).start()
            return self._socket

    def _read(self, socket: ClientConnection) -> None:
        try:
            for message in socket:
                if isinstance(message, bytes):
                    self._deliver(message)
        except (WebSocketException, OSError):
            pass
        finally:
            with self._lock:
                if self._socket is socket:
                    self._socket = None
            for pending in list(self._pending.values()):
                pending.done.set()

    def _deliver(self, message: bytes) -> None:
        try:
            frame = open_frame(message)
        except GridError:
            return  # not an answer to anything
        pending = self._pending.get(frame[0].in_reply_to)
        if pending is not None:
            pending.frame = frame
            pending.done.set()

    def close(self) -> None:
        with self._lock:
            socket, self._socket = self._socket, None
        if socket is not None:
            socket.close()
