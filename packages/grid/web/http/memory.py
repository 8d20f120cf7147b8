"""Memory that a server's process has given up goes back to the system."""

from __future__ import annotations

import ctypes

__all__ = ["return_freed_memory"]

#: mallopt(3): parameter → value.
_MALLOC = {
    -8: 2,  # M_ARENA_MAX: by default up to eight heaps per processor, each with holes of its own
    -3: 128 << 10,  # M_MMAP_THRESHOLD: pieces of bodies are mapped, and unmapped when they are freed
    -1: 128 << 10,  # M_TRIM_THRESHOLD
}


def return_freed_memory() -> bool:
    """Keep glibc from holding on to freed memory; whether that worked (other C libraries have no such thing).

    By default its thresholds grow with what is freed, up to 32 MB, and every thread that reads or writes
    pieces of bodies fragments a heap: after 32 simultaneous uploads the process stays 40 MB larger.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(parameter, value) == 1 for parameter, value in _MALLOC.items())
