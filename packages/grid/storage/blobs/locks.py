"""Files that their users lock: what the file store goes by when it removes something."""

# Names are strings here: every report needs a dozen, and a Path costs ten times as much.
# ruff: noqa: PTH116

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from grid.storage.blobs.disk import clear_errors, close
from syft_ext.ids import new_id

__all__ = ["LockedFile", "sweep_directory"]


class LockedFile:
    """An open file with a lock on it, closed at the latest when nobody refers to it any more.

    While it is open no sweeper removes the file, whatever name it has. Closing by reference count matters:
    a greenlet can be killed while a real thread still writes, and a descriptor closed under that thread
    would soon be another file's.
    """

    __slots__ = ("fd", "path")

    def __init__(self, path: str, flags: int = os.O_RDONLY) -> None:
        """Open ``path`` without locking it yet; raises ``OSError``."""
        self.fd = -1
        self.path = path
        self.fd = os.open(path, flags | os.O_CLOEXEC, 0o600)

    @classmethod
    def take(cls, path: str) -> LockedFile | None:
        """Open and lock the file at ``path``; None if there is none (or it is removed just now)."""
        try:
            file = cls(path)
        except FileNotFoundError:
            return None
        return file if file.lock() else None

    @classmethod
    def create(cls, directory: Path) -> LockedFile:
        """A new file in ``directory``, for its owner only."""
        while True:
            with clear_errors():
                file = cls(f"{directory}/{new_id()}", os.O_CREAT | os.O_EXCL | os.O_RDWR)
            if file.lock():
                return file

    def share(self) -> None:
        """Note on the file that more than one content's owner may know its name: it is never written over."""
        os.fchmod(self.fd, 0o400)

    @property
    def shared(self) -> bool:
        """Whether :meth:`share` was noted on the file, by whichever process."""
        return not os.fstat(self.fd).st_mode & 0o200

    def duplicate(self) -> LockedFile:
        """The same open file for another owner: the lock lasts until both have closed it."""
        other = LockedFile.__new__(LockedFile)
        other.path, other.fd = self.path, -1
        other.fd = os.dup(self.fd)
        return other

    @property
    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self.fd).st_size

    def lock(self) -> bool:
        """Share the lock; whether the file still has its name. A sweeper has the lock for a moment at most."""
        fcntl.flock(self.fd, fcntl.LOCK_SH)
        return self._is_there()

    def lock_alone(self) -> bool:
        """Lock the file if nobody else has; whether that worked and the file still has its name."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return self._is_there()

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self.fd), os.stat(self.path))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Give up the lock, unless a duplicate is open; may be called twice."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            close(fd)

    def __del__(self) -> None:
        self.close()


def sweep_directory(
    directory: Path,
    keep: Callable[[str], bool] = lambda name: False,
    remove: Callable[[Path], None] = Path.unlink,
) -> int:
    """Remove the files of a directory that nobody holds and ``keep`` does not want; returns how many."""
    removed = 0
    for path in list(directory.iterdir()):
        try:
            file = LockedFile(str(path))
        except FileNotFoundError:
            continue
        if file.lock_alone() and not keep(path.name):
            remove(path)
            removed += 1
        file.close()
    return removed
