"""One WebSocket connection (RFC 6455): a socket below, ``websockets``' sans-IO protocol inside."""

from __future__ import annotations

import contextlib
import socket as sockets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from websockets.frames import CloseCode, Opcode
from websockets.protocol import OPEN, SEND_EOF, SERVER, Protocol

from grid.web.http.request import Request
from grid.web.limits.memory import Holding
from syft_ext.errors import Unavailable
from syft_ext.transport.pipe import LOG_IN_FIRST

__all__ = ["WebSocket"]

RECEIVE_SIZE = 256 << 10
FRAGMENT = 256 << 10
LINGER = 3.0
SWALLOWED = 1 << 20
PATIENCE = 0.5
Buffer = bytes | bytearray | memoryview


class _Protocol(Protocol):
    """As it is, but that strangers are told what would help them."""

    trusted = False

    def fail(self, code: int, reason: str = "") -> None:
        if code == CloseCode.MESSAGE_TOO_BIG and not self.trusted:
            reason = LOG_IN_FIRST
        super().fail(code, reason)


class WebSocket:
    """What a handler gets; flask-sockets' ``receive``, ``send``, ``close`` and ``closed``.

    One greenlet receives, any number may send. Incoming pings are answered, and a silent peer is pinged and
    dropped, while somebody waits in :meth:`receive`.

    Args:
        sock: the connected socket, handshake done; plain, gevent's, or TLS.
        early: bytes that arrived right behind the handshake.
        request: the handshake.
        max_message: a larger message closes the connection with code 1009.
        ping_interval: seconds of silence before a ping; as many again and the peer counts as dead. Also
            the time in which a peer must take 256 KiB that are sent to it.
        memory: what its messages are counted against; exceeding it closes with code 1013.
        trusted: called once, when :meth:`trust` is.
    """

    def __init__(
        self,
        sock: Any,
        early: bytes,
        *,
        request: Request,
        max_message: int,
        ping_interval: float,
        memory: Holding,
        trusted: Callable[[], None] = lambda: None,
    ) -> None:
        self.request = request
        self._trusted: Callable[[], None] | None = trusted
        self.memory = memory
        self._held = self._queued = 0
        self._socket = sock
        self._socket.settimeout(ping_interval)
        self._protocol = _Protocol(SERVER, state=OPEN, max_size=max_message)
        self._early = early
        self._messages: deque[str | bytes] = deque()
        self._partial: bytearray | None = None
        self._text = False
        self._pinged = False
        self._ended = False
        self._outgoing: list[bytes] = []
        self._state = threading.Lock()  # the protocol and _outgoing; never held while the network is slow
        self._writing = threading.Lock()  # the socket's sending half, for one whole message

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._ended or self._protocol.state is not OPEN

    def trust(self, max_message: int) -> None:
        """Take messages of up to ``max_message`` bytes from now on: it is known who sends them."""
        trusted, self._trusted = self._trusted, None
        if trusted is not None:
            with self._state:
                self._protocol.max_message_size, self._protocol.trusted = max_message, True
            trusted()

    @property
    def close_code(self) -> int:
        """The peer's close code; 1006 while there is none, or when it just vanished."""
        received = self._protocol.close_rcvd
        return received.code if received is not None else CloseCode.ABNORMAL_CLOSURE

    # -- receiving ----------------------------------------------------------------------------------

    def receive(self) -> str | bytes | None:
        """The next message; None once the connection is closed, however that came about."""
        while not self._messages:
            if self._ended:
                return None
            self._read()
        time.sleep(0)  # a peer that always has more to say must not starve the others
        message = self._messages.popleft()
        self._queued -= len(message)
        if self._held:
            self._account()  # from here on it is the caller's
        return message

    def _read(self) -> None:
        data, self._early = self._early, b""
        try:
            data = data or self._socket.recv(RECEIVE_SIZE)
        except TimeoutError:
            self._silence()
            return
        except OSError:
            pass  # reset by the peer: the same as its end
        self._pinged = False
        with self._state:
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            for frame in self._protocol.events_received():
                self._take(frame)
            self._account()
            self._collect()
            self._ended = self._ended or not data or self._protocol.eof_sent
        self._flush()

    def _take(self, frame: Any) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return  # the protocol has answered pings and closes already
        if frame.opcode is not Opcode.CONT:
            self._text = frame.opcode is Opcode.TEXT
        data = frame.data
        if not frame.fin or self._partial is not None:
            self._partial = self._partial if self._partial is not None else bytearray()
            self._partial += data
            if not frame.fin:
                return
            data, self._partial = bytes(self._partial), None
        try:
            message = bytes(data).decode() if self._text else bytes(data)
        except UnicodeDecodeError:
            self._protocol.fail(CloseCode.INVALID_DATA, "text that is not UTF-8")
            return
        self._messages.append(message)
        self._queued += len(message)

    def _account(self) -> None:
        """Count what is held of messages that are not complete, or not fetched yet."""
        held = len(self._protocol.reader.buffer) + len(self._partial or b"") + self._queued
        if self.memory.move(self._held, held):
            self._held = held
        else:
            self._protocol.fail(CloseCode.TRY_AGAIN_LATER, "too many large messages at a time")

    def _silence(self) -> None:
        if self._pinged or self._protocol.state is not OPEN:
            self._abort()
            return
        self._pinged = True
        with self._state:
            self._protocol.send_ping(b"")
            self._collect()
        self._flush()

    # -- sending ------------------------------------------------------------------------------------

    def send(self, message: str | Buffer | Iterable[Buffer]) -> None:
        """Send one message: text, bytes, or the pieces of a binary message, which are not joined first.

        Raises :class:`~syft_ext.errors.Unavailable` when the connection is closed or breaks.
        """
        with self._writing:
            started = False
            try:
                for data, opcode, final in _fragments(message):
                    self._queue(data, opcode, final)
                    started = True
                    self._write()
            except BaseException:
                if started:
                    self._fail()  # a message cut in the middle cannot be taken back
                raise
        self._flush()

    def _queue(self, data: Buffer, opcode: Opcode, final: bool) -> None:
        with self._state:
            if self.closed:
                raise Unavailable("the websocket is closed")
            if opcode is Opcode.TEXT:
                self._protocol.send_text(data, final)
            elif opcode is Opcode.BINARY:
                self._protocol.send_binary(data, final)
            else:
                self._protocol.send_continuation(data, final)
            self._collect()

    def _fail(self) -> None:
        with self._state:
            self._protocol.fail(CloseCode.INTERNAL_ERROR)
            self._collect()
        with contextlib.suppress(Unavailable):
            self._write()

    def _collect(self) -> None:
        self._outgoing += self._protocol.data_to_send()

    def _flush(self) -> None:
        """Write what is queued, unless somebody is writing: they will, when their message is out."""
        while self._outgoing and self._writing.acquire(blocking=False):
            try:
                self._write()
            except Unavailable:
                return
            finally:
                self._writing.release()

    def _write(self) -> None:
        while self._outgoing:
            with self._state:
                pieces, self._outgoing = self._outgoing, []
            try:
                for piece in pieces:
                    if piece == SEND_EOF:
                        self._socket.shutdown(sockets.SHUT_WR)
                    else:
                        self._socket.sendall(piece)
            except OSError as error:
                self._abort()
                raise Unavailable("the websocket broke") from error

    # -- the end ------------------------------------------------------------------------------------

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Begin the closing handshake; the greenlet in :meth:`receive` sees its end. May be called twice."""
        with self._state:
            if self.closed:
                return
            self._protocol.send_close(code, reason.encode()[:120].decode(errors="ignore"))
            self._collect()
        self._flush()

    def finish(self) -> None:
        """Complete the closing handshake within a few seconds and release the socket (the router calls it)."""
        self.close()
        deadline = time.monotonic() + LINGER
        try:
            while not self._ended and self._patience(deadline):
                self._read()
                self._messages.clear()
            # Without a close frame of the peer's it may still be sending. Closing with unread data would reset
            # the connection, and it might never see our close code: read until it hangs up too.
            swallowed = 0
            while self._protocol.close_rcvd is None and self._patience(deadline):
                if swallowed > SWALLOWED:
                    time.sleep(PATIENCE)  # it has had our close code for long, and sends on
                    break
                data = self._socket.recv(RECEIVE_SIZE)
                if not data:
                    break
                swallowed += len(data)
        except OSError:
            pass
        finally:
            self._ended = True
            self.memory.move(self._held, 0)
            self._socket.close()

    def _patience(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        if left > 0:
            self._socket.settimeout(left)
        return left > 0

    def _abort(self) -> None:
        self._ended = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(sockets.SHUT_RDWR)  # wakes whoever waits on it


def _fragments(message: str | Buffer | Iterable[Buffer]) -> Iterator[tuple[Buffer, Opcode, bool]]:
    """Data, opcode and FIN bit of the frames that carry ``message``."""
    opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
    if isinstance(message, str):
        message = message.encode()
    pieces = [message] if isinstance(message, Buffer) else message
    held: Buffer | None = None
    for piece in pieces:
        view = memoryview(piece).cast("B")
        for start in range(0, len(view), FRAGMENT):
            if held is not None:
                yield held, opcode, False
                opcode = Opcode.CONT
            held = view[start : start + FRAGMENT]
    yield held if held is not None else b"", opcode, True
