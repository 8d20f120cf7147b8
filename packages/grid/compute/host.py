"""The host process: values live and kernels run here, and it can do nothing else.

    python -m grid.compute.host --nursery FD --memory BYTES --threads N
    python -m grid.compute.host --listen PATH --lease SECONDS --memory BYTES --threads N [--cpu-seconds N]

A node's own: a *nursery* imports torch, which takes seconds, and forks a host for each session, which takes
milliseconds; no user's byte ever comes to the nursery. It takes one end of a socket pair for the new host, and
answers with a descriptor by which the node can end it. All of them end with the node.

With ``--listen`` it holds the sessions of one compute environment: it outlives the node, takes it back at ``PATH``
(whose folder is its owner's only; the peer must be the same user) and ends by itself when no node came for
``--lease`` seconds.

Without network and files, under rlimits, Landlock and seccomp (:mod:`syft_ext.plans.sandbox.lockdown`).
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

# Only modules that start no thread may be imported before the network is dropped.
from syft_ext.importing import importing
from syft_ext.plans.sandbox.lockdown import cpu_limit, drop_network, enter

if TYPE_CHECKING:
    from grid.compute.host_server import HostServer

__all__ = ["main"]

#: Address space for what kernels need beside the values that they make.
_SPARE = 1 << 30


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
    return parser.parse_args(arguments)


def _main(arguments: list[str]) -> None:
    options = _parse(arguments)
    os.chdir(options.directory)
    listener = _listen(options.listen) if options.listen else None
    protections = drop_network()

    with importing():
        import torch

        from grid.compute.host_server import HostServer, warm_up

    with contextlib.suppress(OSError):  # where memory runs out, a session goes before the node does
        Path("/proc/self/oom_score_adj").write_text("1000")
    logging.disable(logging.CRITICAL)  # torch writes a page for every operation that does not fit
    torch.set_num_threads(1)  # a process that is forked must have no other threads
    with importing():
        warm_up()
    channel = _fork_hosts(options.nursery) if listener is None else None
    if listener is None and channel is None:
        return
    torch.set_num_threads(options.threads)
    server = HostServer(options.memory, limit=lambda seconds: cpu_limit(seconds * options.threads))
    if options.cpu_seconds:
        resource.setrlimit(resource.RLIMIT_CPU, (options.cpu_seconds, options.cpu_seconds))
    server.protections = protections + enter(2 * options.memory + _SPARE, accept=listener is not None)
    if listener is not None:
        _serve_all(server, listener, options.lease)
    elif channel is not None:
        server.greet(channel)
        while server.serve(channel):
            pass


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
