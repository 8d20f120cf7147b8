"""Logging in: where keys and sessions are kept, and what happens when they are wrong or over."""

from __future__ import annotations

import shutil
import stat
import time
from pathlib import Path

import pytest

import syft_ext as sy
from syft_ext.errors import BadRequest, BadSignature, NotLoggedIn, Unauthenticated, Unavailable
from syft_ext.identity import Identity
from syft_ext.profile import credentials
from syft_ext.profile.home import user_identity
from syft_ext.profile.known_nodes import known_nodes
from syft_ext.transport import LocalTransport
from syft_ext.transport.address import NodeAddress
from tests.accounts.people import OWNER, PASSWORD, House
from tests.user_folder import nobody_logged_in

URL = "http://hospital:5001"


def log_in(house: House, *, save: bool = False) -> sy.DomainClient:
    client = sy.login(URL, OWNER, PASSWORD, save=save, transport=LocalTransport(house.node))
    assert isinstance(client, sy.DomainClient)
    return client


def test_a_login_makes_a_key_that_only_its_owner_can_read(house: House, own_folder: Path) -> None:
    house.set_up()
    client = log_in(house)
    key = own_folder / "user.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert client.me.email == OWNER
    assert user_identity().verify_key in client.me.verify_keys
    assert not (own_folder / "credentials.json").exists()


def test_the_same_key_is_used_again(house: House) -> None:
    house.set_up()
    assert log_in(house).connection.identity.verify_key == log_in(house).connection.identity.verify_key


def test_a_kept_session_is_found_by_another_process(house: House, own_folder: Path) -> None:
    house.set_up()
    client = log_in(house, save=True)
    path = own_folder / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PASSWORD not in path.read_text()
    with nobody_logged_in():
        assert credentials.require(NodeAddress.parse("hospital:5001")) == client.session
        assert [session.email for session in credentials.list_sessions()] == [OWNER]


def test_a_session_that_is_not_kept_is_known_to_its_process_only(house: House) -> None:
    house.set_up()
    client = log_in(house)
    with nobody_logged_in(), pytest.raises(NotLoggedIn, match="grid login"):
        credentials.require(NodeAddress.parse("hospital:5001"))
    assert credentials.require(NodeAddress.parse("hospital:5001")) == client.session


def test_a_session_does_not_show_its_token(house: House) -> None:
    house.set_up()
    session = log_in(house).session
    assert session is not None
    assert session.token not in repr(session)


def test_without_a_login_the_error_says_how_to_log_in() -> None:
    with pytest.raises(NotLoggedIn) as caught:
        credentials.require(NodeAddress.parse("localhost:5001"))
    assert 'sy.login("http://localhost:5001", email, password)' in str(caught.value)
    assert "grid login http://localhost:5001" in str(caught.value)


def test_an_expired_session_says_so() -> None:
    session = credentials.SavedLogin(
        address=URL,
        email=OWNER,
        token="t",
        expires_at=time.time() - 1,
        node_id="0" * 32,
        node_name="hospital",
        node_kind="domain",
    )
    credentials.save(session)
    with pytest.raises(NotLoggedIn, match="expired"):
        credentials.require(URL)


def test_a_session_that_the_node_ended_says_how_to_log_in_again(house: House) -> None:
    owner = house.set_up()
    client = log_in(house)
    owner.call(_revoke())
    client.connection.identity = Identity.generate()  # nor does the key help any more
    with pytest.raises((NotLoggedIn, Unauthenticated)):
        _ = client.me


def _revoke() -> object:
    from syft_ext.messages.accounts import RevokeSessions

    return RevokeSessions()


def test_a_wrong_password_is_refused_and_nothing_is_kept(house: House) -> None:
    house.set_up()
    with pytest.raises(Unauthenticated):
        sy.login(URL, OWNER, "wrong", save=True, transport=LocalTransport(house.node))
    assert credentials.list_sessions() == []


def test_logout_ends_the_session_at_the_node_and_here(house: House) -> None:
    house.set_up()
    client = log_in(house, save=True)
    sy.logout(URL, transport=LocalTransport(house.node))
    assert credentials.list_sessions() == []
    with pytest.raises((NotLoggedIn, Unauthenticated)):
        _ = client.me
    sy.logout(URL)  # twice is no error


def test_logout_forgets_the_session_when_the_node_is_down(house: House) -> None:
    house.set_up()
    log_in(house, save=True)
    session = credentials.load(URL)
    assert session is not None
    credentials.save(_moved(session, "http://127.0.0.1:9"))
    sy.logout("http://127.0.0.1:9")
    assert credentials.load("http://127.0.0.1:9") is None


def _moved(session: credentials.SavedLogin, address: str) -> credentials.SavedLogin:
    import msgspec

    return msgspec.structs.replace(session, address=address)


