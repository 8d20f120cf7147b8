"""Every field of the configurations acts as named or is refused with its name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from grid.federated.hosting.authentication import Authenticator
from grid.federated.hosting.config import ClientConfig, ServerConfig
from grid.outgoing.endpoints import TrustedEndpoints
from syft_ext.errors import InvalidConfig, InvalidToken, Unavailable

LISTING_6 = {
    "num_cycles": 30,
    "cycle_length": 60 * 60 * 24,
    "max_diffs": 1,
    "minimum_upload_speed": 0,
    "minimum_download_speed": 0,
    "iterative_plan": True,
}


def test_the_papers_configuration_is_understood() -> None:
    config = ServerConfig.parse(LISTING_6)
    assert (config.num_cycles, config.goal, config.cap) == (30, 1, 2)
    assert not config.requires_speed_test, "a minimum of 0 asks for nothing"
    client = ClientConfig.parse({"name": "mnist", "version": "1.0", "batch_size": 64, "lr": 0.01})
    assert client.values["batch_size"] == 64


@pytest.mark.parametrize(
    ("values", "goal", "cap"),
    [
        ({"max_diffs": 100}, 100, 130),
        ({"max_diffs": 100, "max_workers": 100}, 100, 100),
        ({"min_diffs": 3}, 3, 4),
        ({}, 1, 2),
        ({"cycle_length": 60}, None, 100_000),
        ({"cycle_length": 60, "max_workers": 7}, 7, 7),
        ({"max_diffs": 2, "min_workers": 9}, 2, 9),
    ],
)
def test_goal_and_cap(values: dict[str, Any], goal: int | None, cap: int) -> None:
    config = ServerConfig.parse(values)
    assert (config.goal, config.cap) == (goal, cap)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("num_cycles", {"num_cycles": -1}),
        ("num_cycles", {"num_cycles": "three"}),
        ("num_cycles", {"num_cycles": 1.5}),
        ("cycle_length", {"cycle_length": 0}),
        ("cycle_length", {"cycle_length": float("nan")}),
        ("max_diffs", {"max_diffs": 0}),
        ("min_diffs", {"min_diffs": 3, "max_diffs": 2}),
        ("min_workers", {"min_workers": 5, "max_workers": 4}),
        ("min_diffs", {"min_diffs": 5, "max_workers": 4, "cycle_length": 9}),
        ("max_diffs", {"max_diffs": 5, "max_workers": 4}),
        ("pool_selection", {"pool_selection": "fastest"}),
        ("do_not_reuse_workers_until_cycle", {"do_not_reuse_workers_until_cycle": -1}),
        ("minimum_upload_speed", {"minimum_upload_speed": -2}),
        ("max_extensions", {"max_extensions": 2}),
        ("weighting", {"weighting": "rows"}),
        ("assignment_timeout", {"assignment_timeout": 0}),
        ("colour", {"colour": "red"}),
        ("authentication", {"authentication": {}}),
        ("authentication", {"authentication": {"secret": "a", "pub_key": "b"}}),
        ("authentication.secret", {"authentication": {"secret": ""}}),
        ("authentication.pub_key", {"authentication": {"pub_key": "nonsense"}}),
        ("authentication.endpoint", {"authentication": {"endpoint": "file:///etc/passwd"}}),
        ("authentication.endpoint", {"authentication": {"endpoint": "http://[bad"}}),
        ("is_secret_encoded", {"authentication": {"secret": "a", "is_secret_encoded": True}}),
        ("authentication.type", {"authentication": {"type": "oauth", "secret": "a"}}),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig) as caught:
        ServerConfig.parse(values)
    assert caught.value.extra["field"] == field
    assert field.split(".")[-1] in caught.value.detail


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("name", {"version": "1"}),
        ("version", {"name": "a", "version": 1.0}),
        ("name", {"name": "", "version": "1"}),
        ("name", {"name": "a\nb", "version": "1"}),
        ("", {"name": "a", "version": "1", "x": object()}),
        ("", {"name": "a", "version": "1", "x": "y" * 70_000}),
    ],
)
def test_client_config_refusals(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig) as caught:
        ClientConfig.parse(values)
    assert caught.value.extra["field"] == field


def test_answers_do_not_show_the_secret() -> None:
    config = ServerConfig.parse({"authentication": {"type": "jwt", "secret": "hush"}})
    assert "hush" not in repr(config.public())
    assert config.public()["authentication"]["secret"] == "…"


def _pem(key: Any) -> str:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def _authenticator(**values: Any) -> Authenticator:
    listed = TrustedEndpoints([values["endpoint"]] if "endpoint" in values else [])
    return Authenticator(ServerConfig.parse({"authentication": values}).authentication, listed)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_shared_secret() -> None:
    check = _authenticator(secret="abc").check
    assert check(jwt.encode({"sub": "ana"}, "abc", "HS256")) == "ana"
    assert check(jwt.encode({}, "abc", "HS256")) is None
    for token in (
        None,
        "",
        "garbage",
        jwt.encode({}, "other", "HS256"),
        jwt.encode({}, "abc", "HS512"),
        jwt.encode({"exp": 1}, "abc", "HS256"),
        jwt.encode({}, "", "none"),
        "a" * 20_000,
    ):
        with pytest.raises(InvalidToken):
            check(token)


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_public_key_fixes_the_algorithm(kind: str) -> None:
    key: Any = (
        rsa.generate_private_key(65537, 2048) if kind == "rsa" else ed25519.Ed25519PrivateKey.generate()
    )
    algorithm = "RS256" if kind == "rsa" else "EdDSA"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    check = _authenticator(type="jwt", pub_key=_pem(key)).check
    assert check(jwt.encode({"sub": "7"}, private, algorithm)) == "7"
    # The classic confusion: a token signed by HMAC with the (public) key as the secret.
    header_and_body = jwt.encode({"sub": "7"}, "x" * 64, "HS256")
    with pytest.raises(InvalidToken):
        check(header_and_body)


def test_weak_or_foreign_public_keys_are_refused() -> None:
    for key in (rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP256R1())):
        with pytest.raises(InvalidConfig):
            ServerConfig.parse({"authentication": {"pub_key": _pem(key)}})


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[bytes]]]:
    """A real server that accepts the token ``good``, sends ``moved`` away and fails on ``broken``."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append(body)
            status = 200 if b'"good"' in body else 302 if b'"moved"' in body else 403
            self.send_response(500 if b'"broken"' in body else status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/check", bodies
    server.shutdown()
    thread.join()
    server.server_close()


def test_endpoint_decides(endpoint: tuple[str, list[bytes]]) -> None:
    url, bodies = endpoint
    check = _authenticator(endpoint=url).check
    assert check("good") is None
    assert bodies == [b'{"auth_token":"good"}']
    for token in ("bad", "moved"):
        with pytest.raises(InvalidToken):
            check(token)
    assert len(bodies) == 3, "a redirection is a refusal, and is not followed"
    with pytest.raises(Unavailable):
        check("broken")


def test_an_endpoint_that_is_down_is_an_outage_not_a_refusal() -> None:
    with pytest.raises(Unavailable):
        _authenticator(endpoint="http://127.0.0.1:9/check").check("good")
