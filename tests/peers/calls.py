"""Signed calls of a node of this process, from a network address of the caller's."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

from grid.node import Node
from syft_ext.identity import Identity
from syft_ext.messages import Message
from syft_ext.messages.envelope import Envelope
from syft_ext.transport import Connection, LocalTransport
from tests.network.nodes import World

__all__ = ["Remote", "ask", "new_session"]


class Remote:
    """The node, as those see it who come from one address."""

    def __init__(self, node: Node, address: str) -> None:
        self.receive: Any = partial(node.receive, remote=address)


def ask(
    world: World, node: Node, message: Message, identity: Identity | None = None, remote: str = "192.0.2.1"
) -> Any:
    """The answer to ``message``. Raises the refusal that the node signed."""
    world.clock.advance(0.001)
    caller = Connection(
        LocalTransport(Remote(node, remote)),
        identity or Identity.generate(),
        node_key=node.identity.verify_key,
        recipient=node.id,
        clock=world.clock,
    )
    return caller.call(message)


def new_session() -> str:
    """A name that no session has."""
    return secrets.token_hex(16)


class Recorded(LocalTransport):
    """Keeps what goes by, as somebody on the way can."""

    def __init__(self, node: Node, address: str = "192.0.2.1") -> None:
        super().__init__(Remote(node, address))
        self.sent: list[Envelope] = []

    def exchange(self, envelope: Envelope, payload: Any = (), *, timeout: float | None = None) -> Any:
        self.sent.append(envelope)
        return super().exchange(envelope, payload, timeout=timeout)
