"""A secret in n parts of which every one is needed: the XOR of all of them. Any n − 1 say nothing of it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from syft_ext.errors import SealBroken

__all__ = ["combine", "split"]


def split(secret: bytes, n: int) -> list[bytes]:
    """``n`` shares (at least 1), each as long as ``secret``: n − 1 random ones, and what is missing to it."""
    if n < 1:
        raise ValueError("a secret has at least one share")
    shares = [secrets.token_bytes(len(secret)) for _ in range(n - 1)]
    return [*shares, _xor([secret, *shares])]


def combine(shares: Sequence[bytes], n: int, length: int) -> bytes:
    """The secret of ``length`` bytes that was split into these ``n`` shares.

    Raises :class:`~syft_ext.errors.SealBroken` for another number of shares, or shares of another length.
    Shares that do not belong together give another secret: whoever combines has a commitment to compare it with.
    """
    if len(shares) != n or any(len(share) != length for share in shares):
        raise SealBroken(f"a secret of {length} bytes in {n} shares is not in these")
    return _xor(shares)


def _xor(parts: Sequence[bytes]) -> bytes:
    number = 0
    for part in parts:
        number ^= int.from_bytes(part, "big")
    return number.to_bytes(len(parts[0]), "big")
