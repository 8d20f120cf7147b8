"""Laplace noise on whole numbers, sampled exactly.

Noise made of floating-point numbers gives the data away in its last bits (I. Mironov, "On significance of the
least significant bits for differential privacy", 2012), and so do rounded sums. Here both are whole numbers:
values are clipped to the owner's bounds and rounded to a grid before they are summed, and the noise is the
discrete Laplace distribution, P(x) ∝ exp(−|x|/scale), drawn from the operating system's generator by
rational arithmetic (C. Canonne, G. Kamath, T. Steinke, "The discrete Gaussian for differential privacy", 2020,
algorithms 1 and 2).
"""

from __future__ import annotations

from fractions import Fraction
from secrets import randbelow

__all__ = ["laplace"]


def laplace(sensitivity: int, epsilon: float) -> int:
    """Noise that makes a whole number of this sensitivity ε-differentially private."""
    scale = Fraction(sensitivity) / Fraction(epsilon)
    t, s = scale.numerator, scale.denominator  # algorithm 2 with scale t/s
    while True:
        u = randbelow(t)
        if not _bernoulli_exp(u, t):
            continue
        v = 0
        while _bernoulli_exp(1, 1):
            v += 1
        size = (u + t * v) // s
        negative = randbelow(2)
        if not (negative and size == 0):
            return -size if negative else size


def _bernoulli_exp(numerator: int, denominator: int) -> bool:
    """True with probability exp(−numerator/denominator), for a fraction of at most 1 (algorithm 1)."""
    k = 1
    while randbelow(denominator * k) < numerator:
        k += 1
    return k % 2 == 1
