"""Reading the bodies of requests: in pieces, up to a limit, and fairly."""

from __future__ import annotations

import time
from typing import Any

from flask import Request
from werkzeug.exceptions import UnsupportedMediaType

from syft_ext.errors import BadRequest, TooLarge
from syft_ext.transport import PayloadReader

__all__ = ["BodyReader", "has_body", "read_limited", "upload_of"]

PIECE = 256 << 10
BURST = 32 << 10


def has_body(request: Request) -> bool:
    """Whether a body follows (RFC 9112, section 6.3); it may be empty still when it is chunked."""
    return bool(request.content_length) or "Transfer-Encoding" in request.headers


def upload_of(request: Request, limit: int) -> PayloadReader:
    """The request's body as a stream of at most ``limit`` bytes."""
    if "Content-Encoding" in request.headers:
        raise UnsupportedMediaType("encoded bodies are not taken")
    if not has_body(request):
        return PayloadReader.of(b"")
    return PayloadReader(BodyReader(request.environ, limit, "an upload"), request.content_length)


def read_limited(environ: dict[str, Any], limit: int, what: str) -> bytearray:
    """The whole body of a request, of at most ``limit`` bytes."""
    reader = BodyReader(environ, limit, what)
    data = bytearray()
    while piece := reader(PIECE):
        data += piece
    return data


class BodyReader:
    """``read(n)`` over a request's body: of any length up to ``limit`` bytes, one piece at a time."""

    def __init__(self, environ: dict[str, Any], limit: int, what: str) -> None:
        self._read = environ["wsgi.input"].read
        self._left = limit
        self._limit, self._what = limit, what
        if int(environ.get("CONTENT_LENGTH") or 0) > limit:
            raise self._too_large()

    def _too_large(self) -> TooLarge:
        return TooLarge(f"{self._what} may have {self._limit} bytes", limit=self._limit)

    def __call__(self, count: int) -> bytes:
        try:
            data: bytes = self._read(min(count, PIECE))
        except OSError as error:
            raise BadRequest(
                "the connection ended, or broke HTTP's rules, before the body was over"
            ) from error
        self._left -= len(data)
        if self._left < 0:
            raise self._too_large()
        if len(data) >= BURST:
            time.sleep(0)  # a client that sends as fast as we read must not starve the others
        return data
