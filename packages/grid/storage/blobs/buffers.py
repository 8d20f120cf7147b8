"""Memory that small contents wait in until they are written, used again and again.

A content that arrives whole before anything is written costs one hand-over to the syncing thread instead of
one for each piece. The memory is bounded for all writers together, and used again: fresh memory costs a page
fault for every 4 KB that is received into it.
"""

from __future__ import annotations

import time
from collections import deque

from grid.concurrency.offload import native_lock

__all__ = ["WHOLE", "Buffers"]

WHOLE = 2 << 20
"""Bytes of the largest content that is small."""

_STEP = 256 << 10
"""Buffers are as large as their first content needs, in these steps: the contents of a cycle are of one size."""

_TOGETHER = 96 << 20
_IDLE = 16 << 20
"""Bytes that are kept while nobody needs them."""

_PAUSE = 10.0
"""Seconds after which what is more than that goes: a burst of uploads comes again with the next cycle."""


class Buffers:
    """Buffers of at most ``size`` bytes, together at most ``limit``; ``idle`` bytes are kept, and what was needed
    within the last ``pause`` seconds."""

    def __init__(
        self,
        size: int = WHOLE,
        limit: int = _TOGETHER,
        idle: int = _IDLE,
        pause: float = _PAUSE,
        step: int = _STEP,
    ) -> None:
        self.size, self._pause, self._step = size, pause, step
        self._left, self._kept = limit, idle
        self._unused = 0  # bytes of the free ones
        self._free: deque[tuple[float, bytearray]] = deque()  # the latest used one is the last
        self._guard = native_lock()

    def take(self, size: int) -> bytearray | None:
        """A buffer for ``size`` bytes, with arbitrary contents; None when too many are in use."""
        length = self._step * max(-(-size // self._step), 1)
        with self._guard:
            for index in range(len(self._free) - 1, -1, -1):
                if len(self._free[index][1]) == length:
                    _, found = self._free[index]
                    del self._free[index]
                    self._unused -= length
                    return found
            while self._left < length and self._free:
                self._drop()
            if self._left < length:
                return None
            self._left -= length
        return bytearray(length)

    def _drop(self) -> None:
        _, dropped = self._free.popleft()
        self._unused -= len(dropped)
        self._left += len(dropped)

    def give(self, buffer: bytearray) -> None:
        """Take ``buffer`` back; nobody uses it any more."""
        with self._guard:
            self._free.append((time.monotonic(), buffer))
            self._unused += len(buffer)
        self.trim()

    def forget(self, buffer: bytearray) -> None:
        """It does not come back: somebody still looks at it, nobody knows for how long."""
        with self._guard:
            self._left += len(buffer)

    def trim(self, *, everything: bool = False) -> None:
        """Let go what was not needed for a while, or ``everything`` that nobody uses."""
        kept, pause = (0, 0.0) if everything else (self._kept, self._pause)
        with self._guard:
            old = time.monotonic() - pause
            while self._unused > kept and self._free[0][0] <= old:
                self._drop()
