"""Where sessions run: in children of this node, one for each, or in the hosts of compute environments."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterable
from typing import Protocol

from grid.compute.host_channel import HostChannel
from syft_ext.confinement.child import CHILD_SOCKET, FOLDER, ChildProcess, python_command
from syft_ext.errors import Unavailable

__all__ = ["ChildHosts", "Environments", "host_command"]

_START_SECONDS = 120.0


def host_command(
    path: str, *, lease: float, memory: int, threads: int = 1, cpu_seconds: int = 0
) -> list[str]:
    """The command line of a host that listens at ``path``, in a folder that is its owner's only."""
    options = {"lease": lease, "memory": memory, "threads": threads, "cpu-seconds": cpu_seconds}
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return python_command("grid.compute.host", ["--listen", path, *arguments])


class Environments(Protocol):
    """What the service that manages compute environments offers to the one that runs sessions."""

    def connect(self, environment_id: str, user_id: str) -> HostChannel:
        """A new connection to the host of the user's environment.

        Raises :class:`NotFound` for one that is not there or not theirs, :class:`Forbidden` for one that they
        may not use now, :class:`Unavailable` when it cannot be reached.
        """

    def of(self, user_id: str) -> Iterable[str]:
        """The ids of the environments that run for the user now."""


class ChildHosts:
    """Hosts that end with this node, from a nursery that is started at the first use.

    Args:
        memory: bytes that the values of one session may take.
        threads: of torch, in each.
        permissive: they go on without protections that this machine lacks: for development only.
    """

    def __init__(self, memory: int, threads: int, *, permissive: bool = False) -> None:
        self._memory, self._threads, self._permissive = memory, threads, permissive
        self._lock = threading.Lock()
        self._nursery: ChildProcess | None = None
        self._channels: set[HostChannel] = set()
        self._closed = False

    def take(self) -> HostChannel:
        """A new host, warm and confined. Raises :class:`Unavailable`, or :class:`Unconfined`."""
        with self._lock:
            if self._closed:
                raise Unavailable("the node is stopping")
            try:
                channel, handle = self._host()
            except OSError as error:
                self._discard()
                raise Unavailable("no process could be started for this session; try again") from error

        def lost() -> None:
            self._channels.discard(host_channel)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)

        host_channel = HostChannel(channel, lost)
        self._channels.add(host_channel)
        host_channel.greeted()
        return host_channel

    def rest(self) -> None:
        """End the nursery: nobody computes here any more."""
        with self._lock:
            self._discard()

    def close(self) -> None:
        """End all hosts."""
        with self._lock:
            self._closed = True
            self._discard()
        for host_channel in list(self._channels):
            host_channel.close()

    # -- the nursery --------------------------------------------------------------------------------

    def _host(self) -> tuple[socket.socket, int]:
        if self._nursery is not None:
            try:
                return self._fork(self._nursery)
            except OSError:  # it has died; a new one is as good
                self._discard()
        return self._fork(self._ready())

    def _ready(self) -> ChildProcess:
        """A new nursery, once it has imported torch."""
        nursery = self._nursery = ChildProcess(
            "grid.compute.host",
            [
                *("--nursery", str(CHILD_SOCKET), "--directory", FOLDER),
                *("--memory", str(self._memory), "--threads", str(self._threads)),
                *(["--permissive"] if self._permissive else []),
            ],
        )
        nursery.socket.settimeout(_START_SECONDS)
        if nursery.socket.recv(1) != b"R":
            raise OSError("the nursery ended at once")
        return nursery

    @staticmethod
    def _fork(nursery: ChildProcess) -> tuple[socket.socket, int]:
        mine, its = socket.socketpair()
        with its:
            try:
                socket.send_fds(nursery.socket, [b"H"], [its.fileno()])
                answer, handles, _, _ = socket.recv_fds(nursery.socket, 1, 1)
                if not answer:
                    raise OSError("the nursery is gone")
            except BaseException:
                mine.close()
                raise
        return mine, handles[0]

    def _discard(self) -> None:
        if self._nursery is not None:
            self._nursery.kill()
            self._nursery = None
