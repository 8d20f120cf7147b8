"""A child process that will confine itself: how it is started, and how it is ended for certain."""

from __future__ import annotations

import contextlib
import fcntl
import os
import posix
import shutil
import signal
import socket
import sys
from collections.abc import Sequence

from syft_ext.confinement.folders import own_folder
from syft_ext.source_roots import SOURCE_ROOT

__all__ = ["CHILD_SOCKET", "FOLDER", "ChildProcess", "python_command"]

CHILD_SOCKET = 3
"""The child's end of the socket; further descriptors follow it."""
FOLDER = "{folder}"
"""Stands in the arguments for the child's empty directory."""

# The child's own argv is all that varies; "-I" keeps the environment and the current directory out of sys.path.
# Whatever a library of the parent left inheritable is closed before anything else happens.
_BOOTSTRAP = (
    "import os, sys; from importlib import import_module; os.closerange(int(sys.argv[1]), 1 << 20); "
    "sys.path.insert(0, sys.argv[2]); import_module(sys.argv[3]).main(sys.argv[4:])"
)


def python_command(module: str, arguments: Sequence[str], *, descriptors: int = 3) -> list[str]:
    """The command line of a process that calls ``main(arguments)`` of one of our modules and has no other path.

    It keeps the first ``descriptors`` descriptors of those that it inherits.
    """
    return [sys.executable, "-I", "-c", _BOOTSTRAP, str(descriptors), str(SOURCE_ROOT), module, *arguments]


class ChildProcess:
    """One child process with a socket to it and an empty directory of its own.

    Spawned with ``posix.posix_spawn``: gevent patches ``subprocess`` and ``os`` so that children can be started
    from the main thread only, and fork is unsafe in a process with threads.

    Args:
        module: whose ``main(arguments)`` the child calls.
        arguments: where :data:`FOLDER` stands, the child gets its directory.
        descriptors: open files that the child gets as well, numbered from ``CHILD_SOCKET + 1`` on.

    Attributes:
        socket: this side's end.
        parent: the process that started it.
    """

    def __init__(self, module: str, arguments: Sequence[str], *, descriptors: Sequence[int] = ()) -> None:
        self._pidfd = -1
        self.parent = os.getpid()
        self.directory, self._held = own_folder()
        self.socket, other = socket.socketpair()
        command = python_command(
            module,
            [self.directory if a == FOLDER else a for a in arguments],
            descriptors=CHILD_SOCKET + 1 + len(descriptors),
        )
        # Duplicates above the targets, so that no dup2 overwrites a descriptor still to be passed on.
        spare = [_above(fd) for fd in (other.fileno(), *descriptors)]
        try:
            self.pid = posix.posix_spawn(
                sys.executable,
                command,
                # One thread until it is confined: what the kernel confines is a thread, and those that it makes.
                {"OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
                file_actions=[
                    *((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)),
                    *((os.POSIX_SPAWN_DUP2, fd, CHILD_SOCKET + n) for n, fd in enumerate(spare)),
                ],
                setpgroup=0,  # Ctrl-C in the parent's terminal is not for it
            )
        finally:
            for fd in spare:
                os.close(fd)
            other.close()
        self._pidfd = os.pidfd_open(self.pid)

    def gone(self) -> bool:
        """Whether the process has ended (it is then reaped)."""
        try:
            return posix.waitpid(self.pid, os.WNOHANG)[0] != 0
        except ChildProcessError:  # someone else's SIGCHLD handler reaped it
            return True

    def kill(self) -> None:
        """End the process and release everything. Idempotent."""
        if self._pidfd < 0:
            return
        # By pidfd: the number may belong to another process by now.
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            posix.waitpid(self.pid, 0)
        os.close(self._pidfd)
        self._pidfd = -1
        self.socket.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        os.close(self._held)


def _above(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
