"""What a worker's process gives up before a secret comes to it: being looked into, and being written to a disk."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path

__all__ = ["harden", "keep_off_disk", "silence"]

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_MCL_CURRENT, _MCL_FUTURE = 1, 2
_libc = ctypes.CDLL(None, use_errno=True)


def harden() -> bool:
    """No core dumps, no tracing by other processes of this user (prctl(2), PR_SET_DUMPABLE), no new privileges;
    whether all of that is in force."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        return False
    return not any(
        _libc.prctl(option, value, 0, 0, 0)
        for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1))
    )


def keep_off_disk(swaps: Path = Path("/proc/swaps")) -> bool:
    """Whether none of this process's memory can be swapped out: it is locked, or the machine has nowhere to."""
    if not _libc.mlockall(_MCL_CURRENT | _MCL_FUTURE):
        return True
    try:
        return len(swaps.read_text().splitlines()) <= 1  # a line of titles
    except OSError:
        return False


def silence() -> None:
    """Nothing that this process writes to its standard descriptors reaches anybody."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    if nothing > 2:
        os.close(nothing)
