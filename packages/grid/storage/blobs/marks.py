"""The record of what was spent, as lines in a file beside the contents."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from grid.storage.blobs.disk import clear_errors, close, replace_file, write_all

__all__ = ["FileMarks"]


class FileMarks:
    """Several processes may use it at once: a lock in a file beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, lines: Collection[bytes]) -> None:
        """Add lines, durably. What a killed process left of a line gets its end first: it stays a line that
        nobody can read."""
        with self._locked(), clear_errors():
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(fd).st_size
                broken = size and os.pread(fd, 1, size - 1) != b"\n"
                write_all(
                    fd, memoryview((b"\n" if broken else b"") + b"".join(each + b"\n" for each in lines))
                )
                os.fdatasync(fd)
            finally:
                close(fd)

    def lines(self) -> list[bytes] | None:
        """All lines; None where there is no file."""
        with self._locked():
            return self._read()

    def rewrite(self, change: Callable[[Sequence[bytes]], Sequence[bytes]]) -> None:
        """Put what ``change`` makes of all lines in their place."""
        with self._locked():
            lines = self._read() or []
            changed = change(lines)
            if changed is not lines:
                replace_file(self._path, b"".join(each + b"\n" for each in changed))

    def _read(self) -> list[bytes] | None:
        try:
            return self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            close(fd)
