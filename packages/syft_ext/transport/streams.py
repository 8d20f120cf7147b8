"""Exchanges in segments over a pipe: the threads around :class:`~syft_ext.transport.segments.Segments`."""

from __future__ import annotations

import _thread
import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from syft_ext.errors import BadRequest, DeadlineExceeded, GridError, Unavailable
from syft_ext.transport.frames import PieceReader
from syft_ext.transport.pipe import WINDOW, CloseCode, MessagePipe
from syft_ext.transport.segments import (
    ConnectionClosed,
    CreditReceived,
    DataReceived,
    MalformedSegment,
    SegmentEvent,
    Segments,
    StreamOpened,
    StreamRefused,
    StreamReset,
)

__all__ = ["MemoryLimit", "StreamConnection", "StreamExchange", "StreamReader"]

Piece = bytes | bytearray | memoryview


class MemoryLimit(Protocol):
    """How much memory connections may take together."""

    def move(self, before: int, now: int) -> bool:
        """A holder goes from ``before`` to ``now`` bytes; False, and nothing changes, when it cannot."""


class _OverLimit(Exception):
    """The memory limit is reached."""


class StreamExchange:
    """One exchange of a :class:`StreamConnection`. Its state is guarded by the connection's lock.

    Attributes:
        size: bytes of the incoming frame; None before it begins.
        waiting: those that came and were not read.
        failure: why it ended before it was over; empty while it did not.
    """

    def __init__(self, stream: int, lock: threading.Lock) -> None:
        self.stream = stream
        self.changed = threading.Condition(lock)
        self.size: int | None = None
        self.waiting = bytearray()
        self.failure = ""


