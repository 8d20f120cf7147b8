"""Key hosts, asked by their address: what the others know of what was spent here, and what anybody may ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syft_ext.messages import Message

__all__ = ["call_peer", "rows_of_peers"]


def rows_of_peers(home: Path, peers: Mapping[str, str], told: Callable[[str], object]) -> dict[str, bytes]:
    """The signed rows of each peer that answers, by its verify key.

    Args:
        home: this host's, whose key asks.
        peers: the URL of each, by verify key; this host itself may be among them, and is not asked.
            A peer that answers with another key is none.
        told: is told of each that does not answer, and why.
    """
    from syft_ext.errors import GridError
    from syft_ext.identity import Identity
    from syft_ext.messages.key_host import GetLedgerRows
    from syft_ext.transport import Connection, open_transport

    identity, rows = Identity.load_or_create(home / "node.key"), {}
    for key, url in peers.items():
        if key == identity.verify_key:
            continue
        try:
            connection = Connection(open_transport(url), identity, node_key=key)
            try:
                rows[key] = connection.call(GetLedgerRows()).statement
            finally:
                connection.close()
        except GridError as error:
            told(f"{url} ({key[:12]}…) does not tell what it knows: {error}")
    return rows


def call_peer(key: str, url: str, message: Message) -> Any:
    """The reply of the node with this verify key at ``url``, to this user. Raises
    :class:`~syft_ext.errors.GridError`."""
    from syft_ext.profile.home import user_identity
    from syft_ext.transport import Connection, open_transport

    connection = Connection(open_transport(url), user_identity(), node_key=key)
    try:
        return connection.call(message)
    finally:
        connection.close()
