"""A committed content in somebody's hands."""

# Names are strings here: every report needs a dozen, and a Path costs ten times as much.
# ruff: noqa: PTH116

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path
from types import TracebackType

from grid.storage.blobs.disk import clear_errors, close
from syft_ext.errors import BadRequest
from syft_ext.ids import new_id

__all__ = ["Blob", "LockedFile", "check_digest"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


def check_digest(value: str) -> str:
    """Return ``value`` if it is a digest, else raise :class:`BadRequest` (it names a file)."""
    if not _DIGEST.fullmatch(value):
        raise BadRequest("a digest is 64 lower-case hex digits", value=value[:64])
    return value


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
        return not os.fstat(self.fd).st_mode & 0o200

    def duplicate(self) -> LockedFile:
        """The same open file for another owner: the lock lasts until both have closed it."""
        other = LockedFile.__new__(LockedFile)
        other.path, other.fd = self.path, -1
        other.fd = os.dup(self.fd)
        return other

    @property
    def size(self) -> int:
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
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            close(fd)

    def __del__(self) -> None:
        self.close()


class Blob:
    """The digest and size (bytes) of a committed content; ``with blob:`` keeps it from the sweeper.

    Hold it until the transaction that refers to it is committed. It is let go when it is garbage, too.
    """

    __slots__ = ("_file", "digest", "size")

    def __init__(self, digest: str, size: int, file: LockedFile) -> None:
        self.digest, self.size, self._file = digest, size, file

    def release(self) -> None:
        """Let the sweeper have it, if nothing in the database refers to it."""
        self._file.close()

    def __enter__(self) -> Blob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"Blob({self.digest!r}, size={self.size})"
