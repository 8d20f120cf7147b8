"""System calls that raise: what a kernel refuses must never look like what it did."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import Any

__all__ = ["ARCHITECTURE", "ProtectionError", "architecture", "call", "libc", "system_call", "thread_count"]

libc = ctypes.CDLL(None, use_errno=True)

#: Machine → (its number in audit.h, its place in tables of numbers).
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
ARCHITECTURE = _ARCHITECTURES.get(platform.machine()) if sys.byteorder == "little" else None
libc.syscall.restype = ctypes.c_long


class ProtectionError(Exception):
    """One protection is not to be had here; the text says why, in words for whoever runs the machine."""


def architecture() -> tuple[int, int]:
    """Its audit number and its place in tables; raises :class:`ProtectionError` on another machine."""
    if ARCHITECTURE is None:
        raise ProtectionError(f"not known on this architecture ({platform.machine()})")
    return ARCHITECTURE


def call(what: str, result: int) -> int:
    """``result`` of a libc function; raises :class:`OSError` naming ``what`` where it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def system_call(what: str, number: int, *arguments: Any) -> int:
    """As :func:`call`, by the system call's number; integers are passed as machine words."""
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return call(what, libc.syscall(ctypes.c_long(number), *words))


def thread_count() -> int:
    """How many threads this process has."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208  # a count of numbers, not of paths
