"""Whose request it is when reverse proxies stand in front of the node.

A proxy adds the address it was called from at the right end of ``X-Forwarded-For``; what stands left of the
last entry that a trusted proxy wrote is whatever the client liked to claim. So the field is read from the
right, as far as the addresses are trusted proxies'. Nobody is trusted unless the operator says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from grid.web.http.request_record import record_of
from syft_ext.errors import InvalidConfig

__all__ = ["TrustedProxies", "client_address", "parse_networks"]

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and CIDR blocks (``10.0.0.0/8``, ``::1``). Raises :class:`InvalidConfig`."""
    try:
        return tuple(ip_network(text.strip()) for text in texts)
    except ValueError as error:
        raise InvalidConfig(f"trusted_proxies: {error}", key="trusted_proxies") from error


def client_address(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """The nearest address that is no trusted proxy's.

    Args:
        peer: the address at the other end of the connection.
        forwarded: the ``X-Forwarded-For`` fields, joined by commas.
    """
    current = _parse(peer)
    if current is None:
        return peer
    for entry in reversed(forwarded.split(",")) if forwarded else ():
        if not any(current in network for network in trusted):
            break
        named = _parse(entry)
        if named is None:  # a proxy of ours writes no such thing: stay with the proxy itself
            break
        current = named
    return str(current)


def _parse(text: str) -> Address | None:
    """An address, also with a port (``192.0.2.7:4711``, ``[2001:db8::1]:4711``); IPv4 inside IPv6 is IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class TrustedProxies:
    """Those of one node: what asks for the record's ``remote`` gets the client's address."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks

    def trusts(self, address: str) -> bool:
        """Whether the address at the other end of a connection is one of them."""
        peer = _parse(address)
        return peer is not None and any(peer in network for network in self._networks)

    def locate(self, environ: dict[str, Any]) -> None:
        """Let the record of this request know the client's address, and whether they spoke TLS to the proxy."""
        record = record_of(environ)
        if environ.get("HTTP_X_FORWARDED_PROTO", "").strip().lower() == "https":
            record.secure = record.secure or self.trusts(environ.get("REMOTE_ADDR", ""))
        forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
        peer = environ.get("REMOTE_ADDR", "")
        record.remote = client_address(peer, forwarded, self._networks)
