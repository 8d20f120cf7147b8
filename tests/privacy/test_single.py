"""One number of noise at a time has the stated distribution, exactly, and follows from its key."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from scipy.stats import chisquare

from syft_ext.privacy.keys import derive_key
from syft_ext.privacy.single import one_laplace

DRAWS = 6_000


@pytest.mark.parametrize("scale", [Fraction(1, 2), Fraction(7, 3), Fraction(11)])
def test_the_distribution(scale: Fraction) -> None:
    drawn = [one_laplace(scale, derive_key(bytes(32), "test", str(each).encode())) for each in range(DRAWS)]
    p = math.exp(-1 / float(scale))
    middle = [(1 - p) / (1 + p) * p ** abs(y) for y in range(-15, 16)]
    seen = [sum(each == y for each in drawn) for y in range(-15, 16)]
    pairs = zip(seen, middle, strict=True)
    kept = [(observed, DRAWS * chance) for observed, chance in pairs if DRAWS * chance >= 5]
    others = DRAWS - sum(observed for observed, _ in kept), DRAWS - sum(chance for _, chance in kept)
    tested = [*kept, others] if others[1] >= 5 else kept
    observed, expected = ([pair[index] for pair in tested] for index in (0, 1))
    expected = [each * sum(observed) / sum(expected) for each in expected]
    # Keys are fixed: this is the same number in every run.
    assert chisquare(observed, expected).pvalue > 0.01


def test_it_follows_from_key_and_scale() -> None:
    key = bytes(range(32))
    large = Fraction(1 << 50, 3)
    assert one_laplace(large, key) == one_laplace(large, key) != one_laplace(large + 1, key)
    assert one_laplace(large, key) != one_laplace(large, bytes(32))
    with pytest.raises(ValueError, match="positive"):
        one_laplace(Fraction(0), key)
