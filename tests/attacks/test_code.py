"""Holes 10 and 12 and the public notes on code execution: what a node says, and what it runs."""

from __future__ import annotations

import base64
import io
import json
import pickle
import traceback
import zipfile
from pathlib import Path

import pytest

from grid.node import Context
from syft_ext.messages import Message, Reply
from tests.web.wire import Wire

from .site import STRANGER, Answer, Site

pytestmark = pytest.mark.usefixtures("unchanged")


def leaks(site: Site, body: bytes) -> list[str]:
    """Whatever of the node's inside a body shows."""
    text = body.decode(errors="replace")
    code = [
        str(Path(traceback.__file__).parent),
        "Traceback",
        'File "',
        ".py",
        "site-packages",
        "sqlalchemy",
        "psycopg",
    ]
    return [word for word in [str(site.root), *code, "SELECT ", "password_hash"] if word in text]


BROKEN = [
    ("POST", "/users", b"{"),
    ("POST", "/users", b"\xff\xfe"),
    ("POST", "/users", b'{"email": {}}'),
    ("POST", "/auth/login", b"[" * 100_000),
    ("POST", "/auth/login", b'{"email": "x@y", "password": 1e999}'),
    ("GET", "/objects/%00", None),
    ("GET", "/objects?limit=abc&offset=-1", None),
    ("GET", "/users?limit=99999999999999999999999", None),
    ("POST", "/objects?kind=tensor", b"not a tensor"),
    ("POST", "/federated/processes", b'{"name": "x", "version": "1", "client_plans": {"p": "AAAA"}}'),
    ("PATCH", "/uploads/x", b"x"),
    ("DELETE", "/roles/99999999999999999999", None),
    ("GET", "/nothing/here", None),
    ("PUT", "/users", b"{}"),
]


def test_hole_10_errors_say_nothing_of_the_inside(site: Site) -> None:
    for who in (STRANGER, site.eve, site.owner):
        for method, path, body in BROKEN:
            answer = site.rest(method, path, body, who, Content_Type="application/json")
            assert 400 <= answer.status < 500, (method, path, answer.status, answer.body)
            assert leaks(site, answer.body) == [], answer.body
    with Wire(site.domain.url) as wire:
        wire.send(b"GET /\x00\xff HTTP/9.9\r\n\r\n")
        assert leaks(site, wire.file.read()) == []
    for body in (b"", b"\xc1", b"\x91" * 50_000, b"\x81\xa5email\xc1"):
        answer = site.message("users.create", body, site.owner)
        assert answer.code == "bad-request" and leaks(site, answer.body) == []


def test_hole_10_nor_does_a_failure_of_the_node_itself(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(ctx: Context, message: Message) -> Reply:
        raise RuntimeError(f"SELECT password_hash FROM users -- {site.root}")

    handlers = site.domain.node.map._handlers
    monkeypatch.setitem(handlers, "users.me", (handlers["users.me"][0], fail))
    answers: list[Answer] = [
        site.rest("GET", "/users/me", who=site.eve),
        site.event("users.me", {}, site.eve),
        site.message("users.me", {}, site.eve),
    ]
    for answer in answers:
        assert answer.status == 500 and answer.code == "internal"
        assert leaks(site, answer.body) == [], answer.body


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.write_text, (self.path, "executed"))


def payloads(path: Path) -> dict[str, bytes]:
    """Pickles as PyGrid took them: bare, as torch.save wraps them, and as a TorchScript archive."""
    bare = pickle.dumps(Bomb(path))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", bare)
        file.writestr("archive/version", "3")
    script = io.BytesIO()
    with zipfile.ZipFile(script, "w") as file:
        file.writestr("model/data.pkl", bare)
        file.writestr("model/code/__torch__.py", f"open({str(path)!r}, 'w').write('executed')")
        file.writestr("model/constants.pkl", bare)
    return {"pickle": bare, "torch.save": archive.getvalue(), "TorchScript": script.getvalue()}


def test_hole_12_pickles_and_scripts_are_never_loaded(site: Site, tmp_path: Path) -> None:
    """Also CVE-2026-31220 and PySyft #2421, #2432: code in what is uploaded."""
    marker = tmp_path / "executed"
    pickle.loads(pickle.dumps(Bomb(marker)))
    assert marker.exists()
    marker.unlink()
    for name, bomb in payloads(marker).items():
        # What is kept as a plan is bytes until it is hosted or run, which is where it is read.
        for kind in ("tensor", "tensors", "list"):
            assert site.rest("POST", f"/objects?kind={kind}", bomb, site.ann).status in (400, 413), (
                name,
                kind,
            )
        training = {"name": "bomb", "version": "1", "client_plans": {"p": bomb}, "client_protocols": {}}
        assert site.message("federated.host", training, site.owner).status == 400, name
        text = {**training, "client_plans": {"p": base64.b64encode(bomb).decode()}}
        assert site.rest("POST", "/federated/processes", text, site.owner).status == 400, name
        assert (
            site.rest(
                "POST",
                "/federated/processes",
                {**text, "averaging_plan": text["client_plans"]["p"]},
                site.owner,
            ).status
            == 400
        )
        for operation in ("users.list", "federated.report", "objects.put", "auth.login"):
            assert site.message(operation, bomb, site.owner).status in (400, 403), name
        assert site.rest("POST", "/users", bomb, site.owner, Content_Type="application/json").status == 400
        assert site.send_raw(bomb).code == "invalid-envelope"
    assert not marker.exists()


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "__class__.__mro__", "syft_ext.identity.Identity"]
)
def test_hole_12_names_in_messages_are_never_looked_up(site: Site, name: str) -> None:
    for way in (site.event, site.message):
        assert way(name, {"args": ["true"]}, site.owner).code == "not-found"
    for field in ("obj_type", "__type__", "type", "__class__", "py/object"):
        body = {field: name, "email": "x@y.org", "password": "a long pass phrase"}
        assert site.message("users.create", body, site.owner).code == "bad-request"
        assert (
            site.rest(
                "POST", "/users", json.dumps(body).encode(), site.owner, Content_Type="application/json"
            ).code
            == "bad-request"
        )
    training = {"name": "x", "version": "1", "client_plans": {}, "server_config": {"strategy": name}}
    assert site.message("federated.host", training, site.owner).status == 400
