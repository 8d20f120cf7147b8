"""Who may take part in a training: tokens of workers, checked as the training's host configured it.

The algorithm is fixed by the kind of key that was configured (shared secret: HS256; RSA key: RS256; Ed25519
key: EdDSA) and never read from the token, which an attacker writes (RFC 8725, section 3.1).
"""

from __future__ import annotations

import warnings
from typing import Any, Literal
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import AllowedPublicKeys

from grid.outgoing.endpoints import TrustedEndpoints
from syft_ext.errors import Forbidden, InvalidConfig, InvalidToken, Unavailable

__all__ = ["Authentication", "Authenticator", "check_authentication"]

ENDPOINT_TIMEOUT = 5.0
MAX_TOKEN = 16 << 10


class Authentication(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """``secret`` or ``pub_key`` verify a JWT; ``endpoint`` is asked about the token; all given must agree."""

    type: Literal["jwt"] = "jwt"
    secret: str | None = None
    pub_key: str | None = None
    endpoint: str | None = None

    def public(self) -> dict[str, Any]:
        """The configuration without its secret."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values | ({"secret": "…"} if self.secret else {})


def check_authentication(config: Authentication) -> None:
    """Raise :class:`InvalidConfig` when no token could ever be checked with ``config``."""
    if config.secret is None and config.pub_key is None and config.endpoint is None:
        raise _refuse("", "one of secret, pub_key and endpoint is needed")
    if config.secret is not None and config.pub_key is not None:
        raise _refuse("", "secret and pub_key exclude each other: a token has one kind of signature")
    if config.secret == "":
        raise _refuse(".secret", "an empty secret protects nothing")
    if config.pub_key is not None:
        _public_key(config.pub_key)
    if config.endpoint is not None:
        try:
            parts = urlsplit(config.endpoint)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise _refuse(".endpoint", "an http:// or https:// address is needed")


def _no_answer() -> Unavailable:
    return Unavailable("the training's authentication endpoint does not answer")


def _refuse(field: str, reason: str) -> InvalidConfig:
    name = f"authentication{field}"
    return InvalidConfig(f"server_config: {reason} - at `$.{name}`", field=name)


def _public_key(pem: str) -> tuple[AllowedPublicKeys, str]:
    """The key and the one algorithm that it stands for."""
    try:
        key = load_pem_public_key(pem.encode())
    except ValueError as error:
        raise _refuse(".pub_key", "not a public key in PEM form") from error
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < 2048:
            raise _refuse(".pub_key", f"an RSA key of {key.key_size} bits is too short (2048)")
        return key, "RS256"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key, "EdDSA"
    raise _refuse(".pub_key", "an RSA or Ed25519 key is needed")


class Authenticator:
    """Checks tokens against one training's configuration.

    Args:
        endpoints: whom the node's owner lets it ask; without any, no endpoint is asked.
    """

    def __init__(self, config: Authentication | None, endpoints: TrustedEndpoints | None = None) -> None:
        self._config = config
        self._endpoints = endpoints or TrustedEndpoints()

    def check(self, token: str | None) -> str | None:
        """The token's ``sub`` claim, where it is a verified JWT that has one.

        Raises :class:`InvalidToken` when the token is missing or refused, :class:`Unavailable` when the
        endpoint cannot say (an outage of the verifier is not a refusal).
        """
        if self._config is None:
            return None
        if not token:
            raise InvalidToken("this training asks for an auth_token")
        if len(token) > MAX_TOKEN:
            raise InvalidToken(f"an auth_token of {len(token)} characters, limit {MAX_TOKEN}")
        subject = self._verify(token)
        if self._config.endpoint is not None:
            self._ask(self._config.endpoint, token)
        return subject

    def _verify(self, token: str) -> str | None:
        config = self._config
        assert config is not None
        key: AllowedPublicKeys | str
        if config.secret is not None:
            key, algorithm = config.secret, "HS256"
        elif config.pub_key is not None:
            key, algorithm = _public_key(config.pub_key)
        else:
            return None
        try:
            with warnings.catch_warnings():
                # How long the shared secret is was the host's decision, and is not news for each worker.
                warnings.simplefilter("ignore")
                claims = jwt.decode(token, key, algorithms=[algorithm], options={"verify_aud": False})
        except jwt.PyJWTError as error:
            raise InvalidToken(f"the auth_token is refused: {error}") from error
        subject = claims.get("sub")
        return subject if isinstance(subject, str) and subject else None

    def _ask(self, endpoint: str, token: str) -> None:
        body = msgspec.json.encode({"auth_token": token})
        try:
            status = self._endpoints.post_json(endpoint, body, timeout=ENDPOINT_TIMEOUT)
        except (Forbidden, Unavailable) as error:
            raise _no_answer() from error
        if status >= 500:
            raise _no_answer()  # an outage; which one is the host's to find out
        if status != 200:
            raise InvalidToken("the training's authentication endpoint refuses the auth_token")
