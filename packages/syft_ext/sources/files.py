"""Open files that are closed when nobody refers to them any more: parts of a content share one."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

from syft_ext.errors import BadRequest

__all__ = ["OpenFile"]


class OpenFile:
    """Args: ``fd``: a descriptor, which is now this object's."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def reading(cls, path: Path) -> OpenFile:
        """Open it for reading; a child process does not inherit it."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    @classmethod
    def unnamed(cls, directory: Path | None) -> OpenFile:
        """A file without a name: the kernel removes it with the process. Without a directory, one in memory."""
        if directory is None:
            return cls(os.memfd_create("spool"))
        with tempfile.TemporaryFile(dir=directory) as file:
            return cls(os.dup(file.fileno()))

    def stream(self) -> BinaryIO:
        """Another view of it, from its beginning on, to be closed by the caller."""
        file = os.fdopen(os.dup(self.fd), "r+b" if self._writable() else "rb")
        file.seek(0)
        return file

    def _writable(self) -> bool:
        return bool(fcntl.fcntl(self.fd, fcntl.F_GETFL) & os.O_RDWR)

    def read(self, count: int, offset: int, what: str) -> bytes:
        """Exactly ``count`` bytes."""
        data = os.pread(self.fd, count, offset)
        if len(data) != count:
            raise BadRequest(f"{what}: the file is shorter than its header says")
        return data

    def write(self, data: memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``, however often that takes."""
        while len(data):
            written = os.pwrite(self.fd, data, offset)
            data, offset = data[written:], offset + written

    def __del__(self) -> None:
        os.close(self.fd)
