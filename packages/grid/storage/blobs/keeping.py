"""A while in which nothing is removed for good, in any process: a backup copies what its database refers to."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grid.concurrency.offload import native_lock, offload
from grid.storage.blobs.disk import close
from syft_ext.errors import Conflict

__all__ = ["Keeping"]


class Keeping:
    """A lock in a file: whoever removes shares it, whoever wants all to be kept has it alone. Who removes does not
    wait, but puts aside; who keeps waits for those who are just removing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = native_lock()
        self._fd, self._removers = -1, 0

    @contextmanager
    def removing(self) -> Iterator[bool]:
        """Around a removal, and the transaction that it rests on: whether it may be for good."""
        with self._guard:
            if not self._removers:
                fd = self._open()
                try:
                    fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    close(fd)
                    fd = -1
                self._fd = fd
            for_good = self._fd >= 0
            self._removers += for_good
        try:
            yield for_good
        finally:
            if for_good:
                self._end()

    def _end(self) -> None:
        with self._guard:
            self._removers -= 1
            if not self._removers:
                close(self._fd)
                self._fd = -1

    @contextmanager
    def entered(self) -> Iterator[None]:
        """While it is entered nothing is removed for good. Raises :class:`Conflict` where somebody else has."""
        fd = self._open()
        try:
            # A second file says who was first: two that want all to be kept cannot both wait for the removers.
            turn = os.open(f"{self._path}.turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                try:
                    fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise Conflict("another backup of these contents is being made") from None
                offload(fcntl.flock, fd, fcntl.LOCK_EX)
                yield
            finally:
                close(turn)
        finally:
            close(fd)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
