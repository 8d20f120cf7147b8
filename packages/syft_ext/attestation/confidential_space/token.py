"""The tokens: how they are signed, and what they claim."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from syft_ext.attestation.certificates import MAX_CHAIN, Window
from syft_ext.attestation.chains import check_chain, check_given_root, public_key
from syft_ext.attestation.companions import Companions
from syft_ext.attestation.confidential_space.policy import IMAGE_DIGEST
from syft_ext.attestation.evidence import Companion, Evidence, Reason, refused
from syft_ext.attestation.jws import Jws, beside_key_set, read_jws
from syft_ext.attestation.texts import moment

__all__ = ["ISSUER", "SignedToken", "SpaceClaims", "read_claims", "read_token", "verify_oidc", "verify_pki"]

ISSUER = "https://confidentialcomputing.googleapis.com"


class Space(msgspec.Struct, frozen=True):
    """``submods.confidential_space``: of the machine's image. A debug image has no support attributes."""

    support_attributes: list[str] | None = None
    monitoring_enabled: dict[str, bool] = {}


class Container(msgspec.Struct, frozen=True):
    """``submods.container``: what runs, and how it was started."""

    image_reference: str
    image_digest: str
    restart_policy: str
    env: dict[str, str] = {}
    args: list[str] = []
    env_override: dict[str, str] | None = None
    cmd_override: list[str] | None = None


class SpaceInstance(msgspec.Struct, frozen=True):
    """``submods.gce``: whose machine it is."""

    project_id: str


class Submodules(msgspec.Struct, frozen=True):
    """``submods``."""

    confidential_space: Space
    container: Container
    gce: SpaceInstance | None = None


class Level(msgspec.Struct, frozen=True):
    """``tdx``: the platform's level, as Google's verifier evaluated it."""

    gcp_attester_tcb_status: str
    gcp_attester_tcb_date: datetime


class SpaceClaims(msgspec.Struct, frozen=True):
    """A token's claims, of the types that the verifier looks at; others are for people."""

    iss: str
    aud: str
    iat: int
    nbf: int
    exp: int
    eat_nonce: str | list[str]
    secboot: bool
    oemid: int
    hwmodel: str
    swname: str
    swversion: list[str]
    dbgstat: str
    submods: Submodules
    tdx: Level | None = None
    google_service_accounts: list[str] = []

    @property
    def nonces(self) -> list[str]:
        """``eat_nonce``, which is one or several."""
        return [self.eat_nonce] if isinstance(self.eat_nonce, str) else self.eat_nonce

    @property
    def version(self) -> int:
        """``swversion`` as a number: it has one part, such as ``250800``.

        Raises:
            EvidenceRefused: ``malformed``.
        """
        if len(self.swversion) == 1 and self.swversion[0].isascii() and self.swversion[0].isdecimal():
            return int(self.swversion[0][:18])
        raise refused(Reason.MALFORMED, "a token whose swversion is no number")


class SignedToken(msgspec.Struct, frozen=True):
    """A token whose signature holds.

    Attributes:
        raw: its claims, all.
        claims: those that are looked at.
        window: when the token and what it rests on are valid.
        leaf: of the certificate that signed it, where one did.
        thumbprint: of the key of a set that signed it, where one did.
    """

    raw: dict[str, Any]
    claims: SpaceClaims
    window: Window
    leaf: tuple[datetime, datetime] | None = None
    thumbprint: bytes | None = None


def read_token(content: bytes) -> Jws:
    """The JWT that these bytes are.

    Raises:
        EvidenceRefused: ``malformed``.
    """
    token = read_jws(content)
    if token.header.get("typ") != "JWT":
        raise refused(Reason.MALFORMED, "a token that is no JWT")
    return token


def verify_pki(evidence: Evidence, roots: Collection[str]) -> SignedToken:
    """The token of ``evidence``, signed under one of ``roots``; the root beside it, if there is one, is the same.

    Raises:
        EvidenceRefused: where it is not.
    """
    token = read_token(evidence.content)
    listed = token.header.get("x5c")
    if not isinstance(listed, list) or not 2 <= len(listed) <= MAX_CHAIN:
        raise refused(Reason.MALFORMED, "a token without its chain of certificates")
    chain = [_certificate(entry) for entry in reversed(listed)]
    check_given_root(chain[0], evidence.beside)
    window = Window()
    leaf = check_chain(chain, roots, window)[-1]
    key = public_key(leaf)
    if not isinstance(key, rsa.RSAPublicKey):
        raise refused(Reason.UNSUPPORTED, "a token that is not signed by RS256")
    token.verify_rs256(key)
    return _signed(token, window, leaf=(leaf.not_valid_before_utc, leaf.not_valid_after_utc))


def verify_oidc(evidence: Evidence) -> SignedToken:
    """The token of ``evidence``, signed by a key of the sets beside it.

    Raises:
        EvidenceRefused: where it is not.
    """
    token = read_token(evidence.content)
    key = beside_key_set(evidence.beside, token)
    token.verify_rs256(key.public)
    return _signed(token, Window(), thumbprint=key.thumbprint)


def _certificate(entry: object) -> bytes:
    """An element of ``x5c``: base64 of DER (RFC 7515, 4.1.6), or PEM text, as Google wrote it in 2024."""
    if not isinstance(entry, str):
        raise refused(Reason.MALFORMED, "a token's certificates are text")
    if entry.startswith("-----"):
        found = Companions([Companion("x5c", entry.encode("utf-8", "replace"))]).certificates
        if len(found) != 1:
            raise refused(Reason.MALFORMED, "each element of a token's chain is one certificate")
        return found[0]
    try:
        return base64.b64decode(entry, validate=True)
    except (binascii.Error, ValueError) as error:
        raise refused(Reason.MALFORMED, "a token's certificate that is not base64") from error


def _signed(
    token: Jws,
    window: Window,
    *,
    leaf: tuple[datetime, datetime] | None = None,
    thumbprint: bytes | None = None,
) -> SignedToken:
    raw = token.claims()
    claims = read_claims(raw)
    window.add("token", moment(claims.nbf), moment(claims.exp))
    return SignedToken(raw, claims, window, leaf, thumbprint)


def read_claims(raw: dict[str, Any]) -> SpaceClaims:
    """The claims that are looked at, of their types.

    Raises:
        EvidenceRefused: ``malformed``.
    """
    try:
        claims = msgspec.convert(raw, SpaceClaims)
    except (msgspec.ValidationError, ValueError) as error:
        raise refused(Reason.MALFORMED, "a token without the claims of Confidential Space") from error
    if not IMAGE_DIGEST.fullmatch(claims.submods.container.image_digest):
        raise refused(Reason.MALFORMED, "a token whose image is not named by SHA-256")
    if claims.tdx is not None and claims.tdx.gcp_attester_tcb_date.tzinfo is None:
        raise refused(Reason.MALFORMED, "a token whose level has a date without a zone")
    moment(claims.iat)
    claims.version  # noqa: B018 - it raises
    return claims
