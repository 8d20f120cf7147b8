"""Processes that outlive whoever started them: started detached, found again, and ended without mistakes.

A process id alone says little: the kernel gives it to another process later. A process is named here by its id
and the moment of its start, in clock ticks since a boot that is named too (proc_pid_stat(5)).
"""

from __future__ import annotations

import contextlib
import os
import posix
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProcessExit", "ProcessHandle", "Usage", "command_of", "ended_as", "processes", "spawn"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_DEAD = "ZX"


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds of all threads since the start; resident bytes."""

    cpu_seconds: float
    memory: int


@dataclass(frozen=True, slots=True)
class ProcessHandle:
    """One process, and no other that has its id later."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessHandle | None:
        """The process that has this id now."""
        fields = _stat(pid)
        return None if fields is None else cls(pid, int(fields[19]), _boot())

    @property
    def usage(self) -> Usage | None:
        """What it uses; None when it has ended (a zombie has)."""
        fields = _stat(self.pid)
        if fields is None or fields[0] in _DEAD or int(fields[19]) != self.started or _boot() != self.boot:
            return None
        return Usage((int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE)

    def kill(self, patience: float = 10.0) -> None:
        """End it and wait until it has ended. Raises :class:`TimeoutError`."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # The descriptor stays with the process that had the id when it was opened: look after that.
            if self.usage is None:
                return
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)
        deadline = time.monotonic() + patience
        while self.usage is not None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self.pid} does not end")
            time.sleep(0.005)


def spawn(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> ProcessHandle:
    """Start a process of its own session, with nothing of ours: no terminal, no variable that is not named.

    Its output goes to ``log``. What else would be inherited is for it to close.
    """
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = posix.posix_spawn(
        arguments[0],
        list(arguments),
        dict(environment),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    process = ProcessHandle.of(pid)
    assert process is not None  # not before it is waited for
    return process


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """How a process ended: its wait status, and the CPU seconds that it had used."""

    status: int
    cpu_seconds: float


def ended_as(process: ProcessHandle) -> ProcessExit | None:
    """How a child ended (it is then gone); None when that cannot be known.

    Only the process that started it is told, once, and under gevent another handler may have been.
    """
    with contextlib.suppress(ChildProcessError):
        pid, status, used = posix.wait4(process.pid, os.WNOHANG)
        return ProcessExit(status, used.ru_utime + used.ru_stime) if pid else None
    return None


def processes() -> list[ProcessHandle]:
    """All processes that this user may see."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [process for pid in pids if (process := ProcessHandle.of(pid)) is not None]


def command_of(process: ProcessHandle) -> list[str]:
    """The arguments of a process; empty when they cannot be seen."""
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _stat(pid: int) -> list[str] | None:
    """The fields of ``/proc/PID/stat`` from the third (the state) on: the second may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