def test_a_node_with_another_key_is_refused_with_advice(house: House, tmp_path: Path) -> None:
    house.set_up()
    log_in(house)
    impostor = House(tmp_path / "other", f"sqlite:///{tmp_path / 'other.db'}", clock=house.clock)
    try:
        with pytest.raises(BadSignature, match="forget_node"):
            sy.login(URL, OWNER, PASSWORD, transport=LocalTransport(impostor.node))
        assert list(sy.known_nodes()) == [URL]
        assert sy.forget_node(URL)
        assert not sy.forget_node(URL)
        assert sy.connect(URL, transport=LocalTransport(impostor.node)).id == impostor.node.id
    finally:
        impostor.node.stop()


def test_two_spellings_of_a_node_behind_a_network_are_one_pin(
    house: House, own_folder: Path, tmp_path: Path
) -> None:
    """Also where an earlier version kept them apart: nobody is trusted anew who was met before."""
    house.set_up()
    sy.connect("grid+webrtc://Network.example/north", transport=LocalTransport(house.node))
    kept = own_folder / "known_nodes.json"
    assert list(sy.known_nodes()) == ["grid+https://network.example/north"]
    kept.write_text(
        kept.read_text().replace("grid+https://network.example/", "grid+webrtc://network.example/")
    )
    impostor = House(tmp_path / "other", f"sqlite:///{tmp_path / 'other.db'}", clock=house.clock)
    try:
        for spelling in ("grid+https://network.example:443/north", "grid+webrtc://network.example/%6eorth"):
            with pytest.raises(BadSignature, match="another key"):
                sy.connect(spelling, transport=LocalTransport(impostor.node))
        assert sy.forget_node("grid+webrtc://network.example/north")
        assert not sy.known_nodes()
    finally:
        impostor.node.stop()


def test_of_two_pins_of_one_address_the_one_that_was_made_first_counts(own_folder: Path) -> None:
    """Not the one whose node said so: its clock is its own."""
    pin = '{"verify_key": "%s", "node_id": "", "name": "", "first_seen": %s}'
    mine, impostors = pin % ("aa" * 32, "1800000000.0"), pin % ("bb" * 32, "0.0")
    own_folder.mkdir(parents=True, exist_ok=True)
    (own_folder / "known_nodes.json").write_text(
        f'{{"grid+webrtc://n.example/north": {mine}, "grid+https://n.example/north": {impostors}}}'
    )
    assert [node.verify_key for node in sy.known_nodes().values()] == ["aa" * 32]


def test_the_impostor_gets_no_password(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house.set_up()
    log_in(house)
    impostor = House(tmp_path / "other", f"sqlite:///{tmp_path / 'other.db'}", clock=house.clock)
    seen: list[str] = []
    receive = impostor.node.receive
    monkeypatch.setattr(impostor.node, "receive", lambda e, p: (seen.append(e.operation), receive(e, p))[1])
    try:
        with pytest.raises(BadSignature):
            sy.login(URL, OWNER, PASSWORD, transport=LocalTransport(impostor.node))
    finally:
        impostor.node.stop()
    assert seen == ["node.metadata"]


def test_connect_needs_no_account(house: House) -> None:
    house.set_up()
    client = sy.connect(URL, transport=LocalTransport(house.node))
    assert (client.kind, client.name, client.metadata.configured) == ("domain", "hospital", True)
    with pytest.raises(Unauthenticated):
        _ = client.me


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        sy.connect("http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("text", "secure", "http", "websocket"),
    [
        ("localhost:5000", False, "http://localhost:5000", False),
        ("localhost:5000", True, "https://localhost:5000", False),
        ("http://Host:80/", True, "http://host:80", False),
        ("ws://h:1", False, "http://h:1", True),
        ("wss://h:1", False, "https://h:1", True),
        ("https://[::1]:8443", False, "https://[::1]:8443", False),
    ],
)
def test_addresses_as_users_write_them(text: str, secure: bool, http: str, websocket: bool) -> None:
    address = NodeAddress.parse(text, secure=secure)
    assert (address.http, address.websocket) == (http, websocket)


@pytest.mark.parametrize(
    "text", ["", "ftp://h:1", "http://", "http://h:x", "http://u:p@h:1", "http://h:1/path"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        NodeAddress.parse(text)


# -- files of before ----------------------------------------------------------------------------------

#: How the addresses were written whose files lie in tests/sdk/profile: older ones than transports have a registry.
WRITTEN = [
    "localhost:5001",
    "Hospital:5001",
    "http://Network:80/",
    "https://grid.example.org",
    "https://[::1]:8443",
    "ws://ward:5002",
    "wss://lab:5443",
]


@pytest.mark.parametrize("number", range(len(WRITTEN)), ids=WRITTEN)
def test_sessions_and_keys_that_were_kept_before_are_found(own_folder: Path, number: int) -> None:
    shutil.copytree(Path(__file__).parent / "profile", own_folder)
    address = NodeAddress.parse(WRITTEN[number])
    assert credentials.require(address).token == f"not-a-token-{number}"
    assert known_nodes()[str(address)].verify_key == f"{number:064x}"
    assert len(known_nodes()) == len(credentials.list_sessions()) == len(WRITTEN)
