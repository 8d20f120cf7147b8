"""One number of exact discrete Laplace noise, where the tables of :mod:`syft_ext.privacy.noise` would cost more
than they save: those are for many numbers of one scale.

C. Canonne, G. Kamath, T. Steinke, "The discrete Gaussian for differential privacy", 2020, algorithms 1 and 2:
whole numbers throughout, so that P(y) ∝ exp(−|y|/scale) holds exactly.
"""

from __future__ import annotations

from fractions import Fraction

from syft_ext.privacy.keys import KeyStream, derive_key

__all__ = ["one_laplace"]


def one_laplace(scale: Fraction, key: bytes) -> int:
    """The number that follows from a key of 32 bytes. Raises ``ValueError`` for a scale that is not positive."""
    if scale <= 0:
        raise ValueError("noise has a positive spread")
    words = KeyStream(
        derive_key(key, "one discrete Laplace", f"{scale.numerator}/{scale.denominator}".encode())
    )
    t, s = scale.numerator, scale.denominator
    while True:
        part = _below(t, words)
        if not _bernoulli_exp(part, t, words):
            continue
        whole = 0
        while _bernoulli_exp(1, 1, words):
            whole += 1
        size = (part + t * whole) // s
        negative = words.bits(1)
        if negative and not size:
            continue
        return -size if negative else size


def _below(bound: int, words: KeyStream) -> int:
    """Uniform from 0 to less than ``bound``."""
    bits = (bound - 1).bit_length()
    while True:
        drawn = words.bits(bits) if bits else 0
        if drawn < bound:
            return drawn


def _bernoulli_exp(over: int, under: int, words: KeyStream) -> bool:
    """True with the probability exp(−over/under), for 0 ≤ over ≤ under (algorithm 1)."""
    count = 1
    while _below(under * count, words) < over:
        count += 1
    return count % 2 == 1
