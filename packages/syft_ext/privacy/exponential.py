"""The exponential function between two whole numbers: bounds that hold, from integer arithmetic alone."""

from __future__ import annotations

from fractions import Fraction

__all__ = ["exp_bounds"]

_GUARD = 64


def exp_bounds(x: Fraction, bits: int) -> tuple[int, int]:
    """Whole numbers ``low`` ≤ 2^bits · e^(−x) ≤ ``high``, for x ≥ 0; usually one or two apart.

    Raises ``ValueError`` for a negative x.
    """
    if x < 0:
        raise ValueError("the exponent must not be negative")
    if x >= bits:
        return 0, 1  # e > 2
    halvings = max(0, x.numerator.bit_length() - x.denominator.bit_length() + 4)
    work = bits + 2 * halvings + _GUARD
    one = 1 << work
    # e^(x/2^h) by its series, of which all terms are positive; x/2^h < 1/4, so that each is less than a quarter
    # of the one before, and what is left out is less than the last one.
    numerator, denominator = x.numerator << work, x.denominator << halvings
    low, high = numerator // denominator, -(-numerator // denominator)
    sum_low, sum_high, term_low, term_high, n = one, one, one, one, 1
    while term_high > 1:
        term_low = term_low * low // (n << work)
        term_high = -(-term_high * high // (n << work))
        sum_low, sum_high, n = sum_low + term_low, sum_high + term_high, n + 1
    sum_high += 1
    # e^−x = (1 / e^(x/2^h))^(2^h): first the inverse, so that no number grows beyond one.
    low, high = (one << work) // sum_high, -(-(one << work) // sum_low)
    for _ in range(halvings):
        low, high = (low * low) >> work, -(-(high * high) >> work)
    shift = work - bits
    return low >> shift, -(-high >> shift)
