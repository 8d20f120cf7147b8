"""The keys of the nodes that this user has met, one per address: trust on first use, as with SSH hosts."""

from __future__ import annotations

import msgspec

from syft_ext.errors import BadSignature, GridError
from syft_ext.messages import NodeMetadata
from syft_ext.profile.home import locked, read_json, user_home, write_private
from syft_ext.transport import Connection
from syft_ext.transport.address import NodeAddress

__all__ = ["KnownNode", "forget_node", "known_nodes", "meet"]


class KnownNode(msgspec.Struct, frozen=True):
    """A node as it was met first. ``first_seen`` is the node's clock, seconds since the epoch."""

    verify_key: str
    node_id: str
    name: str
    first_seen: float


_FILE = "known_nodes.json"


def known_nodes() -> dict[str, KnownNode]:
    """Address → node. Of two spellings of one address, which earlier versions kept apart, the first counts."""
    kept = read_json(user_home() / _FILE, dict[str, KnownNode], {})
    nodes: dict[str, KnownNode] = {}
    for address, node in kept.items():  # as they were met: when that was, the nodes say
        nodes.setdefault(_normal(address), node)
    return nodes


def _normal(address: str) -> str:
    try:
        return str(NodeAddress.parse(address))
    except GridError:  # of a transport that is not installed now
        return address


def forget_node(address: str) -> bool:
    """Unpin the key of ``address``: the next connection trusts what it finds there. False if none was."""
    path = user_home() / _FILE
    with locked(path):
        nodes = known_nodes()
        if nodes.pop(_normal(address), None) is None:
            return False
        write_private(path, msgspec.json.format(msgspec.json.encode(nodes)))
    return True


def meet(connection: Connection, address: str) -> NodeMetadata:
    """Ask the node who it is, hold it to the key pinned for ``address``, or pin the one that it shows.

    Raises :class:`~syft_ext.errors.BadSignature` when the key at this address is not the pinned one.
    """
    pinned = known_nodes().get(address)
    if pinned is not None:
        connection.node_key = ""
    metadata = connection.metadata()
    if pinned is None:
        _pin(address, metadata)
    elif metadata.verify_key != pinned.verify_key:
        connection.node_key = pinned.verify_key
        raise BadSignature(
            f"the node at {address} has another key than when you met it: it was node "
            f"{pinned.node_id[:12]} ({pinned.name!r}) and is node {metadata.node_id[:12]} "
            f"({metadata.name!r}). Somebody may stand between you and your node. If its operator confirms "
            f"that it was installed anew, forget the old key with sy.forget_node({address!r}) and try again",
            address=address,
        )
    return metadata


def _pin(address: str, metadata: NodeMetadata) -> None:
    path = user_home() / _FILE
    with locked(path):
        nodes = known_nodes()
        nodes.setdefault(
            address,
            KnownNode(metadata.verify_key, metadata.node_id, metadata.name, metadata.time),
        )
        write_private(path, msgspec.json.format(msgspec.json.encode(nodes)))
