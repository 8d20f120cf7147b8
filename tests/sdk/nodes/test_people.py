"""People, settings, counters and associations from the SDK and the command line, on real nodes over sockets."""

from __future__ import annotations

import shutil
from base64 import b32decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
import pytest
import urllib3
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

import syft_ext as sy
from apps.domain.app import build as build_domain
from apps.network.app import build as build_network
from grid.accounts.bootstrap import bootstrap_owner
from grid.config import DomainSettings, NetworkSettings
from grid.node import Node
from grid.web.testing import ServedNode
from syft_ext.client.node_client import NodeClient
from syft_ext.display import prompt
from syft_ext.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    NotLoggedIn,
    TotpRequired,
    Unauthenticated,
)
from syft_ext.identity import Identity
from syft_ext.messages import FLAGS
from syft_ext.messages.accounts import Flag
from tests.apps.conftest import grid

OWNER, PASSWORD = "owner@hospital.org", "correct horse"


@dataclass
class Pair:
    network: ServedNode
    domain: ServedNode


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Pair]:
    """The two real apps, with their owners, not associated."""
    root = tmp_path_factory.mktemp("pair")
    patch = pytest.MonkeyPatch()
    served = []
    for name in ("network", "domain"):
        home = root / name
        home.mkdir()
        shutil.copyfile(sqlite_template, home / "node.db")
        node: Node
        if name == "network":
            node = build_network(home, NetworkSettings(name="registry"))
        else:
            node = build_domain(home, DomainSettings(name="hospital"))
        assert bootstrap_owner(node, OWNER, PASSWORD)
        served.append(ServedNode(node))
    yield Pair(*served)
    for node_ in served:
        node_.close()
    patch.undo()


def log_in(node: ServedNode, email: str = OWNER, password: str = PASSWORD, **options: Any) -> NodeClient:
    return sy.login(node.url, email, password, **options)


@pytest.fixture
def owner(pair: Pair) -> Iterator[NodeClient]:
    with log_in(pair.domain) as client:
        yield client


# -- others --------------------------------------------------------------------------------------------


def test_users(owner: NodeClient, pair: Pair) -> None:
    ann = owner.users.create("ann@example.org", PASSWORD, role="Compliance Officer")
    assert owner.users["ann@example.org"] == owner.users.get(ann.id) == ann
    assert [user.email for user in owner.users.search(role="Compliance Officer")] == ["ann@example.org"]
    assert owner.users.update(ann.id, email="anna@example.org").email == "anna@example.org"
    frame = owner.users.all(pandas=True)
    assert isinstance(frame, pandas.DataFrame) and list(frame["e-mail"]) == ["anna@example.org", OWNER]
    assert frame.equals(owner.users.to_pandas())
    with log_in(pair.domain, "anna@example.org") as anna:
        assert len(anna.users.all()) == 2
        (session,) = owner.users.sessions(ann.id)
        assert session.verify_key == anna.connection.identity.verify_key
        owner.users.end_session(ann.id, session.id)
        anna.connection.identity = Identity.generate()
        with pytest.raises(Unauthenticated):
            _ = anna.me
    assert owner.users.update(ann.id, disabled=True).disabled
    with pytest.raises(Unauthenticated):
        log_in(pair.domain, "anna@example.org")
    owner.users.revoke(ann.id)
    owner.users.delete(ann.id)
    with pytest.raises(NotFound):
        owner.users.get(ann.id)


