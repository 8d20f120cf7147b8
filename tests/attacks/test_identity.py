"""Holes 1 to 4 and 9 of the original PyGrid: who one is, and what one may do without being anybody."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from typing import Any

import jwt
import pytest

from syft_ext.identity import Identity
from syft_ext.messages import operations
from syft_ext.messages.envelope import frame_head

from .site import OWNER, PASSWORD, STRANGER, Site, Someone

REFUSED = {"unauthenticated", "invalid-token"}
pytestmark = pytest.mark.usefixtures("unchanged")


def forged(site: Site) -> dict[str, str]:
    """Tokens that say that the caller is the owner."""
    node = site.domain.node
    now = time.time()
    claims: dict[str, Any] = jwt.decode(site.owner.token, options={"verify_signature": False})
    claims |= {"exp": now + 3600, "id": 1}
    claims.pop("cnf", None)
    mine = Identity.generate()
    public = node.identity.public_pem()

    def unsigned(header: dict[str, str], key: bytes) -> str:
        parts = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)
        ]
        signature = hmac.new(key, b".".join(parts), hashlib.sha256).digest() if key else b""
        return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()

    return {
        "PyGrid's constant secret": unsigned(
            {"alg": "HS256", "typ": "JWT"}, b"justasecretkeythatishouldputhere"
        ),
        "the public key as a shared secret": unsigned({"alg": "HS256", "typ": "JWT"}, public),
        "no signature": unsigned({"alg": "none", "typ": "JWT"}, b""),
        "the attacker's key": jwt.encode(claims, mine.private_pem(), algorithm="EdDSA"),
        "another node's token": site.log_in(OWNER, node=site.network).token,
    }


def test_hole_01_forged_and_foreign_tokens_are_worth_nothing(site: Site) -> None:
    for name, token in forged(site).items():
        thief = Someone("", token, Identity.generate())
        codes = site.every_way("users.list", "GET", "/users", {}, thief)
        assert set(codes) == {"invalid-token"}, name
    assert site.every_way("users.list", "GET", "/users", {}, site.owner) == ["ok"] * 3  # the way is right


def test_hole_02_identity_in_the_body_is_ignored(site: Site) -> None:
    claim = {"current_user": 1, "user_id": site.owner.id, "sender": site.domain.node.id}
    for who, code in ((STRANGER, "unauthenticated"), (site.eve, "forbidden")):
        for extra in (claim, {"current_user": site.owner.id}):
            assert set(site.every_way("users.create", "POST", "/users", extra, who)) == {code}
            assert site.event("users.list", extra, who).code == code
            assert site.message("users.list", extra, who).code == code
    # Who may call is told that there is no such field, and is nobody else by it.
    for way in (site.event, site.message):
        assert way("users.me", {"current_user": 1}, site.eve).code == "bad-request"
        assert way("users.me", {}, site.eve).json["id"] == site.eve.id
    headers = {"X_User": site.owner.id, "X_Forwarded_User": OWNER, "Cookie": f"token={site.owner.token}"}
    assert site.rest("GET", "/users", **headers).code == "unauthenticated"


def test_hole_02_a_message_signed_for_somebody_else_is_refused(site: Site) -> None:
    request = site.seal("users.list", {}, site.eve)
    request.token = site.owner.token  # stolen: it is bound to the owner's key
    request.sign(site.eve.identity)
    assert site.send(frame_head(request)).code == "invalid-token"
    request = site.seal("users.list", {}, site.eve)
    request.sender = site.owner.identity.verify_key  # the owner's key, Eve's signature
    assert site.send(frame_head(request)).code == "bad-signature"


def test_hole_03_no_private_key_is_stored_or_handed_out(site: Site) -> None:
    people = (site.owner, site.ann, site.eve)
    secrets = [bytes(who.identity._signing_key) for who in people]
    own = bytes.fromhex((site.home / "node.key").read_text().strip())
    answers = [
        site.rest("GET", path, who=site.owner).body
        for path in (
            "/users",
            "/users/me",
            f"/users/{site.ann.id}",
            "/settings",
            "/metadata",
            "/setup/status",
        )
    ]
    answers += [site.rest("POST", "/search", {}, site.owner).body, site.rest("GET", "/openapi.json").body]
    login = {"email": OWNER, "password": PASSWORD}
    session = site.rest("POST", "/auth/login", login)
    answers.append(session.body)
    assert (
        site.rest("POST", "/auth/logout", who=Someone("", session.json["token"], Identity.generate())).status
        == 204
    )
    for answer in answers:
        assert not re.search(rb'"(private|signing|secret)_?key"', answer)
        for secret in (*secrets, own):
            assert secret not in answer and secret.hex().encode() not in answer.lower()
        assert b"$argon2" not in answer
    files = [path for path in site.home.rglob("*") if path.is_file() and path.name != "node.key"]
    assert len(files) > 2
    for path in files:
        content = path.read_bytes()
        for secret in (*secrets, own):
            assert secret not in content and secret.hex().encode() not in content, path
    assert (site.home / "node.key").stat().st_mode & 0o077 == 0


def test_hole_04_the_set_up_is_done_once_for_ever(site: Site) -> None:
    mine = {"email": "mallory@x.org", "password": "a pass phrase of mine"}
    for node in (site.network, site.domain):
        for who in (STRANGER, site.eve if node is site.domain else STRANGER):
            assert site.rest("POST", "/setup", mine, who, node=node).code == "conflict"
            assert site.event("setup.create_owner", mine, who, node=node).code == "conflict"
            assert site.message("setup.create_owner", mine, who, node=node).code == "conflict"
        assert site.rest("POST", "/auth/login", mine, node=node).code == "unauthenticated"
        owner = site.log_in(OWNER, node=node)
        emails = [user["email"] for user in site.rest("GET", "/users", who=owner, node=node).json["users"]]
        assert "mallory@x.org" not in emails and OWNER in emails
        assert site.rest("POST", "/auth/logout", who=owner, node=node).status == 204


#: What anybody may call without being anybody: to know the node, to become somebody, to join a training.
OPEN = {
    "node.metadata",
    "setup.status",
    "setup.create_owner",
    "auth.login",
    "users.sign_up",
    "federated.authenticate",
    "confidential.policy",  # whoever has its digest: key hosts and participants compare what is behind it
    # A history that everybody compares has to be told to everybody.
    *(f"confidential.log_{word}" for word in ("head", "entries", "inclusion", "consistency")),
    "invitations.attendance",  # to guests: strangers do not hear whether there is such a training
    "network.locate",  # to who has a Domain's key, or its whole name
    "federated.definition",  # to who may take part: for strangers it is not there
    "federated.definition_file",
}


def test_hole_09_nothing_but_the_way_in_is_open_to_strangers(site: Site) -> None:
    for node in (site.domain, site.network):
        for spec in node.node.map.operations():
            if spec.name in OPEN:
                continue
            path = spec.path.replace("{version}", "1").replace("{", "").replace("}", "")
            body = {} if spec.method in ("POST", "PUT", "PATCH") and not spec.uploads else None
            answer = site.rest(spec.method, path, body, node=node)
            assert answer.status == 401, (spec.name, answer.body)
            assert site.event(spec.name, {}, node=node).status == 401, spec.name
            if spec.permission.kind != "signed":
                assert site.message(spec.name, {}, node=node).status == 401, spec.name
    assert {"federated.host", "federated.retrieve_model", "objects.list"} <= set(operations()) - OPEN


def test_hole_09_the_handshake_cannot_be_guessed(site: Site) -> None:
    hello = {"kind": "worker", "name": "mallory", "address": "", "challenge": b"0" * 32}
    seen = set()
    for _ in range(5):
        answer = site.message("associations.receive", hello)
        assert answer.status == 200, answer.body
        seen.add(answer.json["challenge"])
        for proof in (b"", b"0" * 64, base64.b64decode(answer.json["challenge"])):
            confirm = {"handshake_id": answer.json["handshake_id"], "proof": proof}
            assert site.message("associations.confirm", confirm).status in (400, 401, 404)
    assert len(seen) == 5 and all(len(base64.b64decode(challenge)) == 32 for challenge in seen)
    assert site.rest("GET", "/associations", who=site.owner).json["associations"] == []
    assert site.message("associations.heartbeat", {"name": "mallory", "version": "1"}).status == 401
