"""Frames over HTTP(S): ``POST /messages``, one pooled keep-alive connection per concurrent exchange."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import urllib3

from syft_ext.envelope import Envelope, decode_envelope, envelope_size, frame_head
from syft_ext.errors import DeadlineExceeded, InvalidEnvelope, Unavailable
from syft_ext.transport.base import IncomingFrame, Pieces, Transport
from syft_ext.transport.payload import PayloadReader

__all__ = ["MEDIA_TYPE", "HTTPTransport"]

MEDIA_TYPE = "application/vnd.grid.message"


class HTTPTransport(Transport):
    """``address`` is ``http://host:port`` or ``https://host:port``; ``ca_file`` is a private CA, if any."""

    def __init__(self, address: str, *, ca_file: str | None = None, connections: int = 16) -> None:
        self.address = address.rstrip("/")
        context = ssl.create_default_context(cafile=ca_file) if address.startswith("https") else None
        self._pool = urllib3.PoolManager(
            maxsize=connections, block=False, retries=False, ssl_context=context, num_pools=2
        )

    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        head = frame_head(envelope)
        length = len(head) + envelope.payload_size
        try:
            response = self._pool.request(
                "POST",
                f"{self.address}/messages",
                body=_pieces(head, payload) if envelope.payload_size else head,
                headers={"Content-Type": MEDIA_TYPE, "Content-Length": str(length)},
                timeout=urllib3.Timeout(connect=min(10.0, timeout or 10.0), read=timeout),
                preload_content=False,
            )
            return self._incoming(response)
        except urllib3.exceptions.ConnectTimeoutError as error:  # "refused" is one of them in urllib3 2
            raise Unavailable(f"{self.address} cannot be reached") from error
        except urllib3.exceptions.TimeoutError as error:
            raise DeadlineExceeded(f"{self.address} did not answer in time") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(f"{self.address} cannot be reached: {type(error).__name__}") from error

    def _incoming(self, response: urllib3.BaseHTTPResponse) -> IncomingFrame:
        if response.headers.get("Content-Type") != MEDIA_TYPE:
            response.drain_conn()
            raise InvalidEnvelope(f"{self.address} answered HTTP {response.status} without a signed message")

        def read(count: int) -> bytes:
            try:
                data: bytes = response.read(count)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise Unavailable(f"{self.address} hung up: {type(error).__name__}") from error
            return data

        prefix = read(8)
        envelope = decode_envelope(read(envelope_size(prefix)))
        reader = PayloadReader(read, envelope.payload_size, envelope.payload_digest)
        return IncomingFrame(envelope, reader)

    def close(self) -> None:
        self._pool.clear()


def _pieces(head: bytes, payload: Pieces) -> Iterator[bytes]:
    yield head
    for piece in payload:
        view = memoryview(piece).cast("B")
        for start in range(0, len(view), 1 << 20):
            yield view[start : start + (1 << 20)]  # type: ignore[misc]  # http.client sends any buffer
