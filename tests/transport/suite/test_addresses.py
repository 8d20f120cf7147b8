"""Addresses are read, shown and read again, whatever the transport."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_ext.errors import BadRequest
from syft_ext.transport import register_transport
from syft_ext.transport.address import NodeAddress
from syft_ext.transport.registry import unregister_transport
from tests.transport.suite.unix import UnixTransport

SCHEMES = ["http", "https", "ws", "wss"]
names = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,10}[a-zA-Z0-9])?(\.[a-z]{2,5})?", fullmatch=True)
hosts = st.one_of(names, st.just("[::1]"), st.just("10.0.0.1"))
ports = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
letters = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/?#@")


@pytest.fixture(autouse=True, scope="module")
def other_transports() -> Iterator[None]:
    for scheme in ("unix+a", "pigeon+https"):
        register_transport(scheme, UnixTransport)
    yield
    for scheme in ("unix+a", "pigeon+https"):
        unregister_transport(scheme)


def holds(address: NodeAddress) -> None:
    assert NodeAddress.parse(address.url) == address
    assert NodeAddress.parse(address.url).url == address.url
    assert str(NodeAddress.parse(str(address))) == str(address)


@given(st.sampled_from(["", *(f"{scheme}://" for scheme in SCHEMES)]), hosts, ports, st.booleans())
def test_the_web(scheme: str, host: str, port: str, secure: bool) -> None:
    address = NodeAddress.parse(f"{scheme}{host}{port}", secure=secure)
    assert address.authority == f"{host}{port}".lower()
    assert address.secure == (scheme in ("https://", "wss://") or (secure and not scheme))
    assert str(address) == address.http == f"{'https' if address.secure else 'http'}://{address.authority}"
    assert address.ws == address.http.replace("http", "ws", 1)
    assert address.websocket == scheme.startswith("ws")
    holds(address)


@given(
    st.sampled_from(["local", "unix+a", "pigeon+https"]),
    st.text(letters, max_size=20),
    st.lists(st.text(letters, max_size=8), max_size=4),
    st.text(letters, max_size=12),
)
def test_other_transports(scheme: str, authority: str, steps: list[str], query: str) -> None:
    path = "".join(f"/{step}" for step in steps)
    text = f"{scheme}://{authority}{path}{f'?{query}' if query else ''}"
    if not authority and not path:
        with pytest.raises(BadRequest):
            NodeAddress.parse(text)
        return
    address = NodeAddress.parse(text)
    assert (address.scheme, address.authority, address.query) == (scheme, authority.lower(), query)
    assert address.path == ("" if path == "/" and authority else path)
    assert str(address) == address.url
    assert not address.web
    holds(address)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("grid+webrtc://Network.example/north", "grid+https://network.example/north"),
        ("grid+https://network.example:443/north", "grid+https://network.example/north"),
        ("grid+https://network.example/%6eorth", "grid+https://network.example/north"),
        ("grid+http://network.example:80/north%20sea", "grid+http://network.example/north%20sea"),
        (f"relay+https://n:443/{'AB' * 32}", f"relay+https://n/{'ab' * 32}"),
        (f"webrtc+http://n:443/{'ab' * 32}", f"webrtc+http://n:443/{'ab' * 32}"),
        ("grid+https://n/North", "grid+https://n/North"),
        ("grid+https://[::443]:443/a", "grid+https://[::443]/a"),
    ],
)
def test_a_node_behind_a_network_has_one_name(written: str, normal: str) -> None:
    """What is known of it, its key first, is kept by that."""
    assert str(NodeAddress.parse(written)) == normal
    holds(NodeAddress.parse(written))


@given(
    st.sampled_from(["grid+http", "grid+https", "grid+webrtc", "webrtc+https", "relay+http"]),
    hosts,
    ports,
    st.text(max_size=20),
)
def test_names_behind_a_network(scheme: str, host: str, port: str, name: str) -> None:
    address = NodeAddress.parse(f"{scheme}://{host}{port}/{quote(name, safe='')}")
    holds(address)
    assert unquote(address.path.removeprefix("/")) in (name, name.lower())


@given(st.text(max_size=60))
def test_whatever_is_written_is_an_address_or_a_bad_request(text: str) -> None:
    for written in (text, f"http://{text}", f"local://{text}"):
        try:
            address = NodeAddress.parse(written)
        except BadRequest:
            continue
        holds(address)


@pytest.mark.parametrize(
    "text",
    ["local://", "local://?x", "local://a@b", "local://a#b", "local://a b", "local://a\tb", "local://\u00e4"],
)
def test_what_is_no_address_of_another_transport(text: str) -> None:
    with pytest.raises(BadRequest):
        NodeAddress.parse(text)


def test_a_scheme_that_nobody_knows_is_named_with_those_that_are() -> None:
    with pytest.raises(
        BadRequest, match=r"'gopher'; known are: .*http, https, local, .*pigeon\+https, .*ws, wss"
    ):
        NodeAddress.parse("gopher://h:1")


def test_only_the_web_has_a_url_for_http() -> None:
    address = NodeAddress.parse("local://hospital")
    for read in (lambda: address.http, lambda: address.ws):
        with pytest.raises(BadRequest, match="cannot be reached over HTTP"):
            read()
