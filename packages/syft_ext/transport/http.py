"""Frames over HTTP(S): ``POST /messages``, one pooled keep-alive connection per concurrent exchange."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from functools import cached_property
from urllib.parse import urlsplit

from syft_ext.errors import DeadlineExceeded, InvalidEnvelope, Unavailable
from syft_ext.messages.envelope import Envelope, decode_envelope, envelope_size, frame_head
from syft_ext.transport.base import IncomingFrame, Pieces, Transport
from syft_ext.transport.dialing import Dial
from syft_ext.transport.http_connection import HTTPConnection, HTTPResponse, MalformedResponse
from syft_ext.transport.payload import PayloadReader
from syft_ext.transport.proxies import environment_dial
from syft_ext.transport.reasons import reason_of, tls_context

__all__ = ["MEDIA_TYPE", "HTTPTransport"]

MEDIA_TYPE = "application/vnd.grid.message"
CONNECT_TIMEOUT = 10.0
SMALL = 64 << 10
PIECE = 1 << 20
_PREFIX = 8

#: What a node that stops, or a proxy before one that is not there, answers (RFC 9110, 15.6): it passes.
_PASSING = frozenset({502, 503, 504})


class HTTPTransport(Transport):
    """``address`` is ``http://host:port`` or ``https://host:port``; ``ca_file`` is a private CA, if any.

    At most ``connections`` are kept open while nobody uses them. ``dial`` opens sockets; by default they are
    opened as the environment says (:mod:`syft_ext.transport.proxies`).
    """

    public = True
    streams = True

    def __init__(
        self,
        address: str,
        *,
        ca_file: str | None = None,
        connections: int = 16,
        dial: Dial | None = None,
    ) -> None:
        self.address = address.rstrip("/")
        self._secure = address.startswith("https")
        self._context = tls_context(ca_file) if self._secure else None
        self._keep, self._dial = connections, dial or environment_dial(secure=self._secure)
        self._used: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
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
        idle = self._idle_connection()
        connection = idle or self._connect(timeout)
        try:
            frame = self._exchange(connection, envelope, payload, timeout)
        except TimeoutError as error:
            connection.close()
            raise DeadlineExceeded(f"{self.address} did not answer in time") from error
        except (MalformedResponse, OSError) as error:
            connection.close()
            # Of a connection that has carried answers nobody asks whether it should have spoken TLS.
            reason = self._reason(error) if idle is None else "it hung up before it answered"
            raise Unavailable(f"{self.address} cannot be reached: {reason}") from error
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
            connection = HTTPConnection(host, port, self._context, limit, self._dial)
        except (OSError, ValueError) as error:  # ValueError: not the name of any host
            raise Unavailable(f"{self.address} cannot be reached: {self._reason(error)}") from error
        self._used.add(connection)
        return connection

    def _reason(self, error: Exception) -> str:
        if isinstance(error, MalformedResponse):  # TLS's alert among them
            hint = "" if self._secure else "; one with TLS does so: it is reached by https://"
            return f"it does not answer in HTTP ({error}){hint}"
        return reason_of(error, secure=self._secure)

    def _exchange(
        self, connection: HTTPConnection, envelope: Envelope, payload: Pieces, timeout: float | None
    ) -> IncomingFrame:
        frame = frame_head(envelope)
        head = self._target[2] + b"%d\r\n\r\n" % (len(frame) + envelope.payload_size) + frame
        if envelope.payload_size <= SMALL:
            head, payload = b"".join((head, *payload)), ()
        response = connection.exchange(head, _bounded(payload), timeout)
        if response.headers.get(b"content-type") != MEDIA_TYPE.encode():
            if response.status in _PASSING:
                raise Unavailable(
                    f"{self.address} answers HTTP {response.status} for now, without a signed message"
                )
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

    def abort(self) -> None:
        """Close everything: whoever waits for an answer is told that the node cannot be reached."""
        self.close()
        for connection in list(self._used):
            connection.abort()


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
