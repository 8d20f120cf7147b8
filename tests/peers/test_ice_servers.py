"""Which servers settings may name, and what their credentials are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.config import DomainSettings, PeerSettings, resolve
from grid.peers.ice_servers import IceUrl, OwnServers, mint
from syft_ext.clock import ManualClock
from syft_ext.errors import InvalidConfig


@pytest.mark.parametrize(
    ("text", "kind", "host", "port", "transport", "secure"),
    [
        ("stun:stun.example", "stun", "stun.example", 3478, "udp", False),
        ("stun:192.0.2.1:19302", "stun", "192.0.2.1", 19302, "udp", False),
        ("stuns:stun.example", "stun", "stun.example", 5349, "tcp", True),
        ("turn:turn.example", "turn", "turn.example", 3478, "udp", False),
        ("turn:turn.example:80?transport=tcp", "turn", "turn.example", 80, "tcp", False),
        ("turns:turn.example:443", "turn", "turn.example", 443, "tcp", True),
        ("turn:[2001:db8::1]:3478?transport=udp", "turn", "2001:db8::1", 3478, "udp", False),
    ],
)
def test_addresses_of_servers(
    text: str, kind: str, host: str, port: int, transport: str, secure: bool
) -> None:
    setting = f"{kind}_servers"
    url = IceUrl.parse(text, setting)
    assert (url.kind, url.host, url.port, url.transport, url.secure) == (kind, host, port, transport, secure)
    assert IceUrl.parse(str(url), setting) == url


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("stun.example:3478", "stun_servers"),
        ("turn:turn.example", "stun_servers"),
        ("stun:stun.example", "turn_servers"),
        ("stun:stun.example?transport=tcp", "stun_servers"),
        ("turn:turn.example?transport=sctp", "turn_servers"),
        ("turns:turn.example?transport=udp", "turn_servers"),
        ("turn:turn.example:0", "turn_servers"),
        ("turn:turn.example:65536", "turn_servers"),
        ("turn:user@turn.example", "turn_servers"),
        ("turn:", "turn_servers"),
        ("turn://turn.example", "turn_servers"),
        ("turn:a b", "turn_servers"),
        ("turn:turn.example\n", "stun_servers"),
    ],
)
def test_what_is_no_server_is_refused_by_name(text: str, setting: str) -> None:
    with pytest.raises(InvalidConfig, match=setting):
        IceUrl.parse(text, setting)


@given(st.text(max_size=40))
def test_any_text_is_a_server_or_refused(text: str) -> None:
    try:
        url = IceUrl.parse(text, "turn_servers")
    except InvalidConfig:
        return
    assert IceUrl.parse(str(url), "turn_servers") == url


def test_credentials_are_those_of_coturn() -> None:
    """What ``echo -n 1500000000:alice | openssl dgst -sha1 -hmac north -binary | base64`` prints."""
    assert mint("north", "alice", 1500000000) == ("1500000000:alice", "ikGPTf74g9xA5TF6FoZuK33i3nw=")


def test_turn_servers_and_their_secret_go_together() -> None:
    with pytest.raises(InvalidConfig, match="static-auth-secret"):
        OwnServers(DomainSettings(turn_servers=["turn:turn.example"]), ManualClock())
    with pytest.raises(InvalidConfig, match="of no use"):
        OwnServers(DomainSettings(turn_secret="x"), ManualClock())


def test_the_secret_comes_from_a_file_and_is_not_shown(tmp_path: object) -> None:
    from pathlib import Path

    file = Path(str(tmp_path)) / "secret"
    file.write_text("what coturn has\n")
    resolved = resolve("domain", DomainSettings, env={"GRID_TURN_SECRET_FILE": str(file)})
    assert isinstance(resolved.settings, PeerSettings) and resolved.settings.turn_secret == "what coturn has"
    assert "what coturn has" not in str(resolved.shown())
    with pytest.raises(InvalidConfig, match="turn_secret"):
        resolve("domain", DomainSettings, flags={"turn_secret": "on the command line"})
    with pytest.raises(InvalidConfig, match="turn_lifetime"):
        resolve("domain", DomainSettings, flags={"turn_lifetime": 1})


def test_credentials_end_when_the_setting_says() -> None:
    clock = ManualClock()
    servers = OwnServers(
        DomainSettings(
            stun_servers=["stun:a.example"],
            turn_servers=["turn:b.example"],
            turn_secret="s",
            turn_lifetime=60,
        ),
        clock,
    ).credentials("somebody")
    assert servers.expires_at == int(clock.now()) + 60
    stun, turn = servers.servers
    assert (stun.urls, stun.username, stun.credential) == (["stun:a.example:3478"], "", "")
    assert turn.username == f"{int(servers.expires_at)}:somebody"
    assert (turn.username, turn.credential) == mint("s", "somebody", int(servers.expires_at))
