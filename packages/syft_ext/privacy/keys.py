"""Keys of releases, and the stream of random words that follows from one.

A key is made of a secret and of all that the release is: who repeats the release gets the same words, and no two
different releases share any. Without the secret the words cannot be told from random ones (HMAC-SHA-256 as a
pseudo-random function, and AES-256 in counter mode): what is said of privacy holds against whoever cannot break
these.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

__all__ = ["KEY_SIZE", "KeyStream", "derive_key", "fresh_key"]

KEY_SIZE = 32
"""Bytes of a key."""


def derive_key(secret: bytes, purpose: str, *parts: bytes) -> bytes:
    """The key (32 bytes) of one release.

    Args:
        secret: at least 32 bytes that only the node knows.
        purpose: what kind of release it is; keys of two purposes have nothing in common.
        parts: everything that makes the release what it is: the contents, the question or round, the rules it
            is made under. Each counts with its length, so that no two lists of parts read the same.

    Raises ``ValueError`` for a shorter secret.
    """
    if len(secret) < KEY_SIZE:
        raise ValueError(f"a secret has at least {KEY_SIZE} bytes")
    message = b"".join(len(part).to_bytes(8, "big") + part for part in (purpose.encode(), *parts))
    return hmac.digest(secret, message, "sha256")


def fresh_key() -> bytes:
    """A key that nobody can make again, from the operating system's generator."""
    return secrets.token_bytes(KEY_SIZE)


class KeyStream:
    """The words of a key, one after the other: AES-256 in counter mode, the counter from 0.

    Raises ``ValueError`` for a key that has not :data:`KEY_SIZE` bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"a key has {KEY_SIZE} bytes")
        self._encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def words(self, count: int) -> NDArray[Any]:
        """The next ``count`` words: uniform 64-bit numbers, little-endian in the stream."""
        return np.frombuffer(self._encryptor.update(bytes(8 * count)), dtype="<u8")

    def bits(self, count: int) -> int:
        """The next ``count`` bits as a number; what is left of the last word is passed over."""
        number = 0
        for word in self.words(-(-count // 64)).tolist():
            number = number << 64 | word
        return number >> (-count % 64)