class StreamConnection:
    """One end of a pipe.

    Args:
        peer: what the other end is called in errors.
        asks: whether this end begins exchanges.
        max_streams: exchanges that the other end may have under way, where the pipe does not say less.
        on_open: what to do with an exchange that the other end began; called by :meth:`run`, must not wait.
        memory: what the bytes that came, and that nobody has read yet, are counted against.
    """

    def __init__(
        self,
        pipe: MessagePipe,
        peer: str,
        *,
        asks: bool,
        max_streams: int = 128,
        on_open: Callable[[StreamExchange], None] | None = None,
        memory: MemoryLimit | None = None,
    ) -> None:
        if pipe.max_message is None:
            raise ValueError("this pipe carries whole frames")
        self._pipe, self._peer, self._asks = pipe, peer, asks
        self._segments = Segments(
            asks=asks,
            max_message=pipe.max_message,
            max_streams=min(max_streams, getattr(pipe, "streams", max_streams)),
            window=getattr(pipe, "window", WINDOW),
        )
        self._on_open, self._memory = on_open, memory
        self._exchanges: dict[int, StreamExchange] = {}
        self._lock = threading.Lock()  # the segments and the exchanges; never held while the network is slow
        self._opening = threading.Lock()  # streams are opened in the order of their numbers
        self._held = 0
        self._failure = ""

    @property
    def ended(self) -> bool:
        """Whether no exchange can begin any more."""
        return bool(self._failure)

    # -- receiving ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Take what comes until the connection ends; whoever waits for more is told why."""
        code, reason = CloseCode.NORMAL, ""
        try:
            while (message := self._pipe.receive()) is not None and self._take(message):
                pass
        except MalformedSegment as error:
            code, reason = CloseCode.PROTOCOL_ERROR, str(error)
        except _OverLimit:
            code, reason = CloseCode.TRY_AGAIN_LATER, "too many large messages at a time"
        except GridError:
            pass  # the pipe broke
        finally:
            self.close(code, reason)

    def _take(self, message: bytes) -> bool:
        """False when the other end closed the connection."""
        with self._lock:
            event = self._segments.receive(message)
            exchange = self._apply(event) if event is not None else None
        if isinstance(event, StreamRefused):
            self._pipe.send([event.answer])
        elif isinstance(event, StreamOpened) and exchange is not None and self._on_open is not None:
            self._on_open(exchange)
        return not isinstance(event, ConnectionClosed)

    def _apply(self, event: SegmentEvent) -> StreamExchange | None:
        """Take an event over into the exchange that it is about, and wake whoever waits for it."""
        if isinstance(event, ConnectionClosed):
            self._end(f"{self._peer} hung up{_because(event.code, event.reason)}")
            return None
        if isinstance(event, StreamOpened) and not self._asks:
            self._exchanges[event.stream] = StreamExchange(event.stream, self._lock)
        exchange = self._exchanges.get(event.stream)
        if exchange is None:
            return None
        if isinstance(event, StreamOpened):
            exchange.size = event.size
        if isinstance(event, StreamOpened | DataReceived):
            self._hold(len(event.data))
            exchange.waiting += event.data
        elif isinstance(event, StreamReset):
            self._fail(exchange, f"{self._peer} broke off{_because(event.code, event.reason)}")
        if not isinstance(event, CreditReceived):
            self._drop_if_over(exchange)
        exchange.changed.notify_all()
        return exchange

    def _hold(self, more: int) -> None:
        if self._memory is not None and not self._memory.move(self._held, self._held + more):
            raise _OverLimit
        self._held += more

    def _drop_if_over(self, exchange: StreamExchange) -> None:
        if exchange.stream not in self._segments:
            self._exchanges.pop(exchange.stream, None)

    def _fail(self, exchange: StreamExchange, reason: str) -> None:
        """An exchange ends unfinished: what came of it is worth nothing."""
        exchange.failure = exchange.failure or reason
        self._hold(-len(exchange.waiting))
        exchange.waiting = bytearray()
        exchange.changed.notify_all()

    def _end(self, reason: str) -> None:
        self._failure = self._failure or reason
        for exchange in self._exchanges.values():
            self._fail(exchange, self._failure)
        self._exchanges.clear()

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """End the connection, and tell the other end why. Whoever waits is told that nothing will come."""
        with self._lock:
            told = self.ended
            self._end(f"the connection to {self._peer} ended{_because(code, reason)}")
        if not told:
            with contextlib.suppress(GridError):
                self._pipe.send([Segments.close(code, reason)])
        self._pipe.close(code, reason)

    # -- one exchange -------------------------------------------------------------------------------

    def ask(self, size: int, pieces: Iterable[Piece], timeout: float | None) -> StreamReader:
        """Send a frame of ``size`` bytes; the frame that answers it, once it begins.

        ``timeout`` is how many seconds the other end may take at a time: until it takes more, until its answer
        begins, until more of it comes. Raises :class:`~syft_ext.errors.Unavailable` and
        :class:`~syft_ext.errors.DeadlineExceeded`.
        """
        source = PieceReader(pieces)
        first = self._first(source, size)
        with self._opening:
            with self._lock:
                if self._failure:
                    raise Unavailable(self._failure)
                try:
                    stream = self._segments.new_stream()
                except MalformedSegment as error:
                    self._failure = str(error)  # what is under way goes on; the next exchange connects anew
                    raise Unavailable(self._failure) from error
                exchange = self._exchanges[stream] = StreamExchange(stream, self._lock)
                message = self._segments.open(stream, size, first)
            with self._ending_with_errors(exchange):
                self._send(message)
        with self._ending_with_errors(exchange):
            self._send_rest(exchange, source, size - len(first), timeout)
            with self._lock:
                self._until(exchange, lambda: exchange.size is not None, timeout, "did not answer in time")
        return StreamReader(self, exchange, timeout)

    @contextlib.contextmanager
    def _ending_with_errors(self, exchange: StreamExchange) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.reset(exchange, CloseCode.NORMAL, "nobody waits for it any more")
            raise

    def answer(
        self, exchange: StreamExchange, size: int, pieces: Iterable[Piece], timeout: float | None
    ) -> None:
        """Send the frame that answers ``exchange``. Raises as :meth:`ask`."""
        source = PieceReader(pieces)
        first = self._first(source, size)
        with self._lock:
            if exchange.failure:
                raise Unavailable(exchange.failure)
            message = self._segments.open(exchange.stream, size, first)
            self._drop_if_over(exchange)
        self._send(message)
        self._send_rest(exchange, source, size - len(first), timeout)

    def _first(self, source: PieceReader, size: int) -> bytes | memoryview:
        return _taken(source, min(size, self._segments.first_room))

    def _send(self, message: Piece) -> None:
        try:
            self._pipe.send([message])
        except Unavailable as error:
            with self._lock:  # whoever reads may learn it later than the next exchange begins
                self._end(error.detail)
            raise

    def _send_rest(
        self, exchange: StreamExchange, source: PieceReader, left: int, timeout: float | None
    ) -> None:
        """Send what is left of a frame, as far as the other end wants it."""
        while left and (room := self._room(exchange, timeout)):
            piece = _taken(source, room)
            with self._lock:
                if exchange.failure:
                    raise Unavailable(exchange.failure)
                if not self._segments.room(exchange.stream):
                    return  # its answer has begun meanwhile
                message = self._segments.data(exchange.stream, piece)
                self._drop_if_over(exchange)
            self._send(message)
            left -= len(piece)

    def _room(self, exchange: StreamExchange, timeout: float | None) -> int:
        """How much may be sent, once something may; 0 when the answer has begun."""

        def wanted() -> bool:
            answered = self._asks and exchange.size is not None
            return answered or self._segments.room(exchange.stream) > 0

        with self._lock:
            self._until(exchange, wanted, timeout, "takes nothing of what it is sent")
            return self._segments.room(exchange.stream)

    def read(self, exchange: StreamExchange, count: int, timeout: float | None) -> memoryview:
        """Up to ``count`` bytes of the incoming frame, at least one. Raises as :meth:`ask`."""
        with self._lock:
            self._until(exchange, lambda: bool(exchange.waiting), timeout, "sends nothing more")
            if count >= len(exchange.waiting):
                data, exchange.waiting = exchange.waiting, bytearray()
            else:
                data = exchange.waiting[:count]
                del exchange.waiting[:count]
            self._hold(-len(data))
            credit = self._segments.consumed(exchange.stream, len(data))
        if credit is not None:
            with contextlib.suppress(Unavailable):  # the next read says so
                self._pipe.send([credit])
        return memoryview(data)

    def _until(
        self, exchange: StreamExchange, met: Callable[[], bool], timeout: float | None, what: str
    ) -> None:
        """Wait, with the lock, until ``met``."""
        if not exchange.changed.wait_for(lambda: bool(exchange.failure) or met(), timeout):
            raise DeadlineExceeded(f"{self._peer} {what}")
        if exchange.failure:
            raise Unavailable(exchange.failure)

    def reset(self, exchange: StreamExchange, code: int, reason: str = "") -> None:
        """End ``exchange``, if it is not over, and tell the other end."""
        with self._lock:
            message = self._segments.reset(exchange.stream, code, reason)
            self._exchanges.pop(exchange.stream, None)
            self._fail(exchange, f"the exchange ended{_because(code, reason)}")
        if message is not None and not self.ended:
            with contextlib.suppress(GridError):
                self._send(message)


