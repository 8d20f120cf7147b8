"""A participant's keys in one round, all of them made of one root, and the keys of each pair.

Whoever has the root gets the same keys, shares and seals again: a participant that comes back after a crash
    says what
it said before. The two secrets that are shared out, the seed of the key that pairs agree on masks with and the
seed of
its own mask, have 31 bytes, and keys are derived from them: so a seed that was put together again is the whole
    key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from syft_ext.errors import BadRequest
from syft_ext.secure_aggregation.shamir import PRIME, SEED_SIZE

__all__ = [
    "ROOT_SIZE",
    "SumKeys",
    "agree",
    "commitment",
    "derive",
    "key_of_seed",
    "public_half",
    "self_mask_key",
]

ROOT_SIZE = 32
_KEY = 32


def derive(secret: bytes, purpose: str, *parts: bytes, size: int = _KEY) -> bytes:
    """HKDF-SHA-256 (RFC 5869) without salt; info is "grid secure aggregation v1", the purpose and the parts,
    each with its length before it, so that no two lists of parts read the same."""
    said = (b"grid secure aggregation v1", purpose.encode(), *parts)
    info = b"".join(len(part).to_bytes(4, "big") + part for part in said)
    return HKDF(hashes.SHA256(), size, None, info).derive(secret)


def key_of_seed(seed: bytes) -> X25519PrivateKey:
    """The X25519 key (RFC 7748) that pairs agree on masks with, from its seed."""
    return X25519PrivateKey.from_private_bytes(derive(seed, "mask key"))


def public_half(key: X25519PrivateKey) -> bytes:
    """32 bytes."""
    return key.public_key().public_bytes_raw()


def commitment(self_seed: bytes) -> bytes:
    """What a participant says of the seed of its own mask beforehand, so that a wrong share of it is found out."""
    return hashlib.sha256(b"grid secure aggregation v1 self seed\0" + self_seed).digest()


def self_mask_key(self_seed: bytes, roster: bytes, place: int) -> bytes:
    """The key of the mask that a participant adds by itself; ``roster``: the digest of the list of keys."""
    return derive(self_seed, "self mask", roster, bytes([place]))


def agree(mine: X25519PrivateKey, theirs: bytes) -> bytes:
    """The secret of a pair. Raises :class:`BadRequest` for a public key that gives everybody the same."""
    try:
        return mine.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError as error:
        raise BadRequest("this is no public key to agree with") from error


@dataclass(frozen=True)
class SumKeys:
    """A participant's secrets of one round; ``root``: 32 random bytes, of this round alone."""

    root: bytes

    @property
    def mask_seed(self) -> bytes:
        """The seed of :attr:`mask_key`: shared out, opened for those who drop out."""
        return derive(self.root, "mask seed", size=SEED_SIZE)

    @property
    def self_seed(self) -> bytes:
        """The seed of its own mask: shared out, opened for those who stay."""
        return derive(self.root, "self seed", size=SEED_SIZE)

    @property
    def mask_key(self) -> X25519PrivateKey:
        """Pairs agree on masks with it."""
        return key_of_seed(self.mask_seed)

    @property
    def seal_key(self) -> X25519PrivateKey:
        """Pairs agree with it on how shares are sealed; nobody ever shares it."""
        return X25519PrivateKey.from_private_bytes(derive(self.root, "seal key"))

    @property
    def noise_key(self) -> bytes:
        """Its share of the noise follows from this."""
        return derive(self.root, "noise")

    def coefficients(self, which: str, roster: bytes, count: int) -> list[int]:
        """The coefficients of the polynomial that shares a secret out; 64 bytes each, so that what is left of the
        prime is nothing."""
        data = derive(self.root, f"coefficients of {which}", roster, size=64 * count) if count else b""
        return [int.from_bytes(data[i : i + 64], "big") % PRIME for i in range(0, len(data), 64)]
