"""Frames in segments: many exchanges over a connection whose messages are small, without any socket.

A frame travels on a stream, in as many messages as it takes; those of different streams come in any order. The
side that asks opens streams, numbered from 1; the answer to a stream's frame is the frame that comes back on it.

    message = uint8 kind · uint32 stream · body            big-endian, at most ``max_message`` bytes

    1 OPEN    uint64 size · bytes    a frame of ``size`` bytes begins, here with its first bytes
    2 DATA    bytes                  its next bytes
    3 CREDIT  uint32 count           the receiver has room for ``count`` bytes more
    4 RESET   uint16 code · UTF-8    the exchange ends here, unfinished
    5 CLOSE   uint16 code · UTF-8    the connection ends (stream 0); codes are those of RFC 6455, section 7.4

Of each frame a sender may have a window of bytes under way; credit comes back as they are read (as in RFC 9113,
section 5.2). So nobody holds more than a window of each stream, and a stream that nobody reads stops no other.
Once its answer begins, no more of a question is sent.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from syft_ext.transport.pipe import WINDOW, CloseCode

__all__ = [
    "MAX_MESSAGE",
    "ConnectionClosed",
    "CreditReceived",
    "DataReceived",
    "MalformedSegment",
    "SegmentEvent",
    "Segments",
    "StreamOpened",
    "StreamRefused",
    "StreamReset",
]

#: What every data channel carries in one message (RFC 8831, section 6.6).
MAX_MESSAGE = 16 << 10
_HEAD = struct.Struct(">BI")
_OPEN = struct.Struct(">Q")
_CREDIT = struct.Struct(">I")
_CODE = struct.Struct(">H")
_REASON = 123
_LAST_STREAM = (1 << 32) - 1
OPEN, DATA, CREDIT, RESET, CLOSE = 1, 2, 3, 4, 5

Buffer = bytes | bytearray | memoryview


class MalformedSegment(Exception):
    """What came in does not keep the rules above; the connection cannot go on (``CloseCode.PROTOCOL_ERROR``)."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """A frame of ``size`` bytes begins on ``stream``, with ``data``."""

    stream: int
    size: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class StreamRefused:
    """A stream was opened, and there are too many: send ``answer``."""

    stream: int
    answer: bytes


@dataclass(frozen=True, slots=True)
class DataReceived:
    """More of the frame on ``stream``."""

    stream: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class CreditReceived:
    """There is room again for what is sent on ``stream``."""

    stream: int


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The other side ended the exchange of ``stream``."""

    stream: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The other side ended the connection."""

    code: int
    reason: str


SegmentEvent = StreamOpened | StreamRefused | DataReceived | CreditReceived | StreamReset | ConnectionClosed


@dataclass(slots=True)
class _Stream:
    """What is known of one exchange.

    Attributes:
        expected: bytes of the incoming frame that have not come; None before it is opened.
        allowed: how many of them the other side may send now.
        used: bytes that were read, and for which no credit was given yet.
        left: bytes of the outgoing frame that were not sent; None before it is opened.
        credit: how many of them may be sent now.
    """

    allowed: int
    credit: int
    expected: int | None = None
    used: int = 0
    left: int | None = None


class Segments:
    """One end of a connection: messages in, events out, and the messages to send for what its user wants.

    Not for several threads at a time.

    Args:
        asks: whether this end opens streams; the other end then answers on them.
        max_message: bytes of a message, both ways.
        max_streams: exchanges that may be under way at a time, when they are opened by the other end.
        window: bytes of a frame that may be under way; both ends must say the same.
    """

    def __init__(
        self,
        *,
        asks: bool,
        max_message: int = MAX_MESSAGE,
        max_streams: int = 128,
        window: int = WINDOW,
    ) -> None:
        if max_message < 64:
            raise ValueError("a message must hold more than its head")
        self._asks = asks
        self._max_message = max_message
        self._max_streams = max_streams
        self._window = window
        self._streams: dict[int, _Stream] = {}
        self._last = 0  # the highest stream that was opened

    def __len__(self) -> int:
        """Exchanges that are under way."""
        return len(self._streams)

    def __contains__(self, stream: int) -> bool:
        """Whether the exchange of ``stream`` is under way."""
        return stream in self._streams

    @property
    def first_room(self) -> int:
        """How many bytes of a frame the message may carry that begins it."""
        return min(self._max_message - _HEAD.size - _OPEN.size, self._window)

    # -- sending ------------------------------------------------------------------------------------

    def new_stream(self) -> int:
        """A number for the next exchange. Streams must be opened in the order of their numbers."""
        if not self._asks:
            raise ValueError("this end only answers")
        if self._last == _LAST_STREAM:
            raise MalformedSegment("this connection has no streams left")
        self._last += 1
        self._streams[self._last] = _Stream(self._window, self._window)
        return self._last

    def open(self, stream: int, size: int, first: Buffer = b"") -> bytes:
        """The message that begins a frame of ``size`` bytes with ``first``, at most :attr:`first_room` of them."""
        state = self._streams[stream]
        if len(first) > min(size, self.first_room):
            raise ValueError("there is no room for so many bytes")
        state.left, state.credit = size - len(first), state.credit - len(first)
        self._settle(stream, state)
        return _HEAD.pack(OPEN, stream) + _OPEN.pack(size) + first

    def room(self, stream: int) -> int:
        """How many bytes the next message may carry; 0 while there is no credit, and when no more is wanted."""
        state = self._streams.get(stream)
        if state is None or state.left is None:
            return 0
        return min(state.credit, state.left, self._max_message - _HEAD.size)

    def data(self, stream: int, piece: Buffer) -> bytes:
        """The message that carries ``piece``, of at most :meth:`room` bytes."""
        state = self._streams[stream]
        if not 0 < len(piece) <= self.room(stream) or state.left is None:
            raise ValueError("there is no room for this piece")
        state.credit -= len(piece)
        state.left -= len(piece)
        self._settle(stream, state)
        return _HEAD.pack(DATA, stream) + piece

    def consumed(self, stream: int, count: int) -> bytes | None:
        """``count`` bytes of the incoming frame were read; the message that gives credit, if it is time."""
        state = self._streams.get(stream)
        if state is None:
            return None  # all of it has come
        state.used += count
        if state.used < self._window // 2 or not state.expected or state.expected <= state.allowed:
            return None
        given, state.used = state.used, 0
        state.allowed += given
        return _HEAD.pack(CREDIT, stream) + _CREDIT.pack(given)

    def reset(self, stream: int, code: int, reason: str = "") -> bytes | None:
        """The message that ends an exchange, if it is under way; whatever still comes for it is ignored."""
        if self._streams.pop(stream, None) is None:
            return None
        return _HEAD.pack(RESET, stream) + _CODE.pack(code) + _cut(reason)

    def forget(self, stream: int) -> None:
        """End an exchange without a word: the other side has said all that it had to say."""
        self._streams.pop(stream, None)

    @staticmethod
    def close(code: int, reason: str = "") -> bytes:
        """The message that ends the connection."""
        return _HEAD.pack(CLOSE, 0) + _CODE.pack(code) + _cut(reason)

    def _settle(self, stream: int, state: _Stream) -> None:
        """An exchange is over when both frames are through; who answered needs no more of the question."""
        if state.left == 0 and (state.expected == 0 or not self._asks):
            del self._streams[stream]

    # -- receiving ----------------------------------------------------------------------------------

    def receive(self, message: Buffer) -> SegmentEvent | None:
        """What ``message`` means; None for what belongs to an exchange that is over.

        Raises :class:`MalformedSegment`; nothing is kept of such a message.
        """
        if not _HEAD.size <= len(message) <= self._max_message:
            raise MalformedSegment(f"a message of {len(message)} bytes")
        kind, stream = _HEAD.unpack_from(message)
        body = memoryview(message)[_HEAD.size :]
        if kind == CLOSE:
            if stream:
                raise MalformedSegment("the end of the connection belongs to no stream")
            return ConnectionClosed(*_reason(body))
        if kind == OPEN:
            return self._opened(stream, body)
        if not 0 < stream <= self._last:
            raise MalformedSegment(f"stream {stream} was never opened")
        if kind == DATA:
            return self._arrived(stream, body)
        if kind == CREDIT:
            return self._credited(stream, body)
        if kind == RESET:
            code, reason = _reason(body)
            return StreamReset(stream, code, reason) if self._streams.pop(stream, None) is not None else None
        raise MalformedSegment(f"there is no message of kind {kind}")

    def _opened(self, stream: int, body: memoryview) -> SegmentEvent | None:
        if len(body) < _OPEN.size:
            raise MalformedSegment("a frame without its size")
        (size,) = _OPEN.unpack_from(body)
        data = body[_OPEN.size :]
        if len(data) > min(size, self._window):
            raise MalformedSegment(f"a frame of {size} bytes that begins with {len(data)}")
        if self._asks:
            if not 0 < stream <= self._last:
                raise MalformedSegment(f"an answer on stream {stream}, which was never opened")
            state = self._streams.get(stream)
            if state is None:
                return None
            if state.expected is not None:
                raise MalformedSegment(f"two frames on stream {stream}")
            state.left = 0
        else:
            if stream != self._last + 1:
                raise MalformedSegment(f"stream {stream} follows stream {self._last}")
            self._last = stream
            if len(self._streams) >= self._max_streams:
                reason = f"more than {self._max_streams} exchanges at a time"
                answer = _HEAD.pack(RESET, stream) + _CODE.pack(CloseCode.TRY_AGAIN_LATER) + reason.encode()
                return StreamRefused(stream, answer)
            state = self._streams[stream] = _Stream(self._window, self._window)
        state.expected = size - len(data)
        state.allowed -= len(data)
        self._settle(stream, state)
        return StreamOpened(stream, size, data)

    def _arrived(self, stream: int, body: memoryview) -> SegmentEvent | None:
        state = self._streams.get(stream)
        if state is None:
            return None
        if state.expected is None:
            raise MalformedSegment(f"stream {stream} has no frame yet")
        if not 0 < len(body) <= state.expected:
            raise MalformedSegment(f"{len(body)} bytes where stream {stream} has {state.expected} to come")
        if len(body) > state.allowed:
            raise MalformedSegment(f"more bytes on stream {stream} than there is room for")
        state.expected -= len(body)
        state.allowed -= len(body)
        self._settle(stream, state)
        return DataReceived(stream, body)

    def _credited(self, stream: int, body: memoryview) -> SegmentEvent | None:
        if len(body) != _CREDIT.size:
            raise MalformedSegment("credit is four bytes")
        (count,) = _CREDIT.unpack(body)
        state = self._streams.get(stream)
        if state is None:
            return None
        used = self._window - state.credit
        if not 0 < count <= used:
            raise MalformedSegment(f"credit for {count} bytes on stream {stream}, where {used} are under way")
        state.credit += count
        return CreditReceived(stream)


def _cut(reason: str) -> bytes:
    return reason.encode()[:_REASON].decode(errors="ignore").encode()


def _reason(body: memoryview) -> tuple[int, str]:
    if not _CODE.size <= len(body) <= _CODE.size + _REASON:
        raise MalformedSegment("an end without a readable reason")
    try:
        return int(_CODE.unpack_from(body)[0]), bytes(body[_CODE.size :]).decode()
    except UnicodeDecodeError:
        raise MalformedSegment("a reason that is not UTF-8") from None
