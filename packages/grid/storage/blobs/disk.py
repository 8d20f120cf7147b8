"""What the storage asks of the operating system, with the system's answers as errors of the tree."""

from __future__ import annotations

import ctypes
import errno
import os
import posix
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from syft_ext.errors import Unavailable
from syft_ext.ids import new_id

__all__ = [
    "clear_errors",
    "close",
    "make_directory",
    "put_if_absent",
    "replace_file",
    "start_writeback",
    "sync_directory",
    "write_all",
]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SYNC_FILE_RANGE_WRITE = 2


def _load_sync_file_range() -> Any:
    try:
        function = ctypes.CDLL(None, use_errno=True).sync_file_range
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return function


_sync_file_range = _load_sync_file_range()


def close(fd: int) -> None:
    """Close a file's descriptor: not by gevent's ``os.close``, which asks first who waits for it."""
    posix.close(fd)


def start_writeback(fd: int) -> None:
    """Have the kernel start writing the file's pages; a hint that makes the later sync short."""
    if _sync_file_range is not None:
        _sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE)


@contextmanager
def clear_errors() -> Iterator[None]:
    """A full disk (or quota, or file size limit) is :class:`Unavailable`; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Unavailable("the node's disk is full", reason=errno.errorcode[error.errno]) from error
        raise


def write_all(fd: int, data: memoryview) -> None:
    """Write all of ``data`` at the file's position; raises :class:`Unavailable` when the disk is full."""
    with clear_errors():
        while len(data):
            data = data[os.write(fd, data) :]


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        close(fd)


def put_if_absent(path: Path, content: bytes) -> bool:
    """Make the file at ``path`` durably, whole or not at all; whether it was not there before."""
    temporary = path.with_name(f"{path.name}.{new_id()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, memoryview(content))
        os.fsync(fd)
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        close(fd)
        temporary.unlink()
    sync_directory(path.parent)
    return True


def replace_file(path: Path, content: bytes) -> None:
    """Put ``content`` in place of the file at ``path``: durably, and whole or not at all. One writer at a time."""
    temporary = path.with_name(f"{path.name}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, memoryview(content))
        os.fsync(fd)
    finally:
        close(fd)
    temporary.replace(path)
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Make a directory that only its owner can enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
