"""Which class is the client of which kind of node: the module of each registers it here.

``syft_ext.nodes`` imports those modules, and is itself imported before this one can be: whoever asks for a kind
finds the clients of all kinds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from syft_ext.client.node_client import NodeClient

__all__ = ["client_class", "client_of"]

NodeClientClass = TypeVar("NodeClientClass", bound=type[NodeClient])

_classes: dict[str, type[NodeClient]] = {}


def client_of(kind: str) -> Callable[[NodeClientClass], NodeClientClass]:
    """Say that the decorated class is the client of this kind of node.

    Raises ValueError where the kind has its client already.
    """

    def register(client: NodeClientClass) -> NodeClientClass:
        if kind in _classes:
            raise ValueError(f"{_classes[kind].__name__} is the client of a {kind} already")
        _classes[kind] = client
        return client

    return register


def client_class(kind: str) -> type[NodeClient]:
    """The class of clients of this kind of node; of a kind without its own, what any node offers."""
    return _classes.get(kind, NodeClient)
