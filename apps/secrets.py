"""Secrets that come in the environment: taken out of it before anything else could see them."""

from __future__ import annotations

import ctypes
import os

__all__ = ["take_secret"]


def take_secret(name: str) -> str:
    """The variable's value ("" when it is not set), which neither this process nor any child has any more.

    Its bytes are overwritten where the kernel put them at the start, too: /proc/PID/environ shows those.
    """
    value = os.environ.get(name, "")
    if value:
        _overwrite(name)
    os.environ.pop(name, None)
    return value


def _overwrite(name: str) -> None:
    try:
        libc = ctypes.CDLL(None)
        libc.getenv.restype, libc.getenv.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    except (OSError, AttributeError):  # no C library to ask; then there is no /proc either
        return
    address = libc.getenv(os.fsencode(name))
    if address:
        ctypes.memset(address, 0, len(ctypes.string_at(address)))
