"""What an address leads to, whatever it is dressed as."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.config import DomainSettings, WorkerSettings
from grid.outgoing.addresses import embedded_in, reach_of
from grid.outgoing.policy import AllowedAddress, OutgoingPolicy
from syft_ext.errors import InvalidConfig


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("8.8.8.8", "public"),
        ("2606:4700::1111", "public"),
        ("10.0.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("fc00::1", "private"),
        ("fd12:3456::1", "private"),
        ("fec0::1", "private"),
        ("100.64.0.1", "shared"),
        ("100.127.255.255", "shared"),
        ("127.0.0.1", "loopback"),
        ("127.255.0.9", "loopback"),
        ("::1", "loopback"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("169.254.169.254", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("ff0e::1", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("255.255.255.255", "reserved"),
        ("240.0.0.1", "reserved"),
        ("198.18.0.1", "reserved"),
        ("192.0.2.7", "reserved"),
        ("2001:db8::1", "reserved"),
    ],
)
def test_what_registries_say(address: str, reach: str) -> None:
    assert reach_of(ip_address(address)) == reach


def dressed(inner: IPv4Address) -> list[IPv6Address]:
    """The same IPv4 address in every way in which IPv6 carries one."""
    value = int(inner)
    return [
        IPv6Address((0xFFFF << 32) | value),  # mapped
        IPv6Address(int(IPv6Address("64:ff9b::")) | value),  # NAT64
        IPv6Address(int(IPv6Address("64:ff9b:1:aa::")) | value),  # NAT64 of a site
        IPv6Address((0x2002 << 112) | (value << 80) | 1),  # 6to4
        IPv6Address((0x20010000 << 96) | (value ^ 0xFFFF_FFFF)),  # Teredo
        IPv6Address(int(IPv6Address("2606:4700::5efe:0:0")) | value),  # ISATAP
    ]


@given(
    st.sampled_from(
        [
            ip_network(text)
            for text in (
                "127.0.0.0/8",
                "10.0.0.0/8",
                "169.254.0.0/16",
                "192.168.0.0/16",
                "100.64.0.0/10",
                "224.0.0.0/4",
            )
        ]
    ).flatmap(lambda network: st.integers(int(network[0]), int(network[-1])))
)
def test_nothing_gains_by_being_carried_in_another(value: int) -> None:
    inner = IPv4Address(value)
    for address in dressed(inner):
        assert embedded_in(address) == inner
        assert reach_of(address) != "public", address
        assert not OutgoingPolicy().allows("peer.example", 80, address)


@given(st.ip_addresses())
def test_only_the_public_is_called_unless_something_is_listed(address: IPv4Address | IPv6Address) -> None:
    allowed = OutgoingPolicy().allows("peer.example", 5000, address)
    assert allowed == (reach_of(address) == "public")
    assert not OutgoingPolicy(public=False).allows("peer.example", 5000, address)
    if allowed:
        assert address.is_global
        assert not address.is_private


def test_a_list_allows_what_it_names_and_no_more() -> None:
    def policy(*entries: str) -> OutgoingPolicy:
        return OutgoingPolicy([AllowedAddress.parse(entry) for entry in entries], public=False)

    ten = ip_address("10.1.2.3")
    assert policy("10.1.0.0/16").allows("a.example", 80, ten)
    assert policy("10.1.2.3:80").allows("a.example", 80, ten)
    assert policy("http://10.1.2.3:80").allows("a.example", 80, ten)
    assert not policy("10.1.2.3:80").allows("a.example", 81, ten)
    assert policy("10.0.0.0/8").allows("a.example", 80, ip_address("::ffff:10.1.2.3"))
    assert policy("peer.example").allows("peer.example", 80, ten)
    assert not policy("peer.example").allows("xpeer.example", 80, ten)
    assert not policy("peer.example").allows("a.peer.example", 80, ten)
    assert policy("*.example").allows("a.peer.example", 80, ten)
    assert not policy("*.peer.example").allows("peer.example", 80, ten)
    assert not policy("*.peer.example").allows("evilpeer.example", 80, ten)
    assert policy("[fd00::1]:80").allows("x", 80, ip_address("fd00::1"))
    # A name answers for private addresses, not for what no peer is at; the address itself can.
    link = ip_address("169.254.7.7")
    assert not policy("peer.example").allows("peer.example", 80, link)
    assert policy("169.254.7.7").allows("peer.example", 80, link)
    for never in ("169.254.169.254", "fd00:ec2::254", "224.0.0.1", "0.0.0.0", "::ffff:169.254.169.254"):
        listed = policy("0.0.0.0/0", "::/0", "peer.example")
        assert not listed.allows("peer.example", 80, ip_address(never)), never


@pytest.mark.parametrize(
    "text", ["", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "a b", "*", "host:0", "h/p"]
)
def test_an_entry_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfig, match="allow_addresses"):
        AllowedAddress.parse(text)


def test_loopback_is_called_by_a_node_that_is_only_there() -> None:
    home = ip_address("127.0.0.1")

    def allows(**settings: object) -> bool:
        policy = OutgoingPolicy.of(DomainSettings(**settings))  # type: ignore[arg-type]
        return policy.allows("localhost", 5000, home)

    assert allows()
    assert allows(host="::1")
    assert allows(host="localhost", address="http://localhost:5000")
    assert not allows(host="0.0.0.0")
    assert not allows(host="10.0.0.7")
    # Behind a proxy on the same machine it listens on loopback, and strangers reach it all the same.
    assert not allows(address="https://hospital.example")
    assert not allows(trusted_proxies=["127.0.0.1"])
    assert allows(address="https://hospital.example", allow_addresses=["127.0.0.1:5000"])


def test_the_domain_that_a_workers_owner_names_is_allowed() -> None:
    policy = OutgoingPolicy.of(WorkerSettings(host="0.0.0.0", domain="http://10.0.0.5:5001"))
    assert policy.allows("10.0.0.5", 5001, ip_address("10.0.0.5"))
    assert not policy.allows("10.0.0.5", 22, ip_address("10.0.0.5"))
