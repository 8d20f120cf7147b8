"""The bytes that follow an envelope, read as a stream and checked against what the sender signed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import blake3

from syft_ext.errors import BadRequest, DeadlineExceeded, Unavailable

__all__ = ["PayloadReader"]

CHUNK = 1 << 20


def _hung_up(_count: int) -> bytes:
    return b""


class PayloadReader:
    """Reads exactly ``size`` bytes from ``read(n)``; at the end the digest must agree.

    Whoever stores what it reads must read to the end before it commits: a payload that was cut off or
    changed on the way raises :class:`~syft_ext.errors.BadRequest` at its last read.

    Attributes:
        size: bytes in all, or None when the sender did not say (chunked REST uploads).
        remaining: bytes not read yet, or None.
    """

    def __init__(
        self,
        read: Callable[[int], bytes | memoryview],
        size: int | None,
        digest: bytes = b"",
        into: Callable[[memoryview], int] | None = None,
        hold: Callable[[int], None] = lambda count: None,
    ) -> None:
        """
        Args:
            into: reads to where it is told, as far as there is room, and returns how many bytes it read.
            hold: told of bytes that are about to be kept in memory; raises when there is no room for them.
        """
        self._read, self._into, self._hold = read, into, hold
        self._digest = digest
        self._hasher = blake3.blake3() if digest else None
        self.size = size
        self.remaining = size
        self._finished = size == 0
        self._again: Callable[[int], bytes] | None = None
        self._rest = memoryview(b"")

    @classmethod
    def of(cls, data: bytes | memoryview, digest: bytes = b"") -> PayloadReader:
        """A reader over bytes that are in memory; the pieces are views on them."""
        view, position = memoryview(data), 0

        def read(count: int) -> memoryview:
            nonlocal position
            piece = view[position : position + count]
            position += len(piece)
            return piece

        return cls(read, len(view), digest)

    def go_on_with(self, again: Callable[[int], bytes]) -> None:
        """Where the line drops, read on with ``again``: called with an offset, it gives some bytes from there.

        Nothing that came is read twice, and the digest is that of the whole.
        """
        assert self.size is not None
        self._again = again

    def _next(self, count: int) -> bytes | memoryview:
        if self._again is None:
            return self._read(count)
        assert self.size is not None and self.remaining is not None
        try:
            if piece := self._read(count):
                return piece
        except (Unavailable, DeadlineExceeded):
            pass
        self._read = _hung_up  # that line brings nothing any more
        if not self._rest:
            self._rest = memoryview(self._again(self.size - self.remaining))
        piece, self._rest = self._rest[:count], self._rest[count:]
        return piece

    def read(self, count: int = CHUNK) -> bytes | memoryview:
        """Up to ``count`` bytes; empty at the end."""
        if self._finished:
            return b""
        piece = self._next(self._wanted(count))
        self._took(piece)
        return piece

    def readinto(self, room: memoryview) -> int:
        """As :meth:`read`, into ``room``; returns the number of bytes, 0 at the end."""
        if self._into is None or self._again is not None:
            piece = self.read(len(room))
            room[: len(piece)] = piece
            return len(piece)
        if self._finished:
            return 0
        count = self._into(room[: self._wanted(len(room))])
        self._took(room[:count])
        return count

    def _wanted(self, count: int) -> int:
        return count if self.remaining is None else min(count, self.remaining)

    def _took(self, piece: bytes | memoryview) -> None:
        if self.remaining is not None:
            if not piece:
                raise BadRequest(f"the payload ended {self.remaining} bytes early")
            self.remaining -= len(piece)
        if self._hasher is not None:
            self._hasher.update(piece)
        if not piece or self.remaining == 0:
            self._finish()

    def _finish(self) -> None:
        self._finished = True
        if self._hasher is not None and self._hasher.digest() != self._digest:
            raise BadRequest("the payload is not the one that was signed")

    def __iter__(self) -> Iterator[bytes | memoryview]:
        while piece := self.read():
            yield piece

    def read_all(self, limit: int | None = None) -> bytearray:
        """Everything in one buffer; refuses more than ``limit`` bytes."""
        from syft_ext.errors import TooLarge

        if limit is not None and self.size is not None and self.size > limit:
            raise TooLarge(f"payload of {self.size} bytes", limit=limit)
        if self.size is None:
            data = bytearray()
            for piece in self:
                self._hold(len(piece))
                data += piece
                if limit is not None and len(data) > limit:
                    raise TooLarge("payload too large", limit=limit)
            return data
        self._hold(self.size)
        data, position = bytearray(self.size), 0
        for piece in self:
            data[position : position + len(piece)] = piece
            position += len(piece)
        return data

    def drain(self) -> None:
        """Read and forget the rest, so that the connection can be used again."""
        for _ in self:
            pass
