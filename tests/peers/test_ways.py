"""A Domain behind its Network by every way: which is taken, why not others, and what follows one that breaks."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

import syft_ext as sy
from apps.cli.main import cli
from grid.network import monitor
from grid.network.relaying import RelayService
from grid.outgoing.dialer import GuardedOpener
from grid.outgoing.policy import OutgoingPolicy
from grid.peers.places import Standing
from syft_ext.errors import BadSignature, Forbidden, GridError, NotFound, Unavailable
from syft_ext.identity import Identity
from syft_ext.messages import GetMetadata
from syft_ext.messages.accounts import CreateUser, DeleteUser, Login, UpdateUser
from syft_ext.messages.network import LocateDomain
from syft_ext.transport import Connection, open_transport
from syft_ext.transport.ways import transport as ways
from syft_ext.transport.ways.race import race
from tests.peers.pool import until
from tests.peers.scene import OWNER, PASSWORD, PeerScene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[PeerScene]:
    made = PeerScene(tmp_path_factory.mktemp("ways"), sqlite_template)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def folder(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each way has all the time that it needs, however busy the machine is: the order alone decides."""
    monkeypatch.setattr(ways, "race", partial(race, stagger=60.0, last_resort_waits=60.0))
    monkeypatch.setattr(ways, "TRYING", 120.0)
    return own_folder


@contextlib.contextmanager
def connected(address: str) -> Iterator[Connection]:
    connection = Connection(open_transport(address), Identity.generate())
    yield connection
    connection.close()


@contextlib.contextmanager
def address_told(address: str) -> Iterator[None]:
    """The Network tells users that the Domain is at ``address``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monitor, "shown_address", lambda _: address)
        yield


def test_without_an_address_a_session_is_opened(scene: PeerScene) -> None:
    with connected(scene.address("grid")) as connection:
        assert connection.metadata().verify_key == scene.key
        assert connection.path["taken"] == "webrtc"
        assert connection.path["failed"]["direct"] == "the Network tells no address of it"
        assert set(connection.path["failed"]) == {"direct", "turn", "relay"}
        relay = scene.network.node.service(RelayService)
        until(lambda: not relay._carried)  # what it was asked for over, and what lost, is closed
        assert len(scene.pool._sessions) == 1
    until(lambda: not scene.pool._sessions)


def test_webrtc_alone(scene: PeerScene) -> None:
    with connected(scene.address("webrtc")) as connection:
        assert connection.metadata().name == "north"
        assert connection.path == {"taken": "webrtc", "failed": {}}
    until(lambda: not scene.pool._sessions)


def test_an_address_that_is_told_is_taken_where_it_leads_to_the_domain(scene: PeerScene) -> None:
    with address_told(scene.domain.url), connected(scene.address("grid")) as connection:
        assert connection.metadata().name == "north"
        assert connection.path["taken"] == "direct"
    with address_told(scene.network.url), connected(scene.address("grid")) as connection:
        assert connection.metadata().name == "north"
        assert connection.path["taken"] == "webrtc"
        assert "another node" in connection.path["failed"]["direct"]
    until(lambda: not scene.pool._sessions)


def test_names_are_looked_up_once_and_said(scene: PeerScene, caplog: pytest.LogCaptureFixture) -> None:
    address = scene.address("grid", "north")
    with caplog.at_level(logging.WARNING), connected(address) as connection:
        assert connection.metadata().verify_key == scene.key
        assert f"the Network says that north has the key {scene.key[:16]}" in caplog.text
    with connected(scene.address("grid", "south")) as connection, pytest.raises(NotFound):
        connection.metadata()
    with connected(scene.network.url) as connection:
        told = connection.call(LocateDomain(domain="north"))
        assert (told.verify_key, told.address) == (scene.key, "")


def test_a_network_that_tells_another_key_is_not_believed(scene: PeerScene) -> None:
    stranger = Identity.generate().verify_key
    address = f"{scene.network.url.replace('http', 'grid+http', 1)}/{stranger}"
    with connected(address) as connection, pytest.raises((Unavailable, BadSignature)):
        connection.metadata()


def test_people_log_in_and_the_commands_say_by_which_way(scene: PeerScene, folder: Path) -> None:
    address = scene.address("grid")
    client = sy.login(address, OWNER, PASSWORD, save=True)
    assert isinstance(client, sy.DomainClient)
    assert client.connection.path["taken"] == "webrtc"
    client.close()
    asked = CliRunner().invoke(cli, ["whoami", "--ways"])
    assert asked.exit_code == 0
    assert "webrtc" in asked.output
    logged_in = CliRunner().invoke(
        cli, ["login", address, "--email", OWNER, "--format", "json"], env={"GRID_PASSWORD": PASSWORD}
    )
    assert '"way": "webrtc"' in logged_in.output.replace('":"', '": "')
    listed = CliRunner().invoke(cli, ["users", "list", "--url", address])
    assert listed.exit_code == 0, listed.output
    until(lambda: not scene.pool._sessions)


@pytest.mark.parametrize("deleted", [False, True])
def test_an_account_that_is_disabled_keeps_no_place(scene: PeerScene, deleted: bool) -> None:
    """Its session is the next to end where others wait for one."""
    owner = sy.login(scene.domain.url, OWNER, PASSWORD)
    user = owner.call(CreateUser(email=f"{deleted}@grid.example", password=PASSWORD)).id
    with connected(scene.address("webrtc")) as connection:
        connection.token = connection.call(Login(email=f"{deleted}@grid.example", password=PASSWORD)).token
        connection.call(GetMetadata())

        def standings() -> list[Standing]:
            return [place.standing for place in scene.pool._sessions.values()]

        until(lambda: standings() == [Standing.ACCOUNT])
        owner.call(DeleteUser(user_id=user) if deleted else UpdateUser(user_id=user, disabled=True))
        assert standings() == [Standing.STRANGER]
        with pytest.raises(GridError):
            connection.call(GetMetadata())
        assert standings() == [Standing.STRANGER]
    owner.close()
    until(lambda: not scene.pool._sessions)


def test_a_nodes_own_process_opens_no_sessions(scene: PeerScene) -> None:
    """What others name is called through its dialler, and only that."""
    opener = GuardedOpener(OutgoingPolicy(loopback=True))
    connection = Connection(opener.transport(scene.address("grid")), Identity.generate())
    assert connection.metadata().name == "north"
    assert connection.path["taken"] == "relay"
    assert connection.path["failed"]["webrtc"] == "not from a node's own process"
    connection.close()
    with pytest.raises(Forbidden):
        opener.transport(scene.address("webrtc"))


def test_a_session_that_breaks_is_followed_by_the_next_way(
    scene: PeerScene, caplog: pytest.LogCaptureFixture
) -> None:
    """The last one of this file: the scene has no gateways any more."""
    with connected(scene.address("grid")) as connection:
        connection.metadata()
        assert connection.path["taken"] == "webrtc"
        scene.pool.stop()
        with caplog.at_level(logging.WARNING):

            def answers() -> bool:
                with contextlib.suppress(Unavailable):
                    connection.call(GetMetadata())
                    return True
                return False

            until(lambda: answers() and connection.path["taken"] == "relay")
        assert connection.path["failed"]["webrtc"].startswith("it broke")
        assert "the way webrtc to" in caplog.text
