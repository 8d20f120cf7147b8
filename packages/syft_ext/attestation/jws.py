"""JWS in compact form (RFC 7515), and the key sets that tokens are checked by (RFC 7517).

Which algorithm is used is the verifier's decision: the header has to say the same. A key that a header names or
carries (``jku``, ``jwk``) is never followed; a header that changes what a signature means (``crit``, ``b64``) is
not taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, cast

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from syft_ext.attestation.evidence import Companion, Reason, refused
from syft_ext.attestation.texts import base64url, json_object

__all__ = ["MIN_RSA_BITS", "Jws", "Key", "beside_key_set", "key_set", "read_jws"]

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
MAX_KEYS = 64
"""Keys of a set at most: issuers publish a handful."""


class Key(msgspec.Struct, frozen=True):
    """An RSA key of a set, and its thumbprint (RFC 7638, SHA-256), 32 bytes: what a policy pins."""

    public: rsa.RSAPublicKey
    thumbprint: bytes


class Jws(msgspec.Struct, frozen=True):
    """A token as it was read; nothing of it is to be believed before its signature has been verified.

    Attributes:
        header: the protected header.
        payload: the signed bytes.
        signing_input: what the signature is over: header and payload in base64url, as they came.
        signature: its bytes.
    """

    header: dict[str, Any]
    payload: bytes
    signing_input: bytes
    signature: bytes

    def claims(self) -> dict[str, Any]:
        """The payload as a JWT's claims (RFC 7519).

        Raises:
            EvidenceRefused: ``malformed``.
        """
        return json_object(self.payload)

    def verify_rs256(self, key: rsa.RSAPublicKey) -> None:
        """Return if ``key`` signed this by RSASSA-PKCS1-v1_5 with SHA-256, and the header says so.

        Raises:
            EvidenceRefused: ``unsupported``, ``signature``.
        """
        self._demand("RS256")
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise refused(Reason.UNSUPPORTED, f"an RSA key of {key.key_size} bits")
        try:
            key.verify(self.signature, self.signing_input, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature as error:
            raise refused(Reason.SIGNATURE, "the token's signature does not verify") from error

    def verify_eddsa(self, key: bytes) -> None:
        """Return if the Ed25519 key of these 32 bytes signed this (RFC 8037), and the header says so.

        Raises:
            EvidenceRefused: ``unsupported``, ``signature``.
        """
        self._demand("EdDSA")
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(self.signature, self.signing_input)
        except (InvalidSignature, ValueError) as error:
            raise refused(Reason.SIGNATURE, "the token's signature does not verify") from error

    def _demand(self, algorithm: str) -> None:
        if self.header.get("alg") != algorithm:
            raise refused(Reason.UNSUPPORTED, f"the token is not signed by {algorithm}")


def read_jws(token: bytes) -> Jws:
    """The token that these bytes are, to the last one.

    Raises:
        EvidenceRefused: ``malformed``: also for ``crit`` and ``b64``, which change what a signature means.
    """
    parts = token.split(b".")
    if len(parts) != 3:
        raise refused(Reason.MALFORMED, "not a token: three parts between dots")
    header = json_object(base64url(parts[0]))
    if "crit" in header or "b64" in header:
        raise refused(Reason.MALFORMED, "a token with extensions of its own")
    return Jws(header, base64url(parts[1]), token[: len(parts[0]) + 1 + len(parts[1])], base64url(parts[2]))


def key_set(data: bytes) -> dict[str, Key]:
    """The RSA keys for signatures of a JWK set, by their ``kid``; keys of other kinds and uses are left out.

    Raises:
        EvidenceRefused: ``malformed``: not a JWK set, two keys of one ``kid``, or a key that is none.
    """
    listed = json_object(data).get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise refused(Reason.MALFORMED, f"not a JWK set of up to {MAX_KEYS} keys")
    keys: dict[str, Key] = {}
    names: set[str] = set()
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
            raise refused(Reason.MALFORMED, "a key of the set is no object with a kid")
        kid = cast(str, entry["kid"])
        if kid in names:
            raise refused(Reason.MALFORMED, "two keys of the set have one kid")
        names.add(kid)
        if (
            entry.get("kty") == "RSA"
            and entry.get("alg", "RS256") == "RS256"
            and entry.get("use", "sig") == "sig"
        ):
            keys[kid] = _rsa_key(entry)
    return keys


def beside_key_set(beside: Iterable[Companion], token: Jws) -> Key:
    """The key that ``token`` names, of the key sets beside it; nothing else may be beside it.

    Raises:
        EvidenceRefused: ``malformed``, ``endorsement-missing``.
    """
    kid = token.header.get("kid")
    if not isinstance(kid, str):
        raise refused(Reason.MALFORMED, "a token that does not say which key signed it")
    found = [keys[kid] for keys in (key_set(companion.content) for companion in beside) if kid in keys]
    if not found:
        raise refused(Reason.ENDORSEMENT_MISSING, "no key set beside the token has the key that it names")
    if any(key.thumbprint != found[0].thumbprint for key in found):
        raise refused(Reason.MALFORMED, "two key sets have different keys of one kid")
    return found[0]


def _rsa_key(entry: dict[str, Any]) -> Key:
    modulus, exponent = entry.get("n"), entry.get("e")
    if not isinstance(modulus, str) or not isinstance(exponent, str) or len(modulus) > MAX_RSA_BITS // 4:
        raise refused(Reason.MALFORMED, "an RSA key of the set without n and e")
    n, e = (int.from_bytes(base64url(part), "big") for part in (modulus, exponent))
    if e != 65537 or not MIN_RSA_BITS <= n.bit_length() <= MAX_RSA_BITS:
        raise refused(Reason.UNSUPPORTED, "an RSA key of the set with too few bits, or another exponent")
    try:
        public = rsa.RSAPublicNumbers(e, n).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise refused(Reason.MALFORMED, "an RSA key of the set that is none") from error
    members = f'{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}'
    return Key(public, hashlib.sha256(members.encode()).digest())