def test_all_pages_are_fetched(owner: NodeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syft_ext.client.people._PAGE", 2)
    made = [owner.users.create(f"page{number}@x.org", PASSWORD) for number in range(4)]
    assert [user.email for user in owner.users.search("page")] == [user.email for user in made]
    assert len(owner.users.all()) == 5
    for user in made:
        owner.users.delete(user.id)


def test_roles_and_groups(owner: NodeClient, pair: Pair) -> None:
    role = owner.roles.create("Steward", can_upload_data=True)
    assert owner.roles["Steward"].id == role.id
    assert owner.roles.update(role.id, name="Keeper").name == "Keeper"
    assert list(owner.roles.all(pandas=True)["name"])[:4] == [
        "User",
        "Compliance Officer",
        "Administrator",
        "Owner",
    ]
    owner.roles.delete(role.id)
    bob = owner.users.create("bob@example.org", PASSWORD)
    group = owner.groups.create("officers", [bob.id])
    with log_in(pair.domain, "bob@example.org") as client:
        with pytest.raises(Forbidden):
            client.users.all()
        owner.groups.update(group.id, flags=["can_triage_requests"])
        assert len(client.users.all()) == 2 and client.me.flags == ["can_triage_requests"]
    assert "triage requests" in repr(owner.groups) and "triage requests" in owner.users._repr_html_()
    frame = owner.groups.all(pandas=True)
    assert (list(frame["name"]), list(frame["users"])) == (["officers"], [1])
    owner.groups.delete(group.id)
    owner.users.delete(bob.id)


def test_the_flags_that_groups_may_carry_are_all_there_are() -> None:
    assert Flag.__args__ == FLAGS  # type: ignore[attr-defined]


# -- oneself -------------------------------------------------------------------------------------------


def test_ones_own_account(owner: NodeClient, pair: Pair) -> None:
    owner.users.create("eve@example.org", PASSWORD)
    with log_in(pair.domain, "eve@example.org") as eve:
        assert eve.me.change_email("eva@example.org", PASSWORD).email == "eva@example.org"
        with pytest.raises(Forbidden):
            eve.me.change_password("wrong password", "a new password")
        with pytest.raises(BadRequest, match="give password="):
            eve.me.change_password()
        robot = Identity.generate()
        key = eve.me.keys.register(robot, PASSWORD, name="robot")
        with sy.connect(pair.domain.url, identity=robot) as machine:
            assert machine.me.email == "eva@example.org"
            eve.me.keys.remove(key.verify_key)
            with pytest.raises(Unauthenticated):
                _ = machine.me
        assert [each.current for each in eve.me.keys] == [True]
        assert "good until" in repr(eve.me.keys) and len(eve.me.keys.all(pandas=True)) == 1
        eve.me.change_password(PASSWORD, "a new password")
        assert [each.current for each in eve.me.sessions] == [True]
        assert "eva@example.org" in repr(eve.me) and "eva@example.org" in eve.me._repr_html_()
        eve.me.sessions.end(eve.me.sessions[0].id)
        with pytest.raises(Unauthenticated):
            _ = eve.me
    owner.users.delete(owner.users["eva@example.org"].id)


def test_a_login_with_one_time_codes(owner: NodeClient, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    eve = owner.users.create("eve@example.org", PASSWORD)
    client = log_in(pair.domain, "eve@example.org")
    enrolment = client.me.enrol_totp(PASSWORD)
    assert enrolment.secret in repr(enrolment) and enrolment.secret in enrolment._repr_html_()
    device = TOTP(b32decode(enrolment.secret), 6, SHA1(), 30)
    codes = enrolment.confirm(device.generate(pair.domain.node.clock.now()).decode())
    assert client.me.totp and owner.users.get(eve.id).totp
    with pytest.raises(TotpRequired):
        log_in(pair.domain, "eve@example.org")
    assert log_in(pair.domain, "eve@example.org", totp=codes[0]).me.email == "eve@example.org"
    asked: list[str] = []

    def getpass(label: str) -> str:
        asked.append(label)
        return codes[1]

    monkeypatch.setattr(prompt, "surface", lambda: "notebook")
    monkeypatch.setattr(prompt, "getpass", getpass)
    assert log_in(pair.domain, "eve@example.org").me.totp
    assert asked == ["One-time code of eve@example.org: "]
    monkeypatch.undo()
    fresh = client.me.renew_recovery_codes(codes[2], PASSWORD)
    with pytest.raises(TotpRequired):
        log_in(pair.domain, "eve@example.org", totp=codes[3])
    client.me.remove_totp(fresh[0], PASSWORD)
    log_in(pair.domain, "eve@example.org").me.enrol_totp(PASSWORD)
    owner.users.reset_totp(eve.id)
    owner.users.delete(eve.id)


# -- the node ------------------------------------------------------------------------------------------


def test_settings_and_dashboard(owner: NodeClient, pair: Pair) -> None:
    assert owner.settings.update(session_lifetime=7200.0).session_lifetime == 7200.0
    assert owner.settings.key_lifetime == 30 * 86400.0 and not owner.settings.require_totp
    assert "7200" in repr(owner.settings)
    before = owner.dashboard().view
    assert (before.users, before.trainings, before.datasets) == (1, {}, 0)
    assert "Owner" in repr(owner.dashboard()) and "1 Owner" in owner.dashboard()._repr_html_()
    with log_in(pair.network) as network:
        counters = network.dashboard().view
        assert counters.users_by_role["Owner"] == 1
        assert (counters.datasets, counters.trainings) == (None, None)
        assert "datasets" not in repr(network.dashboard())


def test_associations_from_the_first_request_to_the_end(owner: NodeClient, pair: Pair) -> None:
    with log_in(pair.network) as network:
        with pytest.raises(NotFound):
            network.associations.accept("hospital")
        asked = owner.associations.request(pair.network.url, note="we are a hospital")
        assert (asked.status, asked.direction) == ("pending", "outgoing")
        (waiting,) = network.associations.search("pending")
        assert (waiting.name, waiting.note) == ("hospital", "we are a hospital")
        network.associations.deny("hospital", "who are you?")
        network.associations.accept("hospital")
        with pytest.raises(Conflict):
            network.associations.deny("hospital")
        assert network.associations.get(waiting.association_id).status == "accepted"
        assert network.associations["hospital"].status == "accepted"
        assert network.dashboard().view.associations == {"accepted": 1}
        assert list(network.associations.all(pandas=True)["name"]) == ["hospital"]
        answer = urllib3.request(
            "GET",
            f"{pair.network.url}/associations?status=accepted",
            headers={"Authorization": f"Bearer {network.connection.token}"},
        )
        assert [each["name"] for each in answer.json()["associations"]] == ["hospital"]
        network.associations.delete("hospital", "that was all")
        assert len(network.associations) == 0
        owner.associations.delete(asked.association_id)
        assert owner.associations.all() == []


def test_the_way_in(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(sqlite_template, home / "node.db")
    with ServedNode(build_domain(home, DomainSettings(name="hospital"))) as fresh:
        stranger = sy.connect(fresh.url, identity=Identity.generate())
        assert not stranger.setup_status().configured
        assert stranger.setup(OWNER, PASSWORD, node_name="St. Mary", session_lifetime=120.0).role == "Owner"
        with pytest.raises(Conflict):
            stranger.setup("second@x.org", PASSWORD)
        with pytest.raises(Forbidden):
            stranger.sign_up("ann@x.org", PASSWORD)
        log_in(fresh).settings.update(allow_user_signup=True)
        assert stranger.setup_status().allow_user_signup
        assert stranger.sign_up("ann@x.org", PASSWORD).role == "User"
        assert log_in(fresh, "ann@x.org").name == "St. Mary"


# -- the command line ----------------------------------------------------------------------------------


def test_the_command_line(pair: Pair, tmp_path: Path) -> None:
    url = ("--url", pair.domain.url)
    as_json = ("--format", "json")

    def run(*arguments: str, code: int = 0, **environment: str) -> Any:
        done = grid(*arguments, **environment)
        assert done.code == code, (arguments, done.out, done.err)
        return done.json if "json" in arguments else done.out

    run("login", pair.domain.url, "--email", OWNER, GRID_PASSWORD=PASSWORD)
    made = run("users", "create", "zoe@x.org", *url, *as_json, GRID_NEW_PASSWORD=PASSWORD)
    assert (made["email"], made["role"]) == ("zoe@x.org", "User")
    run("roles", "create", "Steward", "--may", "upload_data", *url)
    assert run("roles", "update", "Steward", "--may-nothing", *url, *as_json)["may"] == []
    run("users", "update", "zoe@x.org", "--role", "Steward", *url)
    run("roles", "delete", "Steward", *url, code=5)
    group = run("groups", "create", "ward", "--user", "zoe@x.org", "--may", "triage_requests", *url, *as_json)
    assert (group["users"], group["may"]) == ([made["id"]], ["triage_requests"])
    shown = run("users", "show", "zoe@x.org", *url, *as_json)
    assert (shown["flags"], shown["groups"]) == (["can_triage_requests"], ["ward"])
    assert "zoe@x.org" in run("users", "list", "--group", "ward", *url)
    assert run("groups", "update", "ward", "--remove", "zoe@x.org", *url, *as_json)["users"] == []
    run("groups", "update", "ward", "--add", "zoe@x.org", "--name", "station", *url)
    run("groups", "delete", "station", *url)
    assert "There are no groups." in run("groups", "list", *url)
    zoe = log_in(pair.domain, "zoe@x.org")
    (session,) = run("users", "sessions", "zoe@x.org", *url, *as_json)
    run("users", "end-session", "zoe@x.org", session["id"], *url)
    with pytest.raises(NotLoggedIn):
        _ = zoe.me
    run("login", pair.domain.url, "--email", OWNER, GRID_PASSWORD=PASSWORD)
    run("users", "update", "zoe@x.org", "--disable", "--no-groups", *url)
    run("users", "update", "zoe@x.org", *url, code=2)
    run("users", "reset-totp", "zoe@x.org", *url)
    run("users", "revoke", "zoe@x.org", *url)
    assert run("users", "sessions", "zoe@x.org", *url, *as_json) == []
    run("users", "delete", "zoe@x.org", *url)
    run("users", "show", "zoe@x.org", *url, code=4)
    run("roles", "delete", "Steward", *url)
    assert "Owner" in run("roles", "list", *url)

    assert run("settings", "set", "--session-lifetime", "3600", *url, *as_json)["session_lifetime"] == 3600
    assert "session lifetime" in run("settings", "show", *url)
    assert run("dashboard", *url, *as_json)["users"] == 1
    assert run("me", "show", *url, *as_json)["email"] == OWNER
    key = run("me", "keys", "register", str(tmp_path / "k"), *url, *as_json, GRID_PASSWORD=PASSWORD)
    assert Identity.load_or_create(tmp_path / "k").verify_key == key["verify_key"]
    assert key["verify_key"] in run("me", "keys", "list", *url)
    run("me", "keys", "remove", key["verify_key"], *url)
    run("login", pair.domain.url, "--email", OWNER, GRID_PASSWORD=PASSWORD)
    before = run("me", "sessions", "list", *url, *as_json)
    other = next(each["id"] for each in before if not each["current"])
    run("me", "sessions", "end", other, *url)
    after = {each["id"] for each in run("me", "sessions", "list", *url, *as_json)}
    assert after == {each["id"] for each in before} - {other}

    enrolment = run("me", "totp", "enrol", *url, *as_json, GRID_PASSWORD=PASSWORD)
    device = TOTP(b32decode(enrolment["secret"]), 6, SHA1(), 30)
    code = device.generate(pair.domain.node.clock.now()).decode()
    codes = [each["recovery_code"] for each in run("me", "totp", "confirm", code, *url, *as_json)]
    run("login", pair.domain.url, "--email", OWNER, code=3, GRID_PASSWORD=PASSWORD)
    run("login", pair.domain.url, "--email", OWNER, GRID_PASSWORD=PASSWORD, GRID_TOTP=codes[0])
    run("me", "totp", "remove", *url, code=2, GRID_PASSWORD=PASSWORD)
    renewed = run("me", "totp", "codes", codes[1], *url, *as_json, GRID_PASSWORD=PASSWORD)
    code = renewed[0]["recovery_code"]
    run("me", "totp", "remove", *url, GRID_PASSWORD=PASSWORD, GRID_TOTP=code)
    run("me", "email", "boss@hospital.org", *url, GRID_PASSWORD=PASSWORD)
    run("me", "email", OWNER, *url, GRID_PASSWORD=PASSWORD)
    run("me", "password", *url, GRID_PASSWORD=PASSWORD, GRID_NEW_PASSWORD=PASSWORD)


def test_the_owners_lost_device_is_forgotten_where_the_node_lives(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(sqlite_template, home / "node.db")

    def served() -> ServedNode:
        return ServedNode(build_domain(home, DomainSettings(name="hospital")))

    node = build_domain(home, DomainSettings(name="hospital"))
    assert bootstrap_owner(node, OWNER, PASSWORD)
    node.stop()
    with served() as running:
        enrolment = log_in(running).me.enrol_totp(PASSWORD)
        device = TOTP(b32decode(enrolment.secret), 6, SHA1(), 30)
        enrolment.confirm(device.generate(running.node.clock.now()).decode())
    assert grid("users", "reset-totp", "nobody@x.org", "--home", str(home)).code == 4
    assert grid("users", "reset-totp", OWNER, "--home", str(home)).code == 0
    with served() as running:
        sy.forget_node(running.url)
        assert not log_in(running).me.totp
