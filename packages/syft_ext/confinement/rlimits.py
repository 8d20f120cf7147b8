"""Bounds that the kernel keeps: memory, files, locks, and CPU time of single runs (setrlimit(2), setitimer(2))."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["InUse", "cpu_limit", "in_use", "limit_resources"]

#: Descriptors beside those that are open: what is imported late is read one file at a time.
_FILES = 16
#: Seconds of CPU time beyond the limit: what libraries load at the first use of a kernel is not the user's doing.
_GRACE = 0.5


@dataclass(frozen=True, slots=True)
class InUse:
    """Bytes of address space, and descriptors."""

    memory: int
    files: int


def in_use() -> InUse:
    """What this process has now. Reads /proc/self."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # a count of numbers, not of paths
    return InUse(pages * resource.getpagesize(), files)


def limit_resources(now: InUse, memory_bytes: int, file_size: int = 0) -> None:
    """Bound what this process may have: ``memory_bytes`` of address space beyond what it has ``now``, files of
    ``file_size`` bytes, no core dump, no locked memory, no message queues, no priority.

    Raises :class:`OSError` or :class:`ValueError` for the first limit that cannot be set.
    """
    for what, limit in (
        (resource.RLIMIT_AS, now.memory + memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_NOFILE, now.files + _FILES),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_NICE, 0),
        (resource.RLIMIT_RTPRIO, 0),
    ):
        _, hard = resource.getrlimit(what)
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(what, (limit, limit))


@contextlib.contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Let this process use ``seconds`` of CPU time in the block; past that the kernel ends it (SIGPROF).

    A timer of the process's CPU time, since rlimits know whole seconds only. An rlimit stands behind it (SIGXCPU).
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    before, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(used.ru_utime + used.ru_stime + seconds + _GRACE) + 2
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # a kernel would not let a handler of Python's run
    signal.setitimer(signal.ITIMER_PROF, seconds + _GRACE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (before, hard))
