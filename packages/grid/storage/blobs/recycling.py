"""Files of contents that are gone, for new contents of the same size: their blocks and pages are there already.

The reports of a training's cycles come and go, thousands a minute, all of one size. To make a file, to let it
grow, to sync what that changed in the file system and to remove it costs several times what writing over it does.

Nobody may be looking at a file that is written over. Its contents' own rule, that nothing is removed which cannot
be locked alone, does not cover readers; so only contents come here that were never committed twice
(:meth:`LockedFile.share`), whose only readers lock them. And nobody may find the new bytes under the old name: a
file can be used again once the directory without that name is on the disk.
"""

# Names are strings here: every report needs a dozen, and a Path costs ten times as much.
# ruff: noqa: PTH104, PTH108

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from grid.concurrency.offload import native_lock
from grid.storage.blobs.buffers import WHOLE
from grid.storage.blobs.locks import LockedFile
from syft_ext.ids import new_id

__all__ = ["RecycledFiles"]

FILES = 64
BYTES = 64 << 20
IDLE = 30.0
"""Seconds after which a file that nobody needed is removed."""


_RecycledFile = tuple[float, int, LockedFile]
"""Since when it is here, its bytes, and the file."""


class RecycledFiles:
    """Files in ``directory``, locked as all in it are, until they are taken. Real threads share it."""

    def __init__(self, directory: Path, files: int = FILES, size: int = BYTES, idle: float = IDLE) -> None:
        self._directory, self._idle = str(directory), idle
        self._files, self._bytes = files, size  # how many may still come
        self._guard = native_lock()
        self._named: list[_RecycledFile] = []  # a power cut could give them their old name back
        self._free: list[_RecycledFile] = []  # the latest is the last

    def add(self, file: LockedFile) -> bool:
        """Take over the file of a content, which the caller has locked alone; False if it is not wanted."""
        size = file.size
        with self._guard:
            if file.shared or not 0 < size <= min(WHOLE, self._bytes) or not self._files:
                return False
            self._files -= 1
            self._bytes -= size
        name = f"{self._directory}/{new_id()}"
        os.rename(file.path, name)
        file.path = name
        file.lock()  # no longer alone: whoever waits for it under its old name finds that it is gone
        with self._guard:
            self._named.append((time.monotonic(), size, file))
        return True

    @contextmanager
    def names_synced(self) -> Iterator[None]:
        """Around a sync of the directory of contents: old names of what is here before it are gone after it."""
        begun = time.monotonic()
        yield
        with self._guard:
            self._free += [each for each in self._named if each[0] < begun]
            self._named = [each for each in self._named if each[0] >= begun]

    def take(self, size: int) -> LockedFile | None:
        """A file of ``size`` bytes, with anything in it, locked as every temporary file is."""
        with self._guard:
            found = next((i for i in range(len(self._free) - 1, -1, -1) if self._free[i][1] == size), None)
            if found is None:
                return None
            _, _, file = self._free.pop(found)
            self._files += 1
            self._bytes += size
        return file if file.lock() else None

    def trim(self, *, everything: bool = False) -> None:
        """Remove what nobody needed for a while."""
        old = time.monotonic() - (0.0 if everything else self._idle)
        with self._guard:
            here = self._named + self._free
            gone = [each for each in here if each[0] <= old]
            self._named = [each for each in self._named if each[0] > old]
            self._free = [each for each in self._free if each[0] > old]
            self._files += len(gone)
            self._bytes += sum(size for _, size, _ in gone)
        for _, _, file in gone:
            with suppress(FileNotFoundError):
                os.unlink(file.path)
            file.close()
