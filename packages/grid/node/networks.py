"""Callers by their network addresses: what counts as one of them."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network

__all__ = ["is_this_machine", "network_of", "teller_of", "told_by"]

_VIA = " via "
_TELLER = 16
"""Characters of a node id that stand for the node: all in all a column of 64."""


@lru_cache(maxsize=65_536)
def network_of(address: str) -> str:
    """What stands for one caller: an IPv4 address; of IPv6 the /64, which is what one subscriber gets (RFC 6177).

    IPv4 inside IPv6 is IPv4. What is no address (in-process calls have none) stands for itself.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if parsed.version == 4 or parsed.is_loopback:
        return str(parsed)
    return str(ip_network((parsed, 64), strict=False))


def is_this_machine(network: str) -> bool:
    """Whether calls of ``network`` are this machine's own: by its usual name, or in-process.

    They are somebody else's where a proxy on this machine is not named in ``trusted_proxies``.
    """
    return network in ("", "127.0.0.1", "::1")


def told_by(node_id: str, network: str = "") -> str:
    """What stands for a caller of whom another node says that they come from ``network``.

    That is its word, and no more: such a caller is never one whom this node sees there itself, nor one of whom
    another node says the same.
    """
    return f"{network_of(network)}{_VIA}{node_id[:_TELLER]}"[-64:]


def teller_of(remote: str) -> str:
    """Whose word ``remote`` is (how their node id begins); "" where this node saw it itself."""
    return remote.rpartition(_VIA)[2] if _VIA in remote else ""
