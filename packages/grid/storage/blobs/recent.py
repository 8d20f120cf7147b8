"""Small contents that were just written, in the memory that they came in.

Reports are averaged moments after they were written: to map their files again costs more than the sum.
"""

from __future__ import annotations

from collections import OrderedDict

from grid.concurrency.offload import native_lock
from grid.concurrency.views import is_read
from grid.storage.blobs.buffers import Buffers

__all__ = ["RecentContents"]

BYTES = 48 << 20
"""What is kept; the oldest goes first, if nobody says that it is not needed any more."""


class RecentContents:
    """Takes memory of ``buffers`` that nobody writes to any more, and gives it back later."""

    def __init__(self, buffers: Buffers, limit: int = BYTES) -> None:
        self._buffers, self._left = buffers, limit
        self._contents: OrderedDict[str, tuple[bytearray, int]] = OrderedDict()
        self._guard = native_lock()

    def put(self, digest: str, memory: bytearray, size: int) -> None:
        """The first ``size`` bytes of ``memory`` are the content ``digest``."""
        with self._guard:
            gone = [memory]
            if digest not in self._contents:
                self._contents[digest] = (memory, size)
                self._left -= len(memory)
                gone = self._make_room()
        self._give_back(gone)

    def find(self, digest: str) -> memoryview | None:
        """The content, to be read."""
        with self._guard:
            found = self._contents.get(digest)
            return None if found is None else memoryview(found[0])[: found[1]].toreadonly()

    def drop(self, digest: str) -> None:
        """It is not needed any more, unless somebody still looks at it."""
        with self._guard:
            found = self._contents.get(digest)
            if found is None or is_read(found[0]):
                return
            del self._contents[digest]
            self._left += len(found[0])
        self._buffers.give(found[0])

    def trim(self) -> None:
        """Give everything back."""
        with self._guard:
            gone = [memory for memory, _ in self._contents.values()]
            self._left += sum(map(len, gone))
            self._contents.clear()
        self._give_back(gone)

    def _make_room(self) -> list[bytearray]:
        gone = []
        while self._left < 0:
            _, (memory, _) = self._contents.popitem(last=False)
            self._left += len(memory)
            gone.append(memory)
        return gone

    def _give_back(self, gone: list[bytearray]) -> None:
        for memory in gone:
            if is_read(memory):
                self._buffers.forget(memory)
            else:
                self._buffers.give(memory)
