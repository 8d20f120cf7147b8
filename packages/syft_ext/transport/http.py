"""Frames over HTTP(S): ``POST /messages``, one pooled keep-alive connection per concurrent exchange."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import cached_property
from urllib.parse import urlsplit

from syft_ext.errors import DeadlineExceeded, InvalidEnvelope, Unavailable
from syft_ext.messages.envelope import Envelope, decode_envelope, envelope_size, frame_head
from syft_ext.transport.base import IncomingFrame, Pieces, Transport
from syft_ext.transport.http_connection import HTTPConnection, HTTPResponse, MalformedResponse
from syft_ext.transport.payload import PayloadReader

__all__ = ["MEDIA_TYPE", "HTTPTransport"]

MEDIA_TYPE = "application/vnd.grid.message"
CONNECT_TIMEOUT = 10.0
SMALL = 64 << 10
PIECE = 1 << 20
_PREFIX = 8


class HTTPTransport(Transport):
    """``address`` is ``http://host:port`` or ``https://host:port``; ``ca_file`` is a private CA, if any.

    At most ``connections`` are kept open while nobody uses them.
    """

    public = True

    def __init__(self, address: str, *, ca_file: str | None = None, connections: int = 16) -> None:
        self.address = address.rstrip("/")
        self._context = ssl.create_default_context(cafile=ca_file) if address.startswith("https") else None
        self._keep = connections
        self._idle: list[HTTPConnection] = []  # appending and popping are atomic
        self._closed = False

    @cached_property
    def _target(self) -> tuple[str, int, bytes]:
        """Host, port, and the head of every request but for the length of its body."""
        parts = urlsplit(self.address)
        host = parts.hostname or ""
        port = parts.port or (443 if self._context is not None else 80)
        shown = f"[{host}]" if ":" in host else host.encode("idna").decode()
        head = (
            f"POST {parts.path}/messages HTTP/1.1\r\nHost: {shown}:{port}\r\n"
            f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: "
        )
        return host, port, head.encode("ascii")

    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        connection = self._idle_connection() or self._connect(timeout)
        try:
            frame = self._exchange(connection, envelope, payload, timeout)
        except TimeoutError as error:
            connection.close()
            raise DeadlineExceeded(f"{self.address} did not answer in time") from error
        except (MalformedResponse, OSError) as error:
            connection.close()
            raise Unavailable(f"{self.address} cannot be reached: {type(error).__name__}") from error
        except BaseException:
            connection.close()
            raise
        return frame

    def _idle_connection(self) -> HTTPConnection | None:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread took the last one
                break
            if connection.alive():
                return connection
            connection.close()
        return None

    def _connect(self, timeout: float | None) -> HTTPConnection:
        try:
            host, port, _ = self._target
            limit = min(CONNECT_TIMEOUT, timeout or CONNECT_TIMEOUT)
            return HTTPConnection(host, port, self._context, limit)
        except (OSError, ValueError) as error:  # ValueError: not the name of any host
            raise Unavailable(f"{self.address} cannot be reached") from error

    def _exchange(
        self, connection: HTTPConnection, envelope: Envelope, payload: Pieces, timeout: float | None
    ) -> IncomingFrame:
        frame = frame_head(envelope)
        head = self._target[2] + b"%d\r\n\r\n" % (len(frame) + envelope.payload_size) + frame
        if envelope.payload_size <= SMALL:
            head, payload = b"".join((head, *payload)), ()
        response = connection.exchange(head, _bounded(payload), timeout)
        if response.headers.get(b"content-type") != MEDIA_TYPE.encode():
            raise InvalidEnvelope(f"{self.address} answered HTTP {response.status} without a signed message")
        return self._incoming(connection, response)

    def _incoming(self, connection: HTTPConnection, response: HTTPResponse) -> IncomingFrame:
        size = envelope_size(_exactly(response, _PREFIX))
        envelope = decode_envelope(_exactly(response, size))
        length = _PREFIX + size + envelope.payload_size
        if response.length not in (None, length):
            raise InvalidEnvelope(f"{self.address} answered with {response.length} bytes instead of {length}")
        left = envelope.payload_size

        def read(count: int) -> bytes:
            nonlocal left
            try:
                data = response.read(count)
            except (MalformedResponse, OSError) as error:
                connection.close()
                raise Unavailable(f"{self.address} hung up: {type(error).__name__}") from error
            left -= len(data)
            if not left:
                self._release(connection, response)
            return data

        if not left:
            self._release(connection, response)
        return IncomingFrame(envelope, PayloadReader(read, left, envelope.payload_digest))

    def _release(self, connection: HTTPConnection, response: HTTPResponse) -> None:
        """The answer was read to its end."""
        if response.kept_alive and not self._closed and len(self._idle) < self._keep:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close what is idle; what is in use is closed when its answer was read."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


def _exactly(response: HTTPResponse, count: int) -> bytes:
    data = response.read(count)
    while len(data) < count:
        more = response.read(count - len(data))
        if not more:
            raise MalformedResponse("truncated frame")
        data += more
    return data


def _bounded(payload: Pieces) -> Iterator[memoryview]:
    for piece in payload:
        view = memoryview(piece).cast("B")
        for start in range(0, len(view), PIECE):
            yield view[start : start + PIECE]
