"""Node processes without the seconds of their imports: forked from a process that has imported all of them.

    python -m tests.forkserver DESCRIPTOR        started by the first ``Forked`` of a test process

A forked node runs the same command as ``grid domain start``, is a process of its own, and dies of SIGKILL as any
other. What a real start imports is tested in ``tests/apps/test_start.py``.
"""

from __future__ import annotations

import _socket  # the real one: gevent replaces ``socket``, and nothing here may start its loop
import atexit
import gc
import json
import os
import posix
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

__all__ = ["Forked"]

_LONGEST = 1 << 20


class Forked:
    """``grid *arguments`` in a forked process; what is used of it has the meaning that it has in ``Popen``."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: IO[bytes] | None
    ) -> None:
        self.returncode: int | None = None
        output, out = os.pipe()
        errors, err = os.pipe() if log is None else (-1, os.dup(log.fileno()))
        order = {"arguments": list(arguments), "environment": dict(environment), "directory": os.getcwd()}
        self._server = _server()
        try:
            self.pid = self._server.ask(order, out, err)
        finally:
            os.close(out)
            os.close(err)
        # The server leaves it a zombie until it is asked how it ended: the number stays its own until then.
        self._descriptor = os.pidfd_open(self.pid)
        self.stdout = os.fdopen(output, "r")
        self.stderr = os.fdopen(errors, "r") if log is None else None

    def poll(self) -> int | None:
        return self._wait(0.0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._wait(timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(f"node {self.pid}", timeout)
        return status

    def _wait(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._descriptor], [], [], timeout)[0]:
            self.returncode = os.waitstatus_to_exitcode(self._server.ask({"ended": self.pid}))
            os.close(self._descriptor)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._descriptor, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Server:
    def __init__(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        command = [sys.executable, "-m", "tests.forkserver", str(other.fileno())]
        self._process = subprocess.Popen(
            command,
            pass_fds=[other.fileno()],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
        )
        other.close()

    def ask(self, order: dict[str, Any], *descriptors: int) -> int:
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(order).encode()], descriptors)
            answer = self._socket.recv(64)
        if not answer:
            raise RuntimeError("the process that forks nodes has ended")
        return int(answer)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


_starting = threading.Lock()


def _server() -> _Server:
    with _starting:
        return _start_server()


@cache
def _start_server() -> _Server:
    server = _Server()
    atexit.register(server.close)
    return server


def main(descriptor: int) -> None:
    """Fork what is asked for until the asking process is gone; returns in each child once its node has ended."""
    gc.disable()  # until a node serves, as where the command starts it
    from grid.web.patching import patch

    patch()
    import gevent

    from apps import runner  # noqa: F401
    from apps.cli import main as cli
    from apps.domain import app as domain  # noqa: F401
    from apps.network import app as network  # noqa: F401
    from apps.worker import app as worker  # noqa: F401
    from grid.accounts import bootstrap  # noqa: F401
    from grid.config import logs  # noqa: F401
    from grid.web import server  # noqa: F401

    gc.freeze()  # else the first collection of each child would copy all pages
    channel = _socket.socket(fileno=descriptor)
    channel.setblocking(True)
    while True:
        asked, ancillary, _, _ = channel.recvmsg(_LONGEST, _socket.CMSG_SPACE(8))
        if not asked:
            return
        order = json.loads(asked)
        if "ended" in order:
            channel.send(str(posix.waitpid(order["ended"], 0)[1]).encode())
            continue
        ((_, _, raw),) = ancillary
        descriptors = [int.from_bytes(raw[at : at + 4], sys.byteorder) for at in (0, 4)]
        child = posix.fork()
        if child == 0:
            channel.close()
            gevent.reinit()
            _become(order, *descriptors)
            cli.main(order["arguments"])
        for each in descriptors:
            posix.close(each)  # gevent's own waits for its loop
        channel.send(str(child).encode())


def _become(order: dict[str, Any], output: int, errors: int) -> None:
    for descriptor, number in ((output, 1), (errors, 2)):
        os.dup2(descriptor, number)
        posix.close(descriptor)
    os.chdir(order["directory"])
    os.environ.clear()
    os.environ.update(order["environment"])


if __name__ == "__main__":
    main(int(sys.argv[1]))
