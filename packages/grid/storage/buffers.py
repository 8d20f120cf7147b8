"""Memory that small contents wait in until they are written, used again and again.

A content that arrives whole before anything is written costs one hand-over to the syncing thread instead of
one for each piece. The memory is bounded for all writers together, and used again: fresh memory costs a page
fault for every 4 KB that is received into it.
"""

from __future__ import annotations

from grid.offload import native_lock

__all__ = ["WHOLE", "Buffers"]

WHOLE = 2 << 20
"""Bytes of the largest content that is small."""

_TOGETHER = 64 << 20
_IDLE = 16 << 20
"""Bytes that are kept while nobody needs them."""


class Buffers:
    """Buffers of ``size`` bytes, together at most ``limit``; of those that come back ``idle`` bytes are kept."""

    def __init__(self, size: int = WHOLE, limit: int = _TOGETHER, idle: int = _IDLE) -> None:
        self.size = size
        self._left, self._kept = limit // size, idle // size
        self._free: list[bytearray] = []
        self._guard = native_lock()

    def take(self) -> bytearray | None:
        """A buffer with arbitrary contents; None when all are in use."""
        with self._guard:
            if self._free:
                return self._free.pop()
            if not self._left:
                return None
            self._left -= 1
        return bytearray(self.size)

    def give(self, buffer: bytearray) -> None:
        """Take ``buffer`` back; nobody uses it any more."""
        with self._guard:
            if len(self._free) < self._kept:
                self._free.append(buffer)
            else:
                self._left += 1
