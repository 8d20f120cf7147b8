"""Operations that every node offers: who it is."""

from __future__ import annotations

from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import ANYONE

__all__ = ["GetMetadata", "NodeMetadata"]


class NodeMetadata(Reply):
    """What a node says of itself to anybody. ``time`` is its clock, seconds since the epoch."""

    node_id: str
    name: str
    kind: str
    verify_key: str
    version: str
    configured: bool
    operations: list[str]
    time: float


@operation("node.metadata", rest="GET /metadata", reply=NodeMetadata, permission=ANYONE)
class GetMetadata(Message):
    """Who this node is: its id, name, kind, key and the operations it offers."""
