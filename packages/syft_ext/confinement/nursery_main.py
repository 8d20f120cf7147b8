"""The nursery's own process (:mod:`syft_ext.confinement.nursery`): it imports, then forks what it is asked for.

python -I -c BOOTSTRAP … syft_ext.confinement.nursery_main CONTROL MODULE SECONDS
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from importlib import import_module

import msgspec

from syft_ext.confinement.child import CHILD_SOCKET
from syft_ext.confinement.nursery import HANDLE, LONGEST_ORDER

__all__ = ["main"]

_MOST_DESCRIPTORS = 8
_ABOVE = 64


def main(arguments: list[str]) -> None:
    """Serve until nobody has asked for long, or the other side is gone."""
    try:
        _serve(arguments)
    finally:
        os._exit(0 if sys.exc_info()[0] is None else 1)  # torch takes a second to be torn down


def _serve(arguments: list[str]) -> None:
    control, name, seconds = arguments
    orders = socket.socket(fileno=int(control))
    orders.settimeout(float(seconds))
    os.close(CHILD_SOCKET)  # orders come by the other one, which does not mix them
    module = import_module(name)
    module.prepare()
    gc.freeze()  # else the first collection of each child would copy all pages
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for children
    while (order := _next(orders)) is not None:
        data, descriptors = order
        if not descriptors:
            continue
        arguments = msgspec.json.decode(data, type=list[str])
        if _fork(descriptors[0]):
            orders.close()
            _become(module.main, arguments, descriptors)
        for each in descriptors:
            os.close(each)


def _next(orders: socket.socket) -> tuple[bytes, list[int]] | None:
    """The next order; None when there will be none."""
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(
                orders, LONGEST_ORDER, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except TimeoutError:
            # From here on nobody can ask; who has done so in this moment still gets a child.
            orders.shutdown(socket.SHUT_RD)
            orders.setblocking(True)
            continue
        return (data, descriptors) if data else None


def _fork(channel: int) -> bool:
    """True in the child, once who asked for it can end it."""
    gate, start = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(start)
        os.read(gate, 1)
        os.close(gate)
        return True
    handle = os.pidfd_open(child)
    with socket.socket(fileno=os.dup(channel)) as other:
        other.setblocking(True)
        with contextlib.suppress(OSError):  # nobody wants it any more: it finds its socket closed
            socket.send_fds(other, [HANDLE.pack(child)], [handle])
    for each in (handle, gate, start):
        os.close(each)
    return False


def _become(main: Callable[[list[str]], None], arguments: list[str], descriptors: list[int]) -> None:
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)  # Ctrl-C in somebody's terminal is not for it
        # Above the targets first, so that none is overwritten before it is in its place.
        high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for each in descriptors]
        os.closerange(CHILD_SOCKET, min(high))
        for number, each in enumerate(high):
            os.dup2(each, CHILD_SOCKET + number, inheritable=False)
        os.closerange(CHILD_SOCKET + len(high), max(high) + 1)
        main(arguments)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
