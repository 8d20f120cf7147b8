"""Which node a command talks to, and as whom: a logged-in user, or the owner of a node's home."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from apps.cli.home import URL_FILE

if TYPE_CHECKING:
    from syft_ext.client.node_client import NodeClient
    from syft_ext.transport import Connection

__all__ = ["open_client", "open_own_node", "url_option"]

F = TypeVar("F", bound=Callable[..., Any])


def url_option(command: F) -> F:
    """The option ``--url``."""
    return click.option(
        "--url", default="", help="The node. [default: $GRID_URL, or the one node that you are logged in to]"
    )(command)


def open_client(url: str, *kinds: str) -> NodeClient:
    """A client of the node at ``url``, with the session that ``grid login`` kept.

    Without ``url``: ``$GRID_URL``, or the one session with a node of ``kinds``.
    Raises :class:`click.UsageError` when that names no node, or more than one.
    """
    from syft_ext.nodes.kinds import client_class
    from syft_ext.nodes.login import open_session
    from syft_ext.profile import credentials
    from syft_ext.transport.address import NodeAddress

    address = NodeAddress.parse(url or os.environ.get("GRID_URL", "") or _only_session(kinds))
    connection, metadata = open_session(address)
    if kinds and metadata.kind not in kinds:
        connection.close()
        raise click.UsageError(f"{address} is a {metadata.kind}; this needs a {' or '.join(kinds)}")
    return client_class(metadata.kind)(connection, metadata, credentials.load(str(address)))


def _only_session(kinds: tuple[str, ...]) -> str:
    from syft_ext.profile.credentials import list_sessions

    found = [each for each in list_sessions() if not each.expired and (not kinds or each.node_kind in kinds)]
    if len(found) == 1:
        return found[0].address
    what = " or ".join(kinds) or "node"
    if not found:
        raise click.UsageError(f"you are logged in to no {what}: run `grid login URL`, or give --url")
    listed = ", ".join(each.address for each in found)
    raise click.UsageError(f"you are logged in to more than one {what} ({listed}): give --url")


def open_own_node(home: Path) -> Connection:
    """A connection to the node without accounts that runs in ``home``, as its owner: signed with its own key."""
    from syft_ext.errors import NotFound
    from syft_ext.identity import Identity
    from syft_ext.transport import Connection, open_transport

    try:
        url = (home / URL_FILE).read_text().strip()
    except OSError:
        raise NotFound(f"no node has run in {home}") from None
    if not (home / "node.key").exists():
        raise NotFound(f"{home} is no home of a node")
    identity = Identity.load_or_create(home / "node.key")
    return Connection(open_transport(url), identity, node_key=identity.verify_key)
