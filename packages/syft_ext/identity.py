"""Who somebody is: an Ed25519 key pair (PyNaCl). Private keys are made and kept on their owner's machine."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import blake3
from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_open
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

from syft_ext.errors import BadRequest, BadSignature

__all__ = ["Identity", "node_id_of", "verify"]


class Identity:
    """A signing key and what follows from it.

    Attributes:
        verify_key: the public half, 64 hex digits. It is what others know this identity by.
    """

    def __init__(self, signing_key: SigningKey) -> None:
        self._signing_key = signing_key
        self._secret = bytes(signing_key) + bytes(signing_key.verify_key)  # as libsodium wants it
        self.verify_key: str = bytes(signing_key.verify_key).hex()

    @classmethod
    def generate(cls) -> Identity:
        """A fresh key pair, in memory only."""
        return cls(SigningKey.generate())

    @classmethod
    def load_or_create(cls, path: Path) -> Identity:
        """Read the key at ``path``, or make one there that only its owner can read.

        Raises :class:`BadRequest` when something else is there.
        """
        try:
            return cls(SigningKey(bytes.fromhex(path.read_text().strip())))
        except FileNotFoundError:
            pass
        except ValueError as error:
            raise BadRequest(f"{path} holds no key") from error
        path.parent.mkdir(parents=True, exist_ok=True)
        identity = cls.generate()
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(bytes(identity._signing_key).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # whoever comes second uses the key of the first
        except FileExistsError:
            return cls.load_or_create(path)
        finally:
            temporary.unlink()
        return identity

    @property
    def node_id(self) -> str:
        """The id of the node that has this key: see :func:`node_id_of`."""
        return node_id_of(self.verify_key)

    def sign(self, data: bytes) -> bytes:
        """The 64-byte Ed25519 signature over ``data`` (RFC 8032)."""
        return crypto_sign(data, self._secret)[:crypto_sign_BYTES]

    def derive_secret(self, purpose: str) -> bytes:
        """32 bytes that only the holder of this key can compute, one value per ``purpose``."""
        return blake3.blake3(bytes(self._signing_key), derive_key_context=f"grid 2026-11 {purpose}").digest()

    def agreement_key(self) -> bytes:
        """The private X25519 key that belongs to this signing key (RFC 7748), 32 bytes: others seal to the public
        half, which they make of the verify key. Never leaves the process."""
        return bytes(self._signing_key.to_curve25519_private_key())

    def private_pem(self) -> bytes:
        """The key in PKCS #8, for libraries that sign tokens (RFC 8410). Never leaves the process."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(bytes(self._signing_key)).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def public_pem(self) -> bytes:
        """The public key as SubjectPublicKeyInfo (RFC 8410), for libraries that check tokens."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.verify_key)).public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


def verify(verify_key: str, data: bytes, signature: bytes) -> None:
    """Raise :class:`BadSignature` unless ``signature`` over ``data`` was made by ``verify_key``'s owner."""
    try:
        if len(signature) != crypto_sign_BYTES:
            raise BadSignatureError
        crypto_sign_open(bytes(signature) + data, bytes.fromhex(verify_key))
    except (BadSignatureError, ValueError, TypeError) as error:
        raise BadSignature("the signature does not match the sender's key") from error


@lru_cache(maxsize=1024)
def node_id_of(verify_key: str) -> str:
    """The id of the node that owns ``verify_key``: 32 hex digits of its BLAKE3 hash."""
    try:
        raw = bytes.fromhex(verify_key)
    except ValueError as error:
        raise BadRequest("a verify key is 64 hex digits") from error
    if len(raw) != 32:
        raise BadRequest("a verify key is 64 hex digits")
    return str(blake3.blake3(raw).hexdigest(length=16))
