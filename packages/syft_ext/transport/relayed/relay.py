"""A node through its Network, which carries what is said and cannot read it.

``relay+https://network:443/<verify key of the node>`` (``relay+http`` where the Network has no TLS). The address
says by itself whom one speaks to: the Network leads there or nowhere, since only the holder of the key can open
the pipe that is sealed to it (:mod:`syft_ext.transport.relayed.sealed`). The Network sees who opens how many
connections to whom, when, and how much goes through them.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from syft_ext.errors import BadRequest
from syft_ext.identity import node_id_of
from syft_ext.transport.base import Path
from syft_ext.transport.dialing import Dial
from syft_ext.transport.multiplexed import MultiplexedTransport
from syft_ext.transport.relayed.straight import sealed_pipes

__all__ = ["PATH", "SCHEMES", "RelayTransport", "relay_address"]

PATH = "/relay"
"""At the Network, before the node's id."""
SCHEMES = {"relay+http": "ws", "relay+https": "wss"}
_KEY = re.compile(r"/([0-9a-f]{64})")


class RelayTransport(MultiplexedTransport):
    """Exchanges over one sealed pipe, which is opened at the first of them, and again when it has ended."""

    public = True

    def __init__(self, address: str, *, ca_file: str | None = None, dial: Dial | None = None) -> None:
        parts = urlsplit(address)
        found = _KEY.fullmatch(parts.path)
        if parts.scheme not in SCHEMES or not parts.netloc or not found:
            raise BadRequest(
                "a node behind a Network is at relay+https://network:port/<its verify key, 64 hex digits>"
            )
        base, key = f"{SCHEMES[parts.scheme]}://{parts.netloc}", found[1]
        pipes = sealed_pipes(base, f"{PATH}/{node_id_of(key)}", key, ca_file=ca_file, dial=dial)
        super().__init__(address, pipes)

    @property
    def path(self) -> Path:
        return Path(taken="relay", failed={})


def relay_address(network: str, verify_key: str) -> str:
    """The address of the node of ``verify_key`` behind the Network at ``network`` (``http(s)://host:port``)."""
    parts = urlsplit(network)
    return f"relay+{parts.scheme}://{parts.netloc}/{verify_key}"
