"""What is connected to is what was checked, whatever a name says the next time."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

import pytest

from grid.outgoing.addresses import IPAddress
from grid.outgoing.dialer import Dialer, GuardedOpener, resolve
from grid.outgoing.endpoints import TrustedEndpoints
from grid.outgoing.policy import AllowedAddress, OutgoingPolicy
from syft_ext.errors import Forbidden, InvalidConfig, Unavailable
from syft_ext.identity import Identity
from syft_ext.messages import GetMetadata
from syft_ext.messages.envelope import ANY_NODE, seal_request
from tests.outgoing.listener import Listener

GOOD = "127.0.0.2"  # stands for a peer that may be called; everything else on loopback may not


def policy(*entries: str) -> OutgoingPolicy:
    return OutgoingPolicy([AllowedAddress.parse(entry) for entry in entries or (GOOD,)])


class Names:
    """A resolver of the test's own: each name, and what it says the first time, the second …"""

    def __init__(self, **names: Sequence[str]) -> None:
        self.asked: list[str] = []
        self._names: dict[str, Iterator[str]] = {"localhost": itertools.cycle(["::1 127.0.0.1"])}
        self._names |= {name.replace("_", "."): itertools.cycle(said) for name, said in names.items()}

    def __call__(self, host: str) -> list[IPAddress]:
        self.asked.append(host)
        said = self._names.get(host.removesuffix(".").lower())
        if said is not None:
            return [ip_address(text) for text in next(said).split()]
        # Spellings of addresses: the system's calls read them, and ask nobody.
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [ip_address(place[0]) for *_, place in found]


def test_it_connects_to_the_address_that_was_checked() -> None:
    with Listener(GOOD) as good:
        names = Names(peer_example=[GOOD])
        with Dialer(policy(), names)("peer.example", good.port, 5) as connection:
            assert connection.getpeername() == (GOOD, good.port)
        assert names.asked == ["peer.example"], "asked once: what was checked is what is connected to"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "10.0.0.1",
        "169.254.169.254",
    ],
)
def test_a_name_that_leads_inside_is_not_connected_to(address: str) -> None:
    with Listener() as inner, pytest.raises(Forbidden):
        Dialer(policy(), Names(evil_example=[address]))("evil.example", inner.port, 5)
    assert inner.got == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "LOCALHOST.", "0"]
)
def test_spellings_of_loopback_are_loopback(host: str) -> None:
    """The system's own resolver, which knows them all; loopback is all that they lead to."""
    with Listener() as inner, pytest.raises((Forbidden, OSError)):
        Dialer(policy(), resolve)(host, inner.port, 5)
    assert inner.got == []


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "0x7f.0.0.1"]
)
def test_disguised_addresses_are_not_called_by_who_may_call_loopback(host: str) -> None:
    with Listener() as inner, pytest.raises(Forbidden):
        Dialer(OutgoingPolicy(loopback=True), resolve)(host, inner.port, 5)
    assert inner.got == []


def test_of_several_addresses_only_the_allowed_are_tried() -> None:
    with Listener(GOOD) as good, Listener(port=good.port) as inner:
        dialer = Dialer(policy(), Names(both_example=[f"127.0.0.1 {GOOD}"]))
        for _ in range(3):
            with dialer("both.example", good.port, 5) as connection:
                assert connection.getpeername()[0] == GOOD
    assert inner.got == []


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_a_name_that_changes_its_mind_gains_nothing(scheme: str) -> None:
    """DNS rebinding: good when it was checked, something inside when it is used again."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with Listener(GOOD, answer) as good, Listener(port=good.port, answer=answer) as inner:
        names = Names(rebinding_example=[GOOD, "127.0.0.1"])
        transport = GuardedOpener(policy(), resolver=names).transport(
            f"{scheme}://rebinding.example:{good.port}"
        )
        for wanted in (Exception, Forbidden):
            request = seal_request(Identity.generate(), GetMetadata(), now=0, recipient=ANY_NODE)
            with pytest.raises(wanted):
                transport.exchange(request, timeout=240)
        transport.close()
    assert len(good.got) == 1
    assert inner.got == []


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_redirects_are_not_followed(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Listener() as inner:
        moved = (
            f"HTTP/1.1 302 Found\r\nLocation: {scheme}://127.0.0.1:{inner.port}/messages\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        # Nor is a proxy of the environment a way there.
        for name in ("http_proxy", "https_proxy", "ws_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{inner.port}")
        with Listener(GOOD, moved.encode()) as good:
            transport = GuardedOpener(policy()).transport(f"{scheme}://{GOOD}:{good.port}")
            with pytest.raises(Exception):  # noqa: B017 - whatever the transport makes of it
                transport.exchange(
                    seal_request(Identity.generate(), GetMetadata(), now=0, recipient=ANY_NODE), timeout=240
                )
            transport.close()
    assert len(good.got) == 1
    assert inner.got == []


def test_places_of_this_machine_are_called_only_if_they_are_listed() -> None:
    for address in ("local:///x", "local://net"):
        with pytest.raises(Forbidden):
            GuardedOpener(policy()).transport(address)
    with pytest.raises(Exception, match="no node"):
        GuardedOpener(policy("local:///x")).transport("local:///x").exchange(
            seal_request(Identity.generate(), GetMetadata(), now=0, recipient=ANY_NODE)
        )


def test_an_endpoint_is_called_word_for_word_or_not_at_all() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with Listener(answer=answer) as listed:
        url = f"http://127.0.0.1:{listed.port}/check?site=1"
        endpoints = TrustedEndpoints([url])
        assert endpoints.post_json(url, b"{}", timeout=240) == 200
        assert listed.got[0].startswith(b"POST /check?site=1 HTTP/1.1\r\n")
        for other in (
            f"http://127.0.0.1:{listed.port}/check",
            f"http://127.0.0.1:{listed.port}/check?site=1&all=1",
            f"http://127.0.0.1:{listed.port}/admin/delete?all=1",
            f"http://localhost:{listed.port}/check?site=1",
            f"HTTP://127.0.0.1:{listed.port}/check?site=1",
            f"{url}#",
        ):
            with pytest.raises(Forbidden):
                endpoints.post_json(other, b"{}", timeout=240)
        assert len(listed.got) == 1
    with pytest.raises(Unavailable, match="does not answer"):
        endpoints.post_json(url, b"{}", timeout=240)
    for wrong in ("ftp://x/", "http://u@x/", "http://x/ y", "x", "http://x/\r\nHost: y"):
        with pytest.raises(InvalidConfig):
            TrustedEndpoints([wrong])


def test_an_endpoint_whose_name_leads_to_a_metadata_service_is_not_called() -> None:
    url = "http://check.example/token"
    endpoints = TrustedEndpoints([url], resolver=Names(check_example=["169.254.169.254"]))
    with pytest.raises(Unavailable, match="does not answer"):
        endpoints.post_json(url, b"{}", timeout=240)
