"""Reading a frame that comes in pieces: its envelope at once, its payload as a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from syft_ext.errors import InvalidEnvelope
from syft_ext.messages.envelope import OPENING, Envelope, decode_envelope, envelope_size
from syft_ext.transport.payload import PayloadReader

__all__ = ["PREFIX", "FrameSource", "PieceReader", "WholeFrame", "read_head", "read_whole"]

#: Bytes before the envelope: magic and length.
PREFIX = 8
Piece = bytes | bytearray | memoryview
Read = Callable[[int], bytes | memoryview]


class PieceReader:
    """Pieces read as a stream of bytes; what their source raises is kept, and ends it.

    Attributes:
        error: what the source raised.
    """

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")
        self._stopped = False
        self.error: Exception | None = None

    def stop(self) -> None:
        """End here, whatever is left."""
        self._stopped = True

    def read(self, count: int) -> memoryview:
        """Up to ``count`` bytes; none at the end."""
        if self._stopped:
            return memoryview(b"")
        try:
            while not self._rest:
                self._rest = memoryview(next(self._pieces)).cast("B")
        except StopIteration:
            return memoryview(b"")
        except Exception as error:
            self.error = error
            return memoryview(b"")
        piece, self._rest = self._rest[:count], self._rest[count:]
        return piece

    def take(self, count: int) -> bytes | memoryview:
        """``count`` bytes; fewer only at the end."""
        piece = self.read(count)
        if len(piece) == count or not piece:
            return piece
        pieces, missing = [piece], count - len(piece)
        while missing and (piece := self.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)


class FrameSource(Protocol):
    """The bytes of one frame that comes in. ``size`` is how many there are, envelope and payload together."""

    size: int

    def read(self, count: int) -> memoryview:
        """Up to ``count`` bytes; none at the end."""


class WholeFrame(PieceReader):
    """A frame that is all there."""

    def __init__(self, frame: Piece) -> None:
        super().__init__((frame,))
        self.size = len(frame)


def read_head(
    read: Read, before: Callable[[int, bytes | memoryview], None] = lambda size, beginning: None
) -> tuple[Envelope, int]:
    """The envelope (unverified) at the beginning of a frame, and how many bytes were read for it.

    ``before`` gets its size and its first bytes (:data:`~syft_ext.messages.envelope.OPENING`), and raises if the
    rest must not be read. Raises :class:`~syft_ext.errors.InvalidEnvelope`,
    :class:`~syft_ext.errors.TooLarge`, and what ``read`` does.
    """
    size = envelope_size(_exactly(read, PREFIX))
    beginning = _exactly(read, min(size, OPENING))
    before(size, beginning)
    rest = _exactly(read, size - len(beginning)) if size > len(beginning) else b""
    return decode_envelope(b"".join((beginning, rest)) if rest else beginning), PREFIX + size


def read_whole(source: FrameSource) -> tuple[Envelope, PayloadReader]:
    """Envelope and payload of a frame whose length is known; they must fit together."""
    envelope, taken = read_head(source.read)
    rest = source.size - taken
    if rest != envelope.payload_size:
        raise InvalidEnvelope(f"{rest} bytes follow an envelope that announces {envelope.payload_size}")
    return envelope, PayloadReader(source.read, rest, envelope.payload_digest)


def _exactly(read: Read, count: int) -> bytes | memoryview:
    data = read(count)
    if len(data) == count:
        return data
    pieces, missing = [data], count - len(data)
    while missing:
        more = read(missing)
        if not more:
            raise InvalidEnvelope("truncated frame")
        pieces.append(more)
        missing -= len(more)
    return b"".join(pieces)
