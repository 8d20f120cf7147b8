"""Tokens: short-lived, signed with the node's own key, valid at this node only (JWT, RFC 7519, EdDSA)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jwt

from syft_ext.clock import Clock
from syft_ext.errors import InvalidToken
from syft_ext.identity import Identity
from syft_ext.ids import new_id

__all__ = ["Tokens"]

ALGORITHM = "EdDSA"


class Tokens:
    """Issues and verifies this node's tokens. Revocation is the business of whoever issued one (``jti``)."""

    def __init__(self, identity: Identity, clock: Clock) -> None:
        self._node_id = identity.node_id
        self._private, self._public = identity.private_pem(), identity.public_pem()
        self._clock = clock
        # A signature that was good stays good; what can change (time, revocation) is asked every time.
        self._signed_claims = lru_cache(maxsize=4096)(self._check_signature)

    def issue(
        self, kind: str, subject: str, lifetime: float, *, key: str = "", **claims: Any
    ) -> tuple[str, dict[str, Any]]:
        """A token for ``subject`` and its claims.

        Args:
            kind: "user", "worker" or "node": which service vouches for it when it comes back.
            lifetime: seconds until it expires.
            key: verify key that must sign every message carrying this token, if the token is bound to one.
        """
        now = self._clock.now()
        payload = {
            **claims,
            "iss": self._node_id,
            "aud": self._node_id,
            "sub": subject,
            "typ": kind,
            "jti": new_id(),
            "iat": now,
            "exp": now + lifetime,
        }
        if key:
            payload["cnf"] = key
        return jwt.encode(payload, self._private, algorithm=ALGORITHM), payload

    def verify(self, token: str, *, signed_by: str = "") -> dict[str, Any]:
        """The claims of a token of this node; ``signed_by`` is the key of the message that carries it.

        A token bound to a key is good only in messages signed by that key, and in REST calls over the same
        login (which carry no signature): ``signed_by`` is empty there.
        """
        claims = dict(self._signed_claims(token))
        if not isinstance(claims["exp"], int | float) or claims["exp"] <= self._clock.now():
            raise InvalidToken("the token has expired; log in again")
        if signed_by and claims.get("cnf") not in (None, signed_by):
            raise InvalidToken("the token belongs to another key")
        return claims

    def _check_signature(self, token: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._public,
                algorithms=[ALGORITHM],
                audience=self._node_id,
                issuer=self._node_id,
                # Expiry is checked below, against the node's own (injected) clock.
                options={
                    "require": ["exp", "sub", "typ", "jti"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise InvalidToken("the token was not issued by this node or was changed") from error
        return claims
