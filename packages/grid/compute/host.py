"""The host process: values live and kernels run here, and it can do nothing else.

    python -m grid.compute.host --nursery FD --memory BYTES --threads N [--permissive]
    python -m grid.compute.host --listen PATH --lease SECONDS --memory BYTES --threads N [--cpu-seconds N]

A node's own: a *nursery* imports torch, which takes seconds, and forks a host for each session, which takes
milliseconds; no user's byte ever comes to the nursery. It takes one end of a socket pair for the new host, and
answers with a descriptor by which the node can end it. All of them end with the node.

With ``--listen`` it holds the sessions of one compute environment: it outlives the node, takes it back at ``PATH``
(whose folder is its owner's only; the peer must be the same user) and ends by itself when no node came for
``--lease`` seconds.

Each confines itself before it takes a request (:mod:`syft_ext.confinement`); one that cannot says so and ends.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

# Nothing may start a thread before this process is confined, and numpy would, as it is imported.
os.environ["OMP_NUM_THREADS"] = "1"

from syft_ext.confinement.lockdown import enter
from syft_ext.confinement.rlimits import cpu_limit
from syft_ext.errors import Unconfined
from syft_ext.importing import importing

if TYPE_CHECKING:
    from grid.compute.host_server import HostServer

__all__ = ["main", "prepare"]

#: Address space for what kernels need beside the values that they make.
_SPARE = 1 << 30
_REFUSAL_SECONDS = 30.0
_RANDOM = "/dev/urandom"
"""The library of encrypted values draws keys for each context that it makes, if only to throw them away."""
#: Address space for the stack and the heap of one more thread of torch.
_THREAD = 96 << 20


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="grid.compute.host")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--nursery", type=int, help="descriptor of a socket on which hosts are asked for")
    place.add_argument("--listen", help="path of the unix socket to listen on")
    parser.add_argument("--lease", type=float, default=3600.0, help="seconds to live without a node")
    parser.add_argument("--memory", type=int, required=True, help="bytes that all values may take")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu-seconds", type=int, default=0, help="CPU time in all; 0: unlimited")
    parser.add_argument("--directory", default="/", help="working directory")
    parser.add_argument("--permissive", action="store_true", help="go on without what this machine lacks")
    return parser.parse_args(arguments)


def prepare() -> None:
    """Import and warm up, which takes seconds: before a process confines itself, or forks others."""
    with importing():
        import torch

        from grid.compute.host_server import warm_up

    logging.disable(logging.CRITICAL)  # torch writes a page for every operation that does not fit
    torch.set_num_threads(1)  # a process that is forked must have no other threads
    with importing():
        warm_up()


def _main(arguments: list[str]) -> None:
    options = _parse(arguments)
    os.chdir(options.directory)
    listener = _listen(options.listen) if options.listen else None
    prepare()
    import torch

    from grid.compute.host_server import HostServer

    with contextlib.suppress(OSError):  # where memory runs out, a session goes before the node does
        Path("/proc/self/oom_score_adj").write_text("1000")
    channel = _fork_hosts(options.nursery) if listener is None else None
    if listener is None and channel is None:
        return
    server = HostServer(options.memory, limit=lambda seconds: cpu_limit(seconds * options.threads))
    if options.cpu_seconds:
        resource.setrlimit(resource.RLIMIT_CPU, (options.cpu_seconds, options.cpu_seconds))
    memory = 2 * options.memory + _SPARE + (options.threads - 1) * _THREAD
    try:
        needs = ["listen"] if listener is not None else []
        server.confinement = enter(
            memory, permissive=options.permissive, needs=needs, places={_RANDOM: _RANDOM}
        )
    except Unconfined as error:
        _refuse(server, error, listener, channel)
        return
    torch.set_num_threads(options.threads)
    if listener is not None:
        _serve_all(server, listener, options.lease)
    elif channel is not None:
        server.greet(channel)
        while server.serve(channel):
            pass


def _refuse(
    server: HostServer, error: Unconfined, listener: socket.socket | None, channel: socket.socket | None
) -> None:
    """Tell the node, if it comes soon, why this process ends without having done anything."""
    logging.disable(logging.NOTSET)
    logging.error("this environment refuses to work: %s", error.detail)
    with contextlib.suppress(OSError):
        if channel is None and listener is not None:
            listener.settimeout(_REFUSAL_SECONDS)
            channel, _ = listener.accept()
        if channel is not None:
            server.refuse(channel, error)


def _fork_hosts(descriptor: int) -> socket.socket | None:
    """In the nursery: None, once the node is gone. In a host: the socket on which its node speaks."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for hosts
    control = socket.socket(fileno=descriptor)
    control.setblocking(True)  # a node under gevent made it non-blocking
    control.sendall(b"R")
    while True:
        asked, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not asked:
            return None
        gate, start = os.pipe()
        child = os.fork()
        if child == 0:
            control.close()
            os.close(start)
            os.read(gate, 1)  # until the nursery holds it by a descriptor
            os.close(gate)
            channel = socket.socket(fileno=descriptors[0])
            channel.setblocking(True)
            return channel
        handle = os.pidfd_open(child)
        socket.send_fds(control, [b"H"], [handle])
        for each in (handle, gate, start, *descriptors):
            os.close(each)


def _listen(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
    before = os.umask(0o177)
    try:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(8)
    return listener


def _serve_all(server: HostServer, listener: socket.socket, lease: float) -> None:
    channels: list[socket.socket] = []
    deadline = time.monotonic() + lease
    while channels or time.monotonic() < deadline:
        wait = None if channels else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([listener, *channels], [], [], wait)
        for each in ready:
            if each is listener:
                channel, _ = listener.accept()
                if _same_user(channel) and _greeted(server, channel):
                    channels.append(channel)
                else:
                    channel.close()
            elif not server.serve(each):
                channels.remove(each)
                each.close()
                deadline = time.monotonic() + lease


def _greeted(server: HostServer, channel: socket.socket) -> bool:
    """False when the node is gone already: it died, and the values here must not die with it."""
    try:
        server.greet(channel)
    except OSError:
        return False
    return True


def _same_user(channel: socket.socket) -> bool:
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(user == os.getuid())


def main(arguments: list[str]) -> None:
    """Serve until the node closes its end, or the lease ends."""
    try:
        _main(arguments)
    finally:
        os._exit(0 if sys.exc_info()[0] is None else 1)  # torch takes a second to be torn down


if __name__ == "__main__":
    main(sys.argv[1:])
