"""A nursery: a process that imports torch, which takes seconds, and forks a child for each piece of work, which
takes milliseconds. No stranger's byte ever comes to the nursery; each child confines itself before it takes any.

Asking never waits: the child's socket is there at once, and says so when the child serves or has come to nothing.
So threads and greenlets ask alike, and nobody waits for the nursery's imports but who needs a child.
"""

from __future__ import annotations

import _socket  # the real one: where gevent replaces ``socket``, one belongs to the thread that made it
import _thread
import atexit
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import struct
from array import array
from collections.abc import Sequence

import msgspec

from syft_ext.confinement.child import CHILD_SOCKET, FOLDER, ChildProcess
from syft_ext.confinement.folders import own_folder
from syft_ext.confinement.kernel import libc
from syft_ext.errors import Unavailable

__all__ = ["HANDLE", "LONGEST_ORDER", "NurseryChild", "nursery"]

HANDLE = struct.Struct("=q")
"""How a child begins: its process id, and with it a descriptor that stands for the process."""
LONGEST_ORDER = 1 << 16
_POLLIN = 1
_REST_SECONDS = 60.0
"""A nursery that nobody has asked for so long ends: it holds what torch takes, a few hundred MB."""


class NurseryChild:
    """One forked process with a socket to it and an empty directory of its own: :class:`ChildProcess`, but quick.

    Args:
        module: its ``prepare()`` runs once in the nursery, its ``main(arguments)`` in the child.
        arguments: where :data:`FOLDER` stands, the child gets its directory.
        descriptors: open files that the child gets as well, numbered from ``CHILD_SOCKET + 1`` on.

    Attributes:
        socket: this side's end.
        parent: the process that asked for it.
        pid: its process id; 0 until :meth:`born` was called.
    """

    def __init__(self, module: str, arguments: Sequence[str], *, descriptors: Sequence[int] = ()) -> None:
        self._pidfd, self._ended = -1, False
        self.pid = 0
        self.parent = os.getpid()
        self.directory, self._held = own_folder()
        self.socket, other = socket.socketpair()
        order = [self.directory if each == FOLDER else each for each in arguments]
        try:
            nursery(module).ask(order, [other.fileno(), *descriptors])
        except BaseException:
            self.kill()
            raise
        finally:
            other.close()

    def born(self) -> bool:
        """Wait, as long as the socket's timeout says, until the process is there; False if it came to nothing."""
        if self.pid == 0:
            data, descriptors, _, _ = socket.recv_fds(self.socket, HANDLE.size, 1, socket.MSG_CMSG_CLOEXEC)
            if len(data) != HANDLE.size or len(descriptors) != 1:
                for each in descriptors:
                    os.close(each)
                return False
            (self._pidfd,) = descriptors
            (self.pid,) = HANDLE.unpack(data)
        return True

    def gone(self) -> bool:
        """Whether the process has ended."""
        return self._ended or (self._pidfd >= 0 and _ended(self._pidfd, 0))

    def kill(self) -> None:
        """End the process and release everything. Idempotent. One that is not born yet finds its socket closed."""
        if self._ended:
            return
        self._ended = True
        if self._pidfd >= 0:
            # By its descriptor: the number may belong to another process by now.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            _ended(self._pidfd, _SECONDS_TO_DIE)
            os.close(self._pidfd)
            self._pidfd = -1
        self.socket.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        os.close(self._held)


_SECONDS_TO_DIE = 10


def _ended(pidfd: int, seconds: int) -> bool:
    # Not by ``select``: gevent's belongs to an event loop, and this may be called by a collection of garbage.
    waiting = ctypes.create_string_buffer(struct.pack("ihh", pidfd, _POLLIN, 0))
    return int(libc.poll(waiting, 1, seconds * 1000)) > 0


class _Nursery:
    """This process's nursery for one module; it is started when a child is asked for, and again after a rest."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = _thread.allocate_lock()
        self._process: ChildProcess | None = None
        self._control: _socket.socket | None = None

    def ask(self, arguments: Sequence[str], descriptors: Sequence[int]) -> None:
        """Have a child forked with these descriptors; raises :class:`Unavailable` where nobody can be asked."""
        order = msgspec.json.encode(list(arguments))
        if len(order) > LONGEST_ORDER:
            raise ValueError("a child's arguments are too long")
        with self._lock:
            try:
                if self._control is None or not self._send(order, descriptors):
                    self._start()
                    if not self._send(order, descriptors):
                        raise Unavailable("the process that starts sandboxes ended at once; try again")
            except BlockingIOError as error:
                raise Unavailable(
                    "too many sandboxes wait for their start; try again later", retry_after=1.0
                ) from error

    def _send(self, order: bytes, descriptors: Sequence[int]) -> bool:
        """False when nobody listens: it has ended, or rests."""
        assert self._control is not None
        passed = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", descriptors))]
        try:
            self._control.sendmsg([order], passed, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionError):
            return False
        return True

    def _start(self) -> None:
        self._end()
        mine, its = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            self._process = ChildProcess(
                "syft_ext.confinement.nursery_main",
                [str(CHILD_SOCKET + 1), self._module, str(_REST_SECONDS)],
                descriptors=[its.fileno()],
            )
        except OSError as error:
            mine.close()
            raise Unavailable("no process could be started for a sandbox; try again") from error
        finally:
            its.close()
        self._control = mine

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        process, self._process = self._process, None
        if process is not None and process.parent == os.getpid():
            process.kill()

    def end(self) -> None:
        """End it; its children go on."""
        with self._lock:
            self._end()

    def forget(self) -> None:
        """In a fork of its process: the other one has it, and whoever held its lock is not here."""
        self._lock = _thread.allocate_lock()
        self._process = None
        if self._control is not None:
            self._control.close()
            self._control = None


_nurseries: dict[str, _Nursery] = {}


def nursery(module: str) -> _Nursery:
    """This process's nursery for ``module``."""
    return _nurseries.setdefault(module, _Nursery(module))


def _end_all() -> None:
    for each in _nurseries.values():
        each.end()


def _forget_all() -> None:
    for each in _nurseries.values():
        each.forget()


atexit.register(_end_all)
os.register_at_fork(after_in_child=_forget_all)
