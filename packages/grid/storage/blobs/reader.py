"""A content in the file store, open for reading."""

from __future__ import annotations

import mmap
import os
from typing import BinaryIO

from grid.storage.blobs.disk import close
from grid.storage.blobs.interface import BlobReader
from grid.storage.blobs.locks import LockedFile

__all__ = ["FileReader", "map_file"]

_MAP_NORESERVE = 0x4000  # Linux; Python 3.11 does not name it


def map_file(fd: int) -> memoryview:
    """The whole file, private and writable. The map has a descriptor of its own, of the same open file: a lock on
    that lasts as long as the map."""
    size = os.fstat(fd).st_size
    if size == 0:  # cannot be mapped
        return memoryview(b"")
    # Private and writable: torch cannot see that a buffer is read-only, and an in-place operation
    # on a read-only page would kill the node. No reserve: content may be larger than memory.
    flags = mmap.MAP_PRIVATE | _MAP_NORESERVE
    return memoryview(mmap.mmap(fd, size, flags, mmap.PROT_READ | mmap.PROT_WRITE))


class FileReader(BlobReader):
    """Its descriptor keeps the bytes when the file's name is removed; ``held`` keeps the name, too."""

    def __init__(self, fd: int, held: LockedFile | None = None) -> None:
        """Takes over ``fd``, unless it is that of ``held``."""
        self._fd, self._held = fd, held
        self.size = os.fstat(fd).st_size

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        stop = self.size if stop is None else stop
        piece = os.pread(self._fd, stop - start, start)
        if len(piece) == stop - start:
            return piece
        pieces = []  # the system reads 2 GB at a time
        while piece:
            pieces.append(piece)
            start += len(piece)
            piece = os.pread(self._fd, stop - start, start)
        return b"".join(pieces)

    def file(self) -> BinaryIO:
        file = os.fdopen(os.dup(self._fd), "rb")
        file.seek(0)
        return file

    def map(self) -> memoryview:
        return map_file(self._fd)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if self._held is not None:
            self._held.close()
        elif fd >= 0:
            close(fd)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            self.close()
