"""What an IP address leads to, as far as its registry says.

An address can carry another one (mapped, translated or tunnelled IPv4): it then leads to the worse of the two.
Sources: the IANA special-purpose registries of IPv4 and IPv6 (RFC 6890), RFC 6598 (shared space), RFC 6052 and
RFC 8215 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 5214 (ISATAP).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Literal

__all__ = ["IPAddress", "Reach", "embedded_in", "reach_of"]

IPAddress = IPv4Address | IPv6Address
Reach = Literal[
    "public",
    "private",
    "shared",
    "loopback",
    "link-local",
    "reserved",
    "multicast",
    "unspecified",
    "metadata",
]

#: Services of clouds that hand out a machine's credentials to whoever asks from it.
_METADATA = frozenset(
    {
        IPv4Address("169.254.169.254"),  # AWS, Azure, Google, OpenStack and others
        IPv4Address("169.254.170.2"),  # credentials of AWS containers
        IPv4Address("169.254.170.23"),  # … of AWS pods
        IPv4Address("100.100.100.200"),  # Alibaba
        IPv4Address("192.0.0.192"),  # Oracle
        IPv4Address("168.63.129.16"),  # Azure; it looks public
        IPv6Address("fd00:ec2::254"),  # AWS
        IPv6Address("fd00:ec2::23"),  # … of AWS pods
        IPv6Address("fd20:ce::254"),  # Google
        IPv6Address("fe80::a9fe:a9fe"),  # OpenStack
    }
)
_SHARED = IPv4Network("100.64.0.0/10")
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")
_SITE_LOCAL = IPv6Network("fec0::/10")
#: What registries call globally reachable, or do not list, and is no place to call at all.
_RESERVED: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
    )
)
#: From what hurts least to what hurts most.
_ORDER: tuple[Reach, ...] = (
    "public",
    "shared",
    "private",
    "reserved",
    "link-local",
    "loopback",
    "multicast",
    "unspecified",
    "metadata",
)


def embedded_in(address: IPAddress) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address carries, None when it carries none."""
    if isinstance(address, IPv4Address):
        return None
    value = int(address)
    last = IPv4Address(value & 0xFFFF_FFFF)
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if any(address in network for network in _NAT64):
        return last
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if (value >> 32) & 0xFDFF_FFFF == 0x5EFE:  # ISATAP, its global bit whichever
        return last
    if address in _COMPATIBLE and value > 1:
        return last
    return None


def reach_of(address: IPAddress) -> Reach:
    """What ``address`` leads to; of an address that carries another, the worse of the two."""
    inner = embedded_in(address)
    if inner is None:
        return _reach(address)
    # A mapped address *is* the other one to the system's calls; the others travel, to both.
    outer: Reach = "public" if isinstance(address, IPv6Address) and address.ipv4_mapped else _reach(address)
    return max(outer, _reach(inner), key=_ORDER.index)


def _reach(address: IPAddress) -> Reach:
    if address in _METADATA:
        return "metadata"
    if address.is_unspecified or (address.version == 4 and address in _THIS_NETWORK):
        return "unspecified"
    if address.is_loopback:
        return "loopback"
    if address.is_multicast:
        return "multicast"
    if address.is_link_local:
        return "link-local"
    if address.version == 4 and address in _SHARED:
        return "shared"
    if any(address.version == network.version and address in network for network in _RESERVED):
        return "reserved"
    if address.version == 6 and address in _SITE_LOCAL:
        return "private"
    if address.version == 6 and any(address in network for network in _NAT64):
        return "public"  # what it carries decides
    if address.version == 6 and address.sixtofour is not None:
        return "public"
    return "private" if not address.is_global else "public"
