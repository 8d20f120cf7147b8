"""Whom the node's owner lets it call: what its settings say of names and addresses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from grid.config import NodeSettings, WorkerSettings
from grid.outgoing.addresses import IPAddress, Reach, reach_of
from syft_ext.errors import InvalidConfig

__all__ = ["AllowedAddress", "OutgoingPolicy", "is_disguised", "is_loopback_host"]

#: Nobody's peer is there, whatever a setting says.
_NEVER: frozenset[Reach] = frozenset({"metadata", "multicast", "unspecified"})
#: What a listed *name* may resolve to beside the public; more needs the address itself in the list.
_BEHIND_NAMES: frozenset[Reach] = frozenset({"public", "private", "shared", "loopback"})
_NAME = re.compile(r"(?:\*\.)?(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")


@dataclass(frozen=True, slots=True)
class AllowedAddress:
    """One entry of ``allow_addresses``; exactly one of ``network``, ``name`` and ``place`` is set.

    Attributes:
        network: addresses that may be called.
        name: a host, or ``*.domain`` for everything below a domain.
        place: a whole address of a transport that has no hosts.
        port: the only port; None for all.
    """

    network: IPv4Network | IPv6Network | None = None
    name: str = ""
    place: str = ""
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> AllowedAddress:
        """Read an address, a CIDR block, a name, each with ``:port`` if it counts, or the address of a node.

        Raises :class:`InvalidConfig` for anything else.
        """
        scheme, separator, rest = text.strip().partition("://")
        if separator and scheme not in ("http", "https", "ws", "wss"):
            return cls(place=text.strip())
        plain = (rest if separator else text.strip()).removesuffix("/").lower()
        try:
            return cls(network=ip_network(plain, strict=False))
        except ValueError:
            pass
        host, port = _split(plain, text)
        try:
            return cls(network=ip_network(host, strict=False), port=port)
        except ValueError:
            pass
        if not _NAME.fullmatch(host) or is_disguised(host):
            raise _refused(text)
        return cls(name=host.removesuffix("."), port=port)

    def holds(self, host: str, port: int, address: IPAddress) -> bool:
        """Whether it is about ``address``, which ``host`` resolved to, at ``port``."""
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            mapped = getattr(address, "ipv4_mapped", None)
            return (mapped or address) in self.network
        return self.names(host, port) and reach_of(address) in _BEHIND_NAMES

    def names(self, host: str, port: int) -> bool:
        """Whether it is about the name ``host``, at ``port``."""
        if not self.name or (self.port is not None and self.port != port):
            return False
        return host == self.name or (self.name.startswith("*.") and host.endswith(self.name[1:]))


class OutgoingPolicy:
    """Decides on each address that is about to be connected to.

    Args:
        allowed: what the owner lists.
        loopback: whether this machine's own loopback may be called; asked each time where it may change.
        public: whether addresses that are reached from everywhere may be called without being listed.
        proxy: whether the proxy that the environment names is used.
    """

    def __init__(
        self,
        allowed: Iterable[AllowedAddress] = (),
        *,
        loopback: bool | Callable[[], bool] = False,
        public: bool = True,
        proxy: bool = False,
    ) -> None:
        self._allowed = tuple(allowed)
        self._loopback, self._public = loopback, public
        self.proxy = proxy

    @classmethod
    def of(cls, settings: NodeSettings) -> OutgoingPolicy:
        """What a node's settings say. Raises :class:`InvalidConfig` naming an entry that is none.

        Loopback may be called where the node itself is only there: it listens on loopback, is known by a
        loopback address, and no proxy brings it callers from elsewhere.
        """
        named = [settings.domain] if isinstance(settings, WorkerSettings) and settings.domain else []
        own = urlsplit(settings.address).hostname or "" if settings.address else settings.host
        return cls(
            [AllowedAddress.parse(text) for text in (*settings.allow_addresses, *named)],
            loopback=is_loopback_host(settings.host)
            and is_loopback_host(own)
            and not settings.trusted_proxies,
            public=settings.outgoing == "public",
            proxy=settings.proxy == "environment",
        )

    def allows(self, host: str, port: int, address: IPAddress) -> bool:
        """Whether the node may connect to ``address``, to which ``host`` (lower case) resolved."""
        reach = reach_of(address)
        if reach in _NEVER:
            return False
        if any(entry.holds(host, port, address) for entry in self._allowed):
            return True
        if reach == "loopback":
            return self._loopback() if callable(self._loopback) else self._loopback
        return reach == "public" and self._public

    def lists(self, host: str, port: int) -> bool:
        """Whether the owner lists the name ``host`` (lower case), whatever it resolves to: a proxy resolves it."""
        return any(entry.names(host, port) for entry in self._allowed)

    def allows_place(self, address: str) -> bool:
        """Whether an address without hosts (``unix:///run/peer``) is listed as it stands."""
        return any(entry.place == address for entry in self._allowed if entry.place)


def is_loopback_host(host: str) -> bool:
    """Whether a host, as somebody wrote it, is this machine's loopback."""
    host = host.removesuffix(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return reach_of(ip_address(host)) == "loopback"
    except ValueError:
        return False


def _split(plain: str, text: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(f"//{plain}")
        port = parts.port
    except ValueError:
        raise _refused(text) from None
    if not parts.hostname or parts.path or parts.query or parts.fragment or parts.username or port == 0:
        raise _refused(text)
    return parts.hostname, port


def is_disguised(host: str) -> bool:
    """``2130706433``, ``0x7f.1``, ``0177.0.0.1``: a resolver takes them for addresses, and people for something
    else. What is neither an address in its one form nor a name is not called."""
    last = host.removesuffix(".").rpartition(".")[2].lower()
    if not (last.isdigit() or last.startswith("0x")):
        return False
    try:
        ip_address(host)
    except ValueError:
        return True
    return False


def _refused(text: str) -> InvalidConfig:
    return InvalidConfig(
        f"allow_addresses: {text[:200]!r} is no address, CIDR block, host name (*.domain for all below it) or "
        "node's address",
        key="allow_addresses",
    )
