"""The process around the measured program."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial

from grid.confidential_worker.evidence import SOURCES, source_of
from grid.confidential_worker.hardening import harden, keep_off_disk, silence
from grid.confidential_worker.operator import Operator
from grid.confidential_worker.program import serve
from syft_ext.confidential.frames import Descriptors, worker_pipe
from syft_ext.errors import Unavailable

__all__ = ["main"]

_Way = Callable[[], tuple[int, int]]
_FAMILIES = {"tcp": socket.AF_INET, "vsock": socket.AF_VSOCK}

USAGE = f"""usage: python -I -m apps.confidential_worker PIPE [--evidence {"|".join(SOURCES)}]

PIPE is --fd N, --stdio, or --listen tcp:PORT or vsock:PORT, where the first to connect is the operator.
Does one job of a confidential round for the operator at the other end of the pipe, and exits: 0 with an output,
1 without one (the pipe says why), 2 for these arguments.
"""


def main(arguments: Sequence[str]) -> None:
    """Run, and exit. Nothing is printed, but for wrong arguments: what goes wrong has a code on the pipe.

    Args:
        arguments: without the program's name.
    """
    try:
        way, evidence = _parsed(arguments)
    except ValueError:
        sys.stderr.write(USAGE)
        sys.exit(2)
    # From here on nothing reaches a terminal or a log, whatever raises or warns.
    status = 1
    try:
        pipe = worker_pipe(Descriptors(*way()))
        silence()
        operator = Operator(pipe)
        source = source_of(evidence, operator)
        if harden() and (keep_off_disk() or not source.protects):
            status = 0 if serve(operator, source) else 1
        else:
            operator.gave_up("unprotected")
    except Unavailable:
        pass
    finally:
        # Without finalisers, so that no library has a last word.
        os._exit(status)


def _parsed(arguments: Sequence[str]) -> tuple[_Way, str]:
    """What opens the pipe, and whose evidence. Raises ``ValueError``."""
    way: _Way | None = None
    evidence = "simulator"
    left = list(arguments)
    while left:
        option = left.pop(0)
        if option == "--stdio" and way is None:
            way = partial(_own, 0, 1)
        elif option == "--fd" and left and way is None:
            number = int(left.pop(0))
            if number < 0:
                raise ValueError(option)
            way = partial(_own, number, number)
        elif option == "--listen" and left and way is None:
            family, _, port = left.pop(0).partition(":")
            way = partial(_accepted, _FAMILIES[family], int(port)) if family in _FAMILIES else None
        elif option == "--evidence" and left and left[0] in SOURCES:
            evidence = left.pop(0)
        else:
            raise ValueError(option)
    if way is None:
        raise ValueError("no pipe")
    return way, evidence


def _own(read: int, write: int) -> tuple[int, int]:
    return os.dup(read), os.dup(write)


def _accepted(family: socket.AddressFamily, port: int) -> tuple[int, int]:
    """The first to connect: whoever that is can do no more than an operator, and nothing of theirs is believed."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        if family == socket.AF_INET:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("", port))
        else:
            listener.bind((socket.VMADDR_CID_ANY, port))
        listener.listen(1)
        descriptor = listener.accept()[0].detach()
    return descriptor, descriptor
