"""The confined child that holds the library: ``socket_fd directory memory_bytes permissive``.

It has no network, no files and no way to start anything; keys of its parent are in it as long as it lives.
"""

from __future__ import annotations

import os
import socket

# Nothing may start a thread before this process is confined, and numpy would, as it is imported.
os.environ["OMP_NUM_THREADS"] = "1"

from syft_ext.confinement.lockdown import enter
from syft_ext.encrypted import channel as c
from syft_ext.errors import GridError

__all__ = ["main"]

_RANDOM = "/dev/urandom"
"""Where the library draws keys and errors of encryption."""


def main(arguments: list[str]) -> None:
    """Serve until the parent closes its end of the socket."""
    descriptor, directory, memory, permissive = arguments
    os.chdir(directory)
    channel = socket.socket(fileno=int(descriptor))
    channel.setblocking(True)  # a parent under gevent made it non-blocking
    try:
        import numpy as np

        from syft_ext.encrypted.kernel import library

        assert np.zeros(1).size
        library()
        found = enter(int(memory), permissive=permissive == "permissive", places={_RANDOM: _RANDOM})
    except GridError as error:
        c.send(channel, c.LibraryFailed(error.code, error.detail))
        return
    c.send(channel, c.LibraryReady(list(found.in_force), found.missing))
    _serve(channel)


def _serve(channel: socket.socket) -> None:
    from syft_ext.encrypted.holding import Holding

    holding, failed = Holding(), None
    while (request := c.receive_request(channel)) is not None:
        message, bulk = request
        silent = isinstance(message, c.Summand | c.Shift)
        if isinstance(message, c.Summand) and message.first:
            failed = None
        try:
            if failed is None or not isinstance(message, c.Summand | c.Shift | c.TakeSum):
                parts = holding.do(message, bulk)
                if not silent:
                    c.send(channel, c.LibraryDone([len(each) for each in parts]), *parts)
                continue
        except GridError as error:
            failure = c.LibraryFailed(error.code, error.detail)
        except MemoryError:
            failure = c.LibraryFailed(
                "too-large", "this needs more memory than the process of the library has"
            )
        except Exception as error:  # whatever the library raises on a stranger's bytes stays a message
            failure = c.LibraryFailed(
                "bad-request", f"the library failed: {type(error).__name__}: {str(error)[:120]}"
            )
        else:
            assert failed is not None
            failure = failed
        if silent:
            failed = failure  # told with the sum
            continue
        failed = None
        c.send(channel, failure)