class StreamReader:
    """The frame that comes in on an exchange. Who drops it unread ends the exchange."""

    def __init__(self, connection: StreamConnection, exchange: StreamExchange, timeout: float | None) -> None:
        self.size = exchange.size or 0
        self._connection, self._exchange, self._timeout = connection, exchange, timeout
        self._left = self.size

    def read(self, count: int) -> memoryview:
        """Up to ``count`` bytes; none at the end. Raises as :meth:`StreamConnection.ask`."""
        if not self._left:
            return memoryview(b"")
        data = self._connection.read(self._exchange, min(count, self._left), self._timeout)
        self._left -= len(data)
        return data

    def __del__(self) -> None:
        if getattr(self, "_left", 0) and not self._exchange.failure:
            # Not here: whoever is interrupted by the garbage collection may hold the connection's lock.
            with contextlib.suppress(RuntimeError):  # the interpreter ends
                _thread.start_new_thread(
                    self._connection.reset, (self._exchange, CloseCode.NORMAL, "nobody reads it")
                )


def _taken(source: PieceReader, count: int) -> bytes | memoryview:
    data = source.take(count)
    if source.error is not None:
        raise source.error
    if len(data) < count:
        raise BadRequest(f"the payload is {count - len(data)} bytes or more shorter than its envelope says")
    return data


def _because(code: int, reason: str) -> str:
    return f" ({code}: {reason})" if reason else "" if code == CloseCode.NORMAL else f" ({code})"
