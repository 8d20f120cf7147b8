"""The node's side of the connection to a host process."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec

from grid.compute import protocol as p
from syft_ext.errors import GridError, Problem, SessionLost, from_problem

__all__ = ["HostChannel"]

R = TypeVar("R")
Pieces: TypeAlias = Iterable[bytes | bytearray | memoryview]
_START_SECONDS = 120.0
#: What a request may take beside what it was given for kernels: bytes on their way, a busy machine.
_SLACK = 30.0


class HostChannel:
    """A connection to one host; requests of several threads take turns. It holds one session or several.

    When it breaks, or the host does not answer in time, it is over: every call raises :class:`SessionLost`.

    Args:
        channel: a connected unix stream socket.
        lost: called once when it is over, with what is known of the host (kill it, forget it).
    """

    def __init__(self, channel: socket.socket, lost: Callable[[], None] = lambda: None) -> None:
        self._channel, self._lost = channel, lost
        self._lock = threading.Lock()
        self._over = False
        self.protections: tuple[str, ...] = ()
        self.missing: dict[str, str] = {}
        self.memory = 0

    @classmethod
    def connect(cls, path: Path, lost: Callable[[], None] = lambda: None) -> HostChannel:
        """To the host that listens at ``path``; raises :class:`SessionLost` when there is none."""
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            channel.connect(str(path))
        except OSError as error:
            channel.close()
            raise SessionLost("the process of this environment is gone") from error
        host_channel = cls(channel, lost)
        host_channel.greeted()
        return host_channel

    @property
    def over(self) -> bool:
        """Whether the connection is lost: nothing is answered over it any more."""
        return self._over

    def greeted(self) -> None:
        """Wait until the host is warm. Raises :class:`Unconfined` where it cannot be confined."""
        with self._lock:
            reply, _ = self._guarded(lambda: self._receive(_START_SECONDS))
        if isinstance(reply, p.Failed):
            self.close()
            raise from_problem(Problem(code=reply.code, detail=reply.detail, status=503))
        if not isinstance(reply, p.Ready):
            self.close()
            raise SessionLost("the compute process did not start")
        self.protections, self.missing, self.memory = tuple(reply.protections), reply.missing, reply.memory

    def call(self, request: p.Request, kind: type[R], *, seconds: float = 0.0) -> R:
        """Send a request and return its reply; raises what the host answered instead."""
        return self.ask(request, kind, seconds=seconds)[0]

    def ask(self, request: p.Request, kind: type[R], *, seconds: float = 0.0) -> tuple[R, bytearray]:
        """As :meth:`call`, with the bytes that follow the reply."""
        with self._lock:
            reply, bulk = self._guarded(lambda: self._converse(request, seconds))
        if isinstance(reply, p.Failed):
            raise from_problem(Problem(code=reply.code, detail=reply.detail, status=400))
        if not isinstance(reply, kind):
            self.close()
            raise SessionLost("the compute process gave an impossible answer")
        return reply, bulk

    def stage(self, session_id: str, area: p.Area, size: int, pieces: Pieces = ()) -> None:
        """Bring ``size`` bytes; raises :class:`TooLarge` when the session has no room for them."""
        self.call(p.Stage(session_id, area, size), p.Done)
        message = p.Piece(session_id, area)
        for piece in pieces:
            with self._lock:
                self._guarded(partial(self._send, message, _SLACK, [memoryview(piece)]))

    def _converse(self, request: p.Request, seconds: float) -> tuple[p.Reply, bytearray]:
        self._send(request, seconds + _SLACK, [])
        return self._receive(seconds + _SLACK)

    def _send(self, request: p.Request, seconds: float, bulk: list[memoryview]) -> None:
        self._channel.settimeout(seconds)
        p.send(self._channel, request, bulk)

    def _receive(self, seconds: float) -> tuple[p.Reply, bytearray]:
        self._channel.settimeout(seconds)
        header = p.read_header(self._channel)
        if header is None:
            raise OSError("the host is gone")
        body, bulk = bytearray(header.body), bytearray(header.bulk)
        if not (p.exactly(self._channel, memoryview(body)) and p.exactly(self._channel, memoryview(bulk))):
            raise OSError("the host is gone")
        return p.REPLIES.decode(body), bulk

    def _guarded(self, what: Callable[[], R]) -> R:
        """A conversation that was cut anywhere cannot be continued."""
        if self._over:
            raise SessionLost("the compute process is gone, and the values with it")
        try:
            return what()
        except TimeoutError as error:
            self.close()
            raise SessionLost(
                "the operations took longer than this node allows; the session was ended"
            ) from error
        except (OSError, GridError, msgspec.MsgspecError) as error:
            self.close()
            raise SessionLost("the compute process ended: a fault in a kernel, or too much memory") from error
        except BaseException:  # this greenlet was killed in the middle of it
            self.close()
            raise

    def close(self) -> None:
        """End the connection (the host ends too, unless it listens). Idempotent."""
        if self._over:
            return
        self._over = True
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._channel.close()
        self._lost()
