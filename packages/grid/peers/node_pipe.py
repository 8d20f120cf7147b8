"""A channel of a peer's session as the node has it: a pipe of messages over a socket of its gateway."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable

from grid.peers.gateway.wire import HEAD, Splitter
from syft_ext.errors import Unavailable
from syft_ext.transport.frames import Piece
from syft_ext.transport.pipe import CloseCode
from syft_ext.transport.webrtc.terms import MAX_MESSAGE, STALLED, STREAMS, WINDOW

__all__ = ["NodePipe"]

_RECEIVE = 256 << 10
_PATIENCE = 2 * STALLED
"""Seconds in which the gateway takes a message: more than it gives its peer."""
_LAST_WORD = 5.0
"""Seconds in which the gateway reads the last message and hangs up."""


class NodePipe:
    """A message pipe over ``connection``; ``splitter`` may hold what came behind the greeting."""

    max_message = MAX_MESSAGE
    window = WINDOW
    streams = STREAMS

    def __init__(self, connection: socket.socket, splitter: Splitter, early: Iterable[bytes] = ()) -> None:
        self._socket, self._splitter = connection, splitter
        self._messages = deque(early)
        self._sending = threading.Lock()
        self._closed = False
        connection.settimeout(_PATIENCE)

    def send(self, message: Iterable[Piece]) -> None:
        whole = b"".join(message)
        with self._sending:
            if self._closed:
                raise Unavailable("the session is over")
            try:
                self._socket.sendall(HEAD.pack(len(whole)) + whole)
            except OSError as error:
                self.close()
                raise Unavailable("the session broke") from error

    def receive(self) -> bytes | None:
        while not self._messages:
            try:
                data = self._socket.recv(_RECEIVE)
                self._messages.extend(() if self._closed else self._splitter.messages(data))
            except TimeoutError:
                if self._closed:
                    return None
                continue  # nothing may be said for long: the gateway ends what is idle
            except (OSError, ValueError):
                return None
            if not data or self._closed:
                return None
        return None if self._closed else self._messages.popleft()

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """The gateway hears the end behind all that was sent, and hangs up; who receives wakes then."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def finish(self) -> None:
        """Close, and let go what still comes until the gateway has hung up. A gateway that writes to a socket that
        is gone would never read what was said last: why the session ended."""
        self.close()
        with contextlib.suppress(OSError):
            self._socket.settimeout(_LAST_WORD)
            until = time.monotonic() + _LAST_WORD
            while self._socket.recv(_RECEIVE) and time.monotonic() < until:
                pass
