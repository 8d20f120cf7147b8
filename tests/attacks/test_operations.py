"""Holes 13 to 15 of the original PyGrid: secrets in clear and open doors, nothing ends, settings for show."""

from __future__ import annotations

import ast
import secrets
import stat
from pathlib import Path

import msgspec
import pytest
import urllib3
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from grid.federated.hosting.config import ServerConfig
from grid.governance.decisions.tables import RequestRule
from syft_ext.messages.accounts import SettingsView
from syft_ext.messages.envelope import frame_head
from syft_ext.messages.policy import CyclePolicy, SitePolicy

from .site import PASSWORD, Site, Someone

ROOT = Path(__file__).resolve().parents[2]
HTTP = urllib3.PoolManager(retries=False)


def kept(site: Site) -> bytes:
    """All bytes of the Domain's home but its own key: what a thief of the disk's copy would read."""
    files = [path for path in site.home.rglob("*") if path.is_file() and path.name != "node.key"]
    return b"".join(path.read_bytes() for path in files)


def test_hole_13_secrets_are_sealed_and_never_shown(site: Site) -> None:
    secret, password = secrets.token_hex(24), "a password that nobody else has"
    assert (
        site.rest(
            "POST", "/users", {"email": "dan@x.org", "password": password, "role": "User"}, site.owner
        ).status
        == 201
    )
    config = {"num_cycles": 1, "max_diffs": 1, "authentication": {"secret": secret}}
    made = {"name": "sealed", "version": "1", "client_plans": {}, "server_config": config}
    hosted = site.rest("POST", "/federated/processes", made, site.ann)
    assert hosted.status == 201, hosted.body
    totp = site.rest("POST", "/users/me/totp", {"password": PASSWORD}, site.eve)
    assert totp.status in (200, 201), totp.body
    seed = totp.json["secret"]
    home = kept(site)
    for what, name in ((secret, "a training's secret"), (password, "a password"), (seed, "a one-time seed")):
        assert what.encode() not in home, name
    assert site.owner.token.encode() not in home, "a session's token"
    shown = [
        site.rest("GET", path, who=site.owner).body
        for path in (
            "/settings",
            "/users",
            f"/federated/processes/{hosted.json['process_id']}",
            "/federated/processes",
            "/audit?limit=1000",
            "/metadata",
            "/dashboard",
        )
    ]
    for body in (*shown, hosted.body):
        assert secret.encode() not in body and seed.encode() not in body and password.encode() not in body


