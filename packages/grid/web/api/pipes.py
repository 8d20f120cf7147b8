"""WebSockets that carry something else than frames in the open: sealed pipes, and what services take over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from grid.node import Node
from grid.node.networks import network_of
from grid.node.pipes import PipeRoute, nobody
from grid.web.api.plane import BinaryPipe, MessagePlane
from grid.web.limits.memory import MemoryBudget
from grid.web.sockets.connection import WebSocket
from grid.web.sockets.routing import Sockets
from syft_ext.transport.pipe import MessagePipe
from syft_ext.transport.relayed.sealed import MAX_SEALED, SEALED, answer_sealed

__all__ = ["add_pipes"]


class _Watched:
    """A pipe that tells whether it has ended: who waits for an answer over it goes with it."""

    def __init__(self, pipe: MessagePipe) -> None:
        self._pipe, self.ended = pipe, False
        self.max_message, self.send, self.close = pipe.max_message, pipe.send, pipe.close
        for name in ("window", "streams"):
            if hasattr(pipe, name):
                setattr(self, name, getattr(pipe, name))

    def receive(self) -> bytes | None:
        message = self._pipe.receive()
        self.ended = message is None
        return message


def add_pipes(sockets: Sockets, node: Node, plane: MessagePlane, memory: MemoryBudget) -> None:
    """``/sealed``, and the pipes of the node's services; what these bring to be answered, the node answers."""

    def answer(pipe: MessagePipe, *, remote: str, known: Callable[[str], None] = nobody) -> None:
        watched = _Watched(pipe)
        plane.serve(
            watched,
            remote=remote,
            memory=memory.holding(network_of(remote)),
            known=known,
            alive=lambda: not watched.ended,
        )

    node.answer_pipe = answer

    @sockets.route(SEALED, max_message=MAX_SEALED)
    def sealed(ws: WebSocket) -> None:
        pipe = answer_sealed(BinaryPipe(ws, MAX_SEALED), node.identity)
        plane.serve(
            pipe,
            remote=ws.request.record.remote,
            memory=ws.memory,
            known=lambda _: ws.trust(MAX_SEALED),
            alive=lambda: not ws.closed,
        )

    for service in node.services:
        for route in service.pipes():
            sockets.route(route.rule, max_message=route.max_message)(partial(_take, route))


def _take(route: PipeRoute, ws: WebSocket, **values: str) -> None:
    taken: Mapping[str, str] = values
    route.take(BinaryPipe(ws, route.max_message), ws.request.record.remote, taken)
