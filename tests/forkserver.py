"""Node processes without the seconds of their imports: forked from a process that has imported all of them.

    python -m tests.forkserver DESCRIPTOR LISTENER PLANS HOSTS    started by the first ``Forked`` of a test process

A forked node runs the same command as ``grid domain start``, is a process of its own, and dies of SIGKILL as any
other. What a real start imports is tested in ``tests/apps/test_start.py``. Its sandboxes for plans and its hosts
for sessions are forked from the test process's nurseries and not from its own: each of those takes four seconds of
processor time. What a test process starts (a notebook's kernel) finds the same server by :data:`ADDRESS` in its
environment, and needs no other one.
"""

from __future__ import annotations

import _socket  # the real one: gevent replaces ``socket``, and nothing here may start its loop
import atexit
import ctypes
import gc
import json
import os
import posix
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

__all__ = ["ADDRESS", "Forked", "start_server"]

ADDRESS = "TEST_FORKSERVER"
"""In the environment: the path of a running server's socket."""
_LONGEST = 1 << 20
_NEWNET = 0x40000000  # unshare(2): a network namespace


class Forked:
    """``grid *arguments`` in a forked process; what is used of it has the meaning that it has in ``Popen``."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: IO[bytes] | None,
        namespace: Path | None = None,
    ) -> None:
        """``namespace``: the network namespace that it is in, as a file."""
        self.returncode: int | None = None
        output, out = os.pipe()
        errors, err = os.pipe() if log is None else (-1, os.dup(log.fileno()))
        order = {"arguments": list(arguments), "environment": dict(environment), "directory": os.getcwd()}
        if namespace is not None:
            order["namespace"] = str(namespace)
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
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        if ADDRESS in os.environ:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._socket.connect(os.environ[ADDRESS])
            return
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        folder = tempfile.mkdtemp(prefix="grid-test-fork-")  # nobody else's: who connects has code run
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        address = f"{folder}/s"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(address)
        listener.listen(16)
        passed = [other.fileno(), listener.fileno()]
        for own in nurseries():
            if own._control is None:
                own._start()
            passed.append(os.dup(own._control.fileno()))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forkserver", *map(str, passed)],
            pass_fds=passed,
            cwd=Path(__file__).parents[1],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
        )
        other.close()
        listener.close()
        for each in passed[2:]:
            os.close(each)
        os.environ[ADDRESS] = address

    def ask(self, order: dict[str, Any], *descriptors: int) -> int:
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(order).encode()], descriptors)
            answer = self._socket.recv(64)
        if not answer:
            raise RuntimeError("the process that forks nodes has ended")
        return int(answer)

    def close(self) -> None:
        self._socket.close()
        if self._process is not None:
            self._process.wait()


_starting = threading.Lock()


def _server() -> _Server:
    with _starting:
        return _start_server()


def start_server() -> None:
    """Have one before a process is started that will find it (:data:`ADDRESS`)."""
    _server()


@cache
def _start_server() -> _Server:
    server = _Server()
    atexit.register(server.close)
    return server


def nurseries() -> list[Any]:
    """Those of this process, for plans and for sessions, which do not rest: other nodes ask them later."""
    from syft_ext.confinement import nursery
    from tests.warm_hosts import HOSTS

    nursery._REST_SECONDS = 3600.0
    return [nursery.nursery("syft_ext.plans.sandbox.child_main"), nursery.nursery(HOSTS)]


def main(descriptor: int, listener: int, *controls: int) -> None:
    """Fork what is asked for until the asking process is gone; returns in each child once its node has ended."""
    gc.disable()  # until a node serves, as where the command starts it
    from grid.web.patching import patch

    patch()
    import gevent
    from gevent.monkey import get_original

    from apps import runner  # noqa: F401
    from apps.cli import main as cli
    from apps.domain import app as domain  # noqa: F401
    from apps.network import app as network  # noqa: F401
    from apps.worker import app as worker  # noqa: F401
    from grid.accounts import bootstrap  # noqa: F401
    from grid.config import logs  # noqa: F401
    from grid.web import server  # noqa: F401
    from grid.web.api.fields import Fields
    from syft_ext.installed import entry_points_of
    from syft_ext.messages import operations
    from tests import quick_nodes, warm_hosts

    for operation in operations().values():
        Fields(operation, operation.max_body)  # what each node looks up then is kept
    entry_points_of("")
    quick_nodes.have_cheap_passwords()
    quick_nodes.have_quick_tables()
    quick_nodes.tables()  # here, and not in each child
    gc.freeze()  # else the first collection of each child would copy all pages
    first, door = _socket.socket(fileno=descriptor), _socket.socket(fileno=listener)
    first.setblocking(True)
    channels = {first.fileno(): first}
    poll = get_original("select", "poll")()  # gevent's own waits for its loop
    for each in (first, door):
        poll.register(each, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready == door.fileno():
                accepted, _ = door._accept()  # type: ignore[attr-defined]
                channel = _socket.socket(fileno=accepted)
                channel.setblocking(True)
                channels[accepted] = channel
                poll.register(accepted, select.POLLIN)
                continue
            channel = channels[ready]
            order, descriptors = _order(channel)
            if order is None:
                if channel is first:
                    return
                poll.unregister(ready)
                channels.pop(ready).close()
            elif "ended" in order:
                channel.send(str(posix.waitpid(order["ended"], 0)[1]).encode())
            else:
                child = posix.fork()
                if child == 0:
                    for open_here in (door, *channels.values()):
                        open_here.close()
                    gevent.reinit()
                    _become(order, *descriptors)
                    for own, control in zip(nurseries(), controls, strict=True):
                        own._control = _socket.socket(fileno=control)
                    if warm_hosts.OWN not in os.environ:
                        warm_hosts.have_warm_hosts()
                    cli.main(order["arguments"])
                for number in descriptors:
                    posix.close(number)
                channel.send(str(child).encode())


def _order(channel: _socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """What is asked for, None at the end, and the descriptors that came with it."""
    asked, ancillary, _, _ = channel.recvmsg(_LONGEST, _socket.CMSG_SPACE(8))
    descriptors = [
        int.from_bytes(raw[at : at + 4], sys.byteorder)
        for _, _, raw in ancillary
        for at in range(0, len(raw), 4)
    ]
    return (json.loads(asked) if asked else None), descriptors


def _become(order: dict[str, Any], output: int, errors: int) -> None:
    for descriptor, number in ((output, 1), (errors, 2)):
        os.dup2(descriptor, number)
        posix.close(descriptor)
    if "namespace" in order:
        with open(order["namespace"], "rb") as there:
            if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), _NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
    os.chdir(order["directory"])
    os.environ.clear()
    os.environ.update(order["environment"])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