def test_hole_13_files_are_the_owners_alone(site: Site) -> None:
    for path in (site.home, site.home / "node.key", *site.home.glob("node.db*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path.name


def test_hole_13_no_other_origin_is_let_in(site: Site) -> None:
    evil = {"Origin": "https://evil.example", "Authorization": f"Bearer {site.owner.token}"}
    for method, path in (("GET", "/users"), ("POST", "/search")):
        preflight = {**evil, "Access-Control-Request-Method": method}
        for answer in (
            HTTP.request(
                method, site.domain.url + path, headers=evil, body=b"{}" if method == "POST" else None
            ),
            HTTP.request("OPTIONS", site.domain.url + path, headers=preflight),
        ):
            found = {name.lower() for name in answer.headers}
            assert not {name for name in found if name.startswith("access-control-")}, answer.headers
    for path in ("/ws", "/messages"):
        with pytest.raises(InvalidStatus) as caught:
            connect(site.domain.url.replace("http", "ws", 1) + path, origin="https://evil.example")  # type: ignore[arg-type]
        assert caught.value.response.status_code == 403


def test_hole_14_what_has_ended_has_ended_on_every_way_in(site: Site) -> None:
    for end in ("logout", "password", "disabled"):
        dan = site.add_user(f"{end}@x.org", "User")
        assert site.every_way("users.me", "GET", "/users/me", {}, dan) == ["ok"] * 3
        if end == "logout":
            assert site.rest("POST", "/auth/logout", {}, dan).status in (200, 204)
        elif end == "password":
            change = {"password": "another long password"}
            assert site.rest("PATCH", f"/users/{dan.id}", change, site.owner).status == 200
        else:
            assert site.rest("PATCH", f"/users/{dan.id}", {"disabled": True}, site.owner).status == 200
        codes = site.every_way("users.me", "GET", "/users/me", {}, dan)
        assert set(codes) <= {"invalid-token", "unauthenticated"}, (end, codes)


def test_hole_14_a_token_ends_by_itself(site: Site) -> None:
    lifetime = site.rest("GET", "/settings", who=site.owner).json["session_lifetime"]
    assert 0 < lifetime <= 24 * 3600
    assert site.rest("PATCH", "/settings", {"session_lifetime": 60.0}, site.owner).status == 200
    dan = site.add_user("short@x.org", "User")
    claims = site.domain.node.tokens.verify(dan.token, signed_by=dan.identity.verify_key)
    assert claims["exp"] - claims["iat"] == 60.0
    assert site.rest("PATCH", "/settings", {"session_lifetime": lifetime}, site.owner).status == 200


def test_hole_14_a_message_is_taken_once(site: Site) -> None:
    request = site.seal("users.me", {}, site.eve)
    frame = frame_head(request)
    assert site.send(frame).status == 200
    assert site.send(frame).code == "replayed-message"
    request = site.seal("users.me", {}, site.eve)
    request.issued_at -= 3600.0
    request.sign(site.eve.identity)
    assert site.send(frame_head(request)).code == "expired-message"


def test_hole_14_guessing_is_slowed_down(site: Site) -> None:
    codes = [
        site.rest("POST", "/auth/login", {"email": "ann@x.org", "password": f"guess {n}"}).code
        for n in range(12)
    ]
    assert codes[0] == "unauthenticated" and codes[-1] == "too-many-requests"
    assert site.rest("POST", "/auth/login", {"email": "ann@x.org", "password": PASSWORD}).status == 429


def test_hole_14_attempts_are_on_record(site: Site) -> None:
    mallory = Someone(site.eve.id, site.eve.token, site.eve.identity)
    assert site.rest("POST", "/users", {"email": "m@x.org", "password": PASSWORD}, mallory).status == 403
    assert site.rest("GET", f"/objects/{site.secret}/content", who=mallory).status == 404
    entries = site.audited(actor=site.eve.id, limit="100")
    found = {(entry["operation"], entry["outcome"]) for entry in entries}
    assert {("users.create", "forbidden"), ("objects.get", "not-found")} <= found
    report = site.rest("GET", "/audit/verification", who=site.owner)
    assert report.status == 200 and report.json["intact"], report.body


def loaded() -> dict[str, set[str]]:
    """Attribute → the modules of the platform that read it (``x.name``) or name it in a text (``"name"``)."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "packages").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = None
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                name = node.attr
            if name:
                found.setdefault(name, set()).add(str(path.relative_to(ROOT / "packages")))
    return found


#: Where what people set is applied: a field that is read only where it is declared, stored or shown acts nowhere.
SHOWN_ONLY = {
    "grid/governance/rule_book.py",
    "grid/governance/grants.py",
    "grid/governance/policy_service.py",
    "grid/accounts/user_views.py",
}


CONDITIONS = ("expires_at", "uses_left", "max_output_bytes", "revoked_at")


def test_hole_15_nothing_that_can_be_set_is_decoration() -> None:
    readers = loaded()
    fields = {
        "settings": SettingsView.__struct_fields__,
        "policy": SitePolicy.__struct_fields__,
        "policy of a cycle": CyclePolicy.__struct_fields__,
        "training": ServerConfig.__struct_fields__,
        "rule": tuple(column.name for column in RequestRule.__table__.columns),
        "grant": ("scope", "user_id", "object_id", *CONDITIONS),
    }
    for what, names in fields.items():
        for name in names:
            where = readers.get(name, set()) - SHOWN_ONLY
            where = {
                path for path in where if not path.startswith(("syft_ext/messages/", "syft_ext/client/"))
            }
            assert where, f"nothing applies {name} of a {what}"


CONSENT = [f"tests/federated/consent/test_{name}.py" for name in ("reviews", "participants", "reading")]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (SettingsView.__struct_fields__, ["tests/accounts/test_setup.py", "tests/accounts/test_totp.py"]),
        (SitePolicy.__struct_fields__, ["tests/governance/test_policy.py", *CONSENT]),
        (
            ServerConfig.__struct_fields__,
            [
                str(path)
                for room in ("federated", "secure_aggregation", "confidential_training")
                for path in sorted((ROOT / "tests" / room).rglob("*.py"))
            ],
        ),
        (
            tuple(f.name for f in msgspec.structs.fields(SitePolicy)),
            ["tests/governance/test_policy.py", "tests/federated/cycles/test_policy.py", *CONSENT],
        ),
    ],
)
def test_hole_15_a_test_shows_each_to_act(fields: tuple[str, ...], shown: list[str]) -> None:
    text = "".join((ROOT / path).read_text() for path in shown)
    assert [name for name in fields if name not in text] == []
