"""The bytes that follow an envelope, read as a stream and checked against what the sender signed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import blake3

from syft_ext.errors import BadRequest

__all__ = ["PayloadReader"]

CHUNK = 1 << 20


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
    ) -> None:
        """``into``: reads to where it is told, as far as there is room, and returns how many bytes it read."""
        self._read, self._into = read, into
        self._digest = digest
        self._hasher = blake3.blake3() if digest else None
        self.size = size
        self.remaining = size
        self._finished = size == 0

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

    def read(self, count: int = CHUNK) -> bytes | memoryview:
        """Up to ``count`` bytes; empty at the end."""
        if self._finished:
            return b""
        piece = self._read(self._wanted(count))
        self._took(piece)
        return piece

    def readinto(self, room: memoryview) -> int:
        """As :meth:`read`, into ``room``; returns the number of bytes, 0 at the end."""
        if self._into is None:
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
                data += piece
                if limit is not None and len(data) > limit:
                    raise TooLarge("payload too large", limit=limit)
            return data
        data, position = bytearray(self.size), 0
        for piece in self:
            data[position : position + len(piece)] = piece
            position += len(piece)
        return data

    def drain(self) -> None:
        """Read and forget the rest, so that the connection can be used again."""
        for _ in self:
            pass
