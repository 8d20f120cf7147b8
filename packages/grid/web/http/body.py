"""A request's body on pywsgi: counted, strictly framed, and never drained without limit."""

from __future__ import annotations

import re
from typing import Any

from gevent.pywsgi import Input

from grid.web.http.headers import FIELD
from grid.web.http.request_record import RequestRecord

__all__ = ["DRAIN_LIMIT", "Body"]

DRAIN_LIMIT = 1 << 20
_SIZE_LINE = re.compile(rb"([0-9a-fA-F]{1,15})((?:[ \t]*;[\t -~\x80-\xff]*)?)\r\n")
_MAX_LINE, _MAX_TRAILERS = 4096, 64
_EXTENSIONS = 16 << 10
_MANY_CHUNKS, _TINY = 10_000, 64


class Body(Input):  # type: ignore[misc]  # gevent has no types
    """``wsgi.input`` of one request."""

    def __init__(
        self, rfile: Any, content_length: int | None, expects: Any, chunked: bool, record: RequestRecord
    ) -> None:
        super().__init__(rfile, content_length, socket=expects, chunked_input=chunked)
        self.record = record
        self.chunks = self.extensions = 0

    def read(self, length: int | None = None) -> bytes:
        """As pywsgi does, and counted; after an error the connection is not used again."""
        try:
            data: bytes = super().read(length)
        except OSError:
            self._chunked_input_error = True
            raise
        self.record.received += len(data)
        return data

    def readinto(self, room: memoryview) -> int:
        """Fill ``room`` as far as the body goes, without copies on the way; returns how many bytes there were."""
        if self.chunked_input:
            data = self.read(len(room))
            room[: len(data)] = data
            return len(data)
        left = (self.content_length or 0) - self.position
        room = room[:left]
        if not room:
            return 0
        self._send_100_continue()
        try:
            count: int = self.rfile.readinto(room)
        except OSError:
            self._chunked_input_error = True
            raise
        self.position += count
        self.record.received += count
        if count < len(room):
            raise self._broken("the connection ended before the body was over")
        return count

    def unread(self) -> int | None:
        """Bytes of the body that nobody read; None when only the client knows, or it will not come."""
        if self._chunked_input_error:
            return None
        if self.chunked_input:
            return 0 if self.chunk_length == 0 else None
        return (self.content_length or 0) - self.position

    def awaited(self) -> bool:
        """Whether the client waits for "100 Continue" before it sends anything."""
        return self.socket is not None

    def _discard(self) -> None:
        """pywsgi calls this after the answer; what is more than this the handler closes the connection on."""
        unread = self.unread()
        if unread and unread <= DRAIN_LIMIT and not self.awaited():
            super()._discard()

    # pywsgi parses chunk sizes byte by byte in Python and takes any number of tiny ones: a client could
    # make the event loop stand still. RFC 9112, section 7.1.
    def _chunked_read(self, length: int | None = None, use_readline: bool = False) -> bytes:
        if use_readline:
            raise OSError("chunked bodies are not read by line")
        self._send_100_continue()
        pieces = []
        while length != 0 and self.chunk_length != 0:
            left = self.chunk_length - self.position
            if left <= 0:
                self._next_chunk()
                continue
            data = self.rfile.read(left if length is None else min(left, length))
            if not data:
                raise self._broken("unexpected end of a chunked body")
            pieces.append(data)
            self.position += len(data)
            length = None if length is None else length - len(data)
            if self.position == self.chunk_length and self.rfile.read(2) != b"\r\n":
                raise self._broken("a chunk does not end where it should")
        return b"".join(pieces)

    def _next_chunk(self) -> None:
        match = _SIZE_LINE.fullmatch(self.rfile.readline(_MAX_LINE))
        if match is None:
            raise self._broken("a chunk's size is not readable")
        self.chunk_length, self.position = int(match[1], 16), 0
        self.chunks += 1
        self.extensions += len(match[2])
        if self.extensions > _EXTENSIONS + self.record.received:
            raise self._broken("too long extensions of chunks")
        if self.chunks > _MANY_CHUNKS and self.record.received < self.chunks * _TINY:
            raise self._broken("too many tiny chunks")
        if self.chunk_length == 0:
            self._skip_trailers()

    def _skip_trailers(self) -> None:
        for _ in range(_MAX_TRAILERS):
            line = self.rfile.readline(_MAX_LINE)
            if line == b"\r\n":
                return
            if FIELD.fullmatch(line.decode("latin-1")) is None:
                break
        raise self._broken("the trailers of a chunked body are not readable")

    def _broken(self, reason: str) -> OSError:
        self._chunked_input_error = True
        return OSError(reason)
