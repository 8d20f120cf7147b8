"""Behind a reverse proxy logins are counted by the client's address; nobody else's word is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import Client

from grid.accounts.throttle import Subject
from grid.web.app import create_app
from grid.web.http.proxies import client_address, parse_networks
from grid.web.http.settings import WebSettings
from syft_ext.errors import InvalidConfig
from tests.accounts.people import House

PROXIES = parse_networks(["10.0.0.0/8", "127.0.0.1", "2001:db8:1::/48"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        ("192.0.2.7", "203.0.113.1", "192.0.2.7"),  # a stranger's word
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "203.0.113.1", "203.0.113.1"),
        ("10.1.2.3", "198.51.100.9, 203.0.113.1", "203.0.113.1"),  # what the client claimed stands left
        ("10.1.2.3", "203.0.113.1, 10.9.9.9", "203.0.113.1"),  # two proxies of ours
        ("10.1.2.3", "198.51.100.9, 203.0.113.1,10.9.9.9 ,127.0.0.1", "203.0.113.1"),
        ("127.0.0.1", "203.0.113.1:4711", "203.0.113.1"),
        ("2001:db8:1::5", "[2001:db8:2::9]:4711", "2001:db8:2::9"),
        ("::ffff:10.1.2.3", "::ffff:203.0.113.1", "203.0.113.1"),
        ("10.1.2.3", "unknown", "10.1.2.3"),
        ("10.1.2.3", "203.0.113.1, <script>, 10.9.9.9", "10.9.9.9"),
        ("10.1.2.3", ",,", "10.1.2.3"),
        ("", "203.0.113.1", ""),
    ],
)
def test_the_field_is_read_from_the_right(peer: str, forwarded: str, client: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == client


@given(st.lists(st.ip_addresses().map(str), max_size=6), st.ip_addresses(v=4).map(str))
def test_what_a_client_claims_changes_nothing(claims: list[str], client: str) -> None:
    """A proxy appends the address that it was called from: whatever was there before does not matter."""
    through = client_address("10.0.0.1", ", ".join([*claims, client]), PROXIES)
    honest = client_address("10.0.0.1", client, PROXIES)
    trusted = any(address in str(honest) for address in ("10.", "127.0.0.1"))
    assert through == honest == client or trusted


def attempts(client: Client, forwarded: list[str]) -> list[int]:
    return [
        client.post(
            "/auth/login",
            json={"email": f"user{number}@x.org", "password": "wrong password"},
            headers={"X-Forwarded-For": value},
            environ_base={"REMOTE_ADDR": "10.0.0.1"},
        ).status_code
        for number, value in enumerate(forwarded)
    ]


def test_logins_are_counted_by_client(house: House) -> None:
    behind = Client(create_app(house.node, WebSettings(trusted_proxies=("10.0.0.0/8",))))
    spoofed = [f"198.51.100.{number}, 203.0.113.1" for number in range(52)]
    assert attempts(behind, spoofed) == [401] * 50 + [429] * 2
    assert attempts(behind, ["203.0.113.2"]) == [401]
    house.restart()
    nobody_believed = Client(create_app(house.node))  # the default
    many = [f"198.51.100.{number}" for number in range(52)]
    assert attempts(nobody_believed, many) == [401] * 50 + [429] * 2


def test_ipv6_counts_by_network() -> None:
    assert Subject.remote("2001:db8::1") == Subject.remote("2001:db8::ffff:1")
    assert Subject.remote("2001:db8::1") != Subject.remote("2001:db8:0:1::1")
    assert Subject.remote("192.0.2.1") != Subject.remote("192.0.2.2")


@pytest.mark.parametrize("text", ["somewhere", "10.0.0.1/8", "10.0.0.0/99"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfig, match="trusted_proxies"):
        parse_networks([text])
