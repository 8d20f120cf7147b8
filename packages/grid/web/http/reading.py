"""Reading the bodies of requests: in pieces, up to a limit, and fairly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from grid.web.http.request import Request
from grid.web.http.request_record import record_of
from grid.web.http.requestline import unsupported_media_type
from syft_ext.errors import BadRequest, RequestTimeout, TooLarge
from syft_ext.transport import PayloadReader

__all__ = ["BodyReader", "read_limited", "upload_of"]

PIECE = 128 << 10
BURST = 32 << 10


def upload_of(request: Request, limit: int) -> PayloadReader:
    """The request's body as a stream of at most ``limit`` bytes."""
    if request.header("Content-Encoding") is not None:
        raise unsupported_media_type("encoded bodies are not taken")
    if not request.has_body:
        return PayloadReader.of(b"")
    reader = BodyReader(request.environ, limit, "an upload")
    hold = request.record.hold
    return PayloadReader(reader, request.content_length, into=reader.into, hold=hold)


def read_limited(environ: dict[str, Any], limit: int, what: str) -> bytes | bytearray:
    """The whole body of a request, of at most ``limit`` bytes. Raises :class:`Unavailable` for want of memory."""
    reader, hold = BodyReader(environ, limit, what), record_of(environ).hold
    declared = int(environ.get("CONTENT_LENGTH") or 0)
    if "HTTP_TRANSFER_ENCODING" not in environ:
        hold(declared)  # before any of it is read
        if declared <= PIECE:
            return reader(declared)
    data = bytearray()
    while piece := reader(PIECE):
        if not declared:
            hold(len(piece))
        data += piece
    return data


class BodyReader:
    """``read(n)`` over a request's body: of any length up to ``limit`` bytes, one piece at a time."""

    def __init__(self, environ: dict[str, Any], limit: int, what: str) -> None:
        self._body = environ["wsgi.input"]
        self._left = limit
        self._limit, self._what = limit, what
        if int(environ.get("CONTENT_LENGTH") or 0) > limit:
            raise self._too_large()

    def _too_large(self) -> TooLarge:
        return TooLarge(f"{self._what} may have {self._limit} bytes", limit=self._limit)

    def __call__(self, count: int) -> bytes:
        data: bytes = _read(self._body.read, min(count, PIECE))
        self._count(len(data))
        return data

    def into(self, room: memoryview) -> int:
        """Fill ``room``, as far as the body goes; returns how many bytes there were."""
        read = getattr(self._body, "readinto", None)
        if read is None:  # another server's
            data = self(len(room))
            room[: len(data)] = data
            return len(data)
        count: int = _read(read, room)
        self._count(count)
        return count

    def _count(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise self._too_large()
        if count >= BURST:
            time.sleep(0)  # a client that sends as fast as we read must not starve the others


def _read(read: Callable[[Any], Any], argument: Any) -> Any:
    try:
        return read(argument)
    except TimeoutError as error:
        raise RequestTimeout("the body did not come in time") from error
    except OSError as error:
        raise BadRequest("the connection ended, or broke HTTP's rules, before the body was over") from error
