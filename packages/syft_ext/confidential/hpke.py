"""HPKE (RFC 9180, base mode, single shot): what is sealed to a public key, bound to a digest of all that it is
for.

Two suites, both with HKDF-SHA256 and AES-256-GCM. ``x25519`` is DHKEM(X25519, HKDF-SHA256);
``mlkem768-x25519`` adds ML-KEM-768 (FIPS 203) to it, so that what is kept today cannot be opened by a quantum
computer of later. Which one is used follows from the round
(:class:`~syft_ext.confidential.rounds.RoundContext`), never from what is opened.

Private keys are 32 bytes of secret from which both halves are derived (HKDF-SHA256, labelled): that is what a key
host keeps, and what it seals to a worker.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, TypeAlias, get_args

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from syft_ext.errors import InvalidStatement, SealBroken, Unsupported

__all__ = [
    "SECRET_SIZE",
    "SUITES",
    "SuiteName",
    "hkdf",
    "open_sealed",
    "public_key",
    "public_size",
    "seal",
    "supported",
]

SuiteName: TypeAlias = Literal["x25519", "mlkem768-x25519"]
SUITES: tuple[SuiteName, ...] = get_args(SuiteName)
SECRET_SIZE = 32
_X25519, _MLKEM = 32, 1184


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int = 32) -> bytes:
    """HKDF-SHA256 (RFC 5869). Each use has its own ``info``, beginning with ``b"grid "`` and its name."""
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


def supported(suite: SuiteName) -> bool:
    """Whether the library here can do ``suite``."""
    try:
        public_key(suite, bytes(range(SECRET_SIZE)))
    except Unsupported:
        return False
    return True


def public_size(suite: SuiteName) -> int:
    """Bytes of a public key of ``suite``."""
    return _X25519 if suite == "x25519" else _MLKEM + _X25519


def public_key(suite: SuiteName, secret: bytes) -> bytes:
    """The public key that belongs to ``secret``: X25519, after ML-KEM-768 where the suite has it."""
    x25519 = _x25519(secret).public_key().public_bytes_raw()
    return x25519 if suite == "x25519" else _mlkem(secret).public_key().public_bytes_raw() + x25519


def seal(suite: SuiteName, public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """``enc ‖ ciphertext`` of ``plaintext`` to ``public``, bound to ``info``.

    Raises :class:`~syft_ext.errors.InvalidStatement` for a public key that is none.
    """
    if len(public) != public_size(suite):
        raise InvalidStatement(f"a public key of {suite} has {public_size(suite)} bytes")
    try:
        return _suite(suite).encrypt(plaintext, _public(suite, public), info=info)
    except ValueError as error:
        raise InvalidStatement(f"this is no public key of {suite}") from error


def open_sealed(suite: SuiteName, secret: bytes, info: bytes, sealed: bytes) -> bytes:
    """What :func:`seal` sealed to the public key of ``secret`` under the same ``info``.

    Raises :class:`~syft_ext.errors.SealBroken` for everything else, without saying what was wrong.
    """
    private: Any = _x25519(secret)
    if suite != "x25519":
        from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

        private = MLKEM768X25519PrivateKey(_mlkem(secret), private)
    try:
        return _suite(suite).decrypt(sealed, private, info=info)
    except (InvalidTag, ValueError) as error:
        raise SealBroken("this was not sealed to this key for this purpose") from error


def _x25519(secret: bytes) -> X25519PrivateKey:
    if len(secret) != SECRET_SIZE:
        raise InvalidStatement(f"a secret has {SECRET_SIZE} bytes")
    return X25519PrivateKey.from_private_bytes(hkdf(secret, b"", b"grid hpke x25519 v1"))


def _mlkem(secret: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
        from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey  # noqa: F401

        return MLKEM768PrivateKey.from_seed_bytes(hkdf(secret, b"", b"grid hpke mlkem768 v1", 64))
    except Exception as error:  # an older library, or one built on a backend without ML-KEM
        raise Unsupported("the cryptography library here has no ML-KEM-768") from error


def _public(suite: SuiteName, public: bytes) -> Any:
    if suite == "x25519":
        return X25519PublicKey.from_public_bytes(public)
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
    from cryptography.hazmat.primitives.hpke import MLKEM768X25519PublicKey

    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public[:_MLKEM]),
        X25519PublicKey.from_public_bytes(public[_MLKEM:]),
    )


@cache
def _suite(suite: SuiteName) -> Suite:
    kem = KEM.X25519 if suite == "x25519" else KEM.MLKEM768_X25519
    return Suite(kem, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
