"""Memory that small contents wait in until they are written, used again and again.

A content that arrives whole before anything is written costs one hand-over to the syncing thread instead of
one for each piece. The memory is bounded for all writers together, and used again: fresh memory costs a page
fault for every 4 KB that is received into it.
"""

from __future__ import annotations

import time
from collections import deque

from grid.offload import native_lock

__all__ = ["WHOLE", "Buffers"]

WHOLE = 2 << 20
"""Bytes of the largest content that is small."""

_TOGETHER = 64 << 20
_IDLE = 16 << 20
"""Bytes that are kept while nobody needs them."""

_PAUSE = 10.0
"""Seconds after which what is more than that goes: a burst of uploads comes again with the next cycle."""


class Buffers:
    """Buffers of ``size`` bytes, together at most ``limit``; ``idle`` bytes are kept, and what was needed within
    the last ``pause`` seconds."""

    def __init__(
        self, size: int = WHOLE, limit: int = _TOGETHER, idle: int = _IDLE, pause: float = _PAUSE
    ) -> None:
        self.size, self._pause = size, pause
        self._left, self._kept = limit // size, idle // size
        self._free: deque[tuple[float, bytearray]] = deque()  # the latest used one is the last
        self._guard = native_lock()

    def take(self) -> bytearray | None:
        """A buffer with arbitrary contents; None when all are in use."""
        with self._guard:
            if self._free:
                return self._free.pop()[1]
            if not self._left:
                return None
            self._left -= 1
        return bytearray(self.size)

    def give(self, buffer: bytearray) -> None:
        """Take ``buffer`` back; nobody uses it any more."""
        with self._guard:
            self._free.append((time.monotonic(), buffer))
        self.trim()

    def trim(self) -> None:
        """Let go what was not needed for a while."""
        with self._guard:
            old = time.monotonic() - self._pause
            while len(self._free) > self._kept and self._free[0][0] < old:
                self._free.popleft()
                self._left += 1
