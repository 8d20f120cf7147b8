"""One kept-alive HTTP/1.1 connection that posts frames: no more of RFC 9112 than a node's answers need.

A search of a Network asks every Domain, and a general client costs more processor time for an exchange than
all signatures of it. Head and a small body leave in one piece; of the answer's head, only framing is read.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterable

from syft_ext.transport.dialing import Dial

__all__ = ["HTTPConnection", "HTTPResponse", "MalformedResponse"]

Buffer = bytes | bytearray | memoryview
MAX_HEAD = 64 << 10
MAX_LINE = 256
RECEIVE = 64 << 10
PIECE = 256 << 10  # at most so much room is made for what may come


class MalformedResponse(Exception):
    """What came back is not HTTP/1.1 or 1.0, or ended early."""


class HTTPConnection:
    """Connects at once; raises OSError (TLS's errors are some), or UnicodeError for an impossible name.

    ``dial`` opens the socket; what it raises passes through.
    """

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        timeout: float,
        dial: Dial,
    ) -> None:
        self._socket = dial(host, port, timeout)
        self._buffer = b""  # received and not read yet
        try:
            self._socket.settimeout(timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                self._socket = context.wrap_socket(self._socket, server_hostname=host)
        except BaseException:
            self._socket.close()
            raise

    def alive(self) -> bool:
        """Whether a connection that was idle can be used: nobody hung up, and nothing came unasked."""
        if self._buffer:
            return False
        try:
            self._socket.settimeout(0)
            socket.socket.recv(self._socket, 1, socket.MSG_PEEK)  # beneath TLS: its records count as well
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def exchange(self, head: bytes, pieces: Iterable[Buffer], timeout: float | None) -> HTTPResponse:
        """Send a request and read the head of its answer, for which there are ``timeout`` seconds.

        Raises OSError (TimeoutError is one) and :class:`MalformedResponse`.
        """
        self._socket.settimeout(timeout)
        # A node that refuses a large body answers and hangs up before it has read all of it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(head)
            for piece in pieces:
                self._socket.sendall(piece)
        deadline = None if timeout is None else time.monotonic() + timeout
        status, headers = 100, dict[bytes, bytes]()
        while status < 200:  # interim answers
            status, headers = _parse(self._head(deadline))
            if deadline is not None and time.monotonic() > deadline:  # interim answers without an end
                raise TimeoutError("the answer did not begin in time")
        self._socket.settimeout(timeout)
        return HTTPResponse(self, status, headers)

    def _head(self, deadline: float | None) -> bytes:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise MalformedResponse("the head is too long")
            if deadline is not None and self._buffer:  # one that drips is bounded, too
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            self._buffer += self._received(RECEIVE)
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return head

    def _received(self, count: int) -> bytes:
        data = self._socket.recv(count)
        if not data:
            raise MalformedResponse("hung up")
        return data

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes, at least one."""
        if not self._buffer:
            return self._received(min(count, PIECE))
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def line(self) -> bytes:
        """Up to the next line feed, which is left out."""
        while (end := self._buffer.find(b"\n", 0, MAX_LINE)) < 0:
            if len(self._buffer) >= MAX_LINE:
                raise MalformedResponse("a line is too long")
            self._buffer += self._received(RECEIVE)
        line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
        return line.strip()

    def close(self) -> None:
        self._socket.close()

    def abort(self) -> None:
        """End it while another thread uses it, which then sees that the peer hung up."""
        with contextlib.suppress(OSError):  # not connected any more
            self._socket.shutdown(socket.SHUT_RDWR)

    def __del__(self) -> None:
        """An answer that nobody read to its end, a transport that nobody closed: the socket goes with them."""
        if hasattr(self, "_socket"):  # else it was never connected
            self._socket.close()


class HTTPResponse:
    """An answer whose head was read.

    Attributes:
        headers: by lower-case names; of several with one name, the last.
        length: bytes of the body; None when only its end will tell.
    """

    def __init__(self, connection: HTTPConnection, status: int, headers: dict[bytes, bytes]) -> None:
        self._connection = connection
        self.status, self.headers = status, headers
        self._chunked = b"transfer-encoding" in headers
        if self._chunked and headers[b"transfer-encoding"].lower() != b"chunked":
            raise MalformedResponse("an unknown transfer coding")
        length = headers.get(b"content-length", b"")
        if length and not length.isdigit():
            raise MalformedResponse("the length is not a number")
        self.length = int(length) if length and not self._chunked else None
        self._left = self.length if self.length is not None else 0

    @property
    def kept_alive(self) -> bool:
        """Whether the body was read to its end, and another request may follow."""
        return self.length is not None and not self._left and b"close" not in self.headers.get(
            b"connection", b""
        ).lower()  # fmt: skip

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes of the body; none at its end."""
        if self._chunked:
            return self._read_chunk(count)
        if self.length is None:
            return self._connection.read(count)
        data = self._connection.read(min(count, self._left)) if self._left else b""
        self._left -= len(data)
        return data

    def _read_chunk(self, count: int) -> bytes:
        if not self._left:
            try:
                self._left = int(self._connection.line().split(b";")[0], 16)
            except ValueError:
                raise MalformedResponse("a chunk's size is not readable") from None
            if not self._left:
                return b""
        data = self._connection.read(min(count, self._left))
        self._left -= len(data)
        if not self._left:
            self._connection.line()
        return data


def _parse(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    first, *lines = head.split(b"\r\n")
    version, _, rest = first.partition(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not rest[:3].isdigit():
        raise MalformedResponse("not an answer in HTTP/1.1")
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    if (
        version == b"HTTP/1.0"
    ):  # an endpoint of others, or a proxy: it knows no chunks, and keeps nothing open
        if b"transfer-encoding" in headers:
            raise MalformedResponse("an answer in HTTP/1.0 has no transfer coding")
        headers[b"connection"] = b"close"
    return int(rest[:3]), headers
