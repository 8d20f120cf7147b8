"""What every child of a plan sandbox does: confine itself, then load, check and run plans, and nothing else. Which
executor runs them, its runner knows."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

# Nothing may start a thread before this process is confined.
from syft_ext.confinement.lockdown import enter

if TYPE_CHECKING:
    from syft_ext.plans.sandbox.channel import Arena, LoadPlan, Price, Priced, Run

__all__ = ["Runner", "Started", "confined", "serve"]

#: Address space for the stack and the heap of one more thread.
_THREAD = 96 << 20
#: mallopt(3): what is smaller comes from the heap (the most that it takes); freed memory that the heap keeps.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_ONE_CHUNK, _KEPT_BYTES = 32 << 20, 128 << 20


class Runner(Protocol):
    """The plans that are loaded, and what runs them. Everything raises :class:`~syft_ext.errors.GridError`."""

    def load(self, message: LoadPlan) -> None:
        """Keep a plan, and prove it if that is asked for."""

    def price(self, message: Price) -> Priced:
        """What one run costs."""

    def run(self, message: Run) -> None:
        """Run a plan that is loaded."""


@dataclass(frozen=True, slots=True)
class Started:
    """A child that is confined: its socket, the shared memory, how many threads it may have."""

    channel: socket.socket
    arena: Arena
    threads: int


def confined(arguments: list[str], failure: str) -> Started | None:
    """Confine this process and say so; None where that, or preparing (``failure``), failed: that is said too."""
    from syft_ext.errors import Unconfined
    from syft_ext.plans.sandbox.channel import Arena, Failed, Ready, send

    socket_fd, arena_fd, directory, memory_bytes, threads, permissive = arguments
    os.chdir(directory)
    channel = socket.socket(fileno=int(socket_fd))
    channel.setblocking(True)  # a parent under gevent made it non-blocking
    if failure:
        send(channel, Failed(failure, {}))
        return None
    try:
        memory = int(memory_bytes) + (int(threads) - 1) * _THREAD
        found = enter(memory, permissive=permissive == "permissive")
    except Unconfined as error:
        send(channel, Failed(error.detail, {}, error.code))
        return None
    except Exception as error:
        send(channel, Failed(f"the sandbox cannot start: {error}", {}))
        return None
    _keep_freed_memory()
    send(channel, Ready(list(found.in_force), found.missing))
    return Started(channel, Arena(int(arena_fd)), int(threads))


def _keep_freed_memory() -> None:
    """The next run needs as much again: what the heap gave back would come back one page fault after the other."""
    from syft_ext.confinement.kernel import libc

    for parameter, value in ((_M_MMAP_THRESHOLD, _ONE_CHUNK), (_M_TRIM_THRESHOLD, _KEPT_BYTES)):
        if libc.mallopt(parameter, value) != 1:
            raise OSError("mallopt failed")


def serve(started: Started, runner: Runner) -> None:
    """Answer until the parent closes its end of the socket."""
    from syft_ext.errors import GridError
    from syft_ext.plans.sandbox.channel import Done, Failed, LoadPlan, Price, Run, receive, send

    channel = started.channel
    while (message := receive(channel)) is not None:
        try:
            if isinstance(message, LoadPlan):
                runner.load(message)
            elif isinstance(message, Run):
                runner.run(message)
            send(channel, runner.price(message) if isinstance(message, Price) else Done())
        except GridError as error:
            plain = {k: v for k, v in error.extra.items() if v is None or isinstance(v, str | int | float)}
            send(channel, Failed(error.detail, plain))
        except MemoryError:
            send(channel, Failed("the plan needs more memory than the sandbox has", {"limit": "memory"}))
        except Exception as error:  # whatever a kernel raises on a stranger's data stays a message
            send(channel, Failed(f"the plan failed: {type(error).__name__}: {str(error)[:200]}", {}))
