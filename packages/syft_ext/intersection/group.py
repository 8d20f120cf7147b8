"""The group: the prime-order subgroup of edwards25519 (libsodium by PyNaCl). 32 bytes a point.

Ids are hashed to it by SHA-512 and Elligator 2, cofactor cleared (RFC 9380's nonuniform encoding: it reaches
half of the points and can be programmed, which is what the proofs under one-more Diffie–Hellman need).
Multiplying checks a point first: libsodium refuses encodings that are not canonical, points that are not on the
curve, of small order, or with a part of small order.
"""

from __future__ import annotations

import hashlib
import os

from nacl.bindings import (
    crypto_core_ed25519_from_uniform,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_noclamp,
)

from syft_ext.errors import ProtocolAborted

__all__ = ["POINT", "fresh_scalar", "hashed", "multiplied"]

POINT = 32
"""Bytes of a point."""


def fresh_scalar() -> bytes:
    """A secret, uniform but for 2^-252, and not 0."""
    while True:
        scalar = crypto_core_ed25519_scalar_reduce(os.urandom(64))
        if any(scalar):
            return scalar


def hashed(context: bytes, data: bytes) -> bytes:
    """The point of ``data``; nobody knows its logarithm. ``context``: 32 bytes, of the session."""
    return crypto_core_ed25519_from_uniform(hashlib.sha512(context + data).digest()[:32])


def multiplied(scalar: bytes, point: bytes) -> bytes:
    """Raises :class:`ProtocolAborted` for what is no point of the subgroup, or its neutral element."""
    try:
        return crypto_scalarmult_ed25519_noclamp(scalar, point)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ProtocolAborted("what came is no point of the group") from error
