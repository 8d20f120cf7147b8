"""Intervals of noisy numbers hold as often as they say."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from syft_ext.privacy.intervals import CONFIDENCE, SitePart, combine, half_width
from syft_ext.privacy.noise import DiscreteLaplace

DRAWS = 400


@pytest.mark.parametrize("scale", [Fraction(1, 3), Fraction(2), Fraction(37, 2)])
@pytest.mark.parametrize("risk", [0.3, 0.05, 0.001])
def test_the_half_width_is_the_least_that_keeps_the_risk(scale: Fraction, risk: float) -> None:
    p = math.exp(-1 / float(scale))
    beyond = lambda t: 2 * p ** (t + 1) / (1 + p)  # noqa: E731
    width = half_width(float(scale), 1.0, risk)
    assert beyond(width) <= risk * (1 + 1e-9) and (width == 0 or beyond(width - 1) > risk)
    assert half_width(float(scale) / 8, 1 / 8, risk) == width / 8


@pytest.mark.parametrize("query", ["count", "bounded_sum", "bounded_mean", "bounded_variance"])
@pytest.mark.parametrize("bounds", [[(0.0, 10.0)], [(0.0, 10.0), (-5.0, 8.0), (2.0, 4.0)]])
def test_intervals_cover(query: str, bounds: list[tuple[float, float]]) -> None:
    random = np.random.default_rng(0)
    rows = [random.normal(4, 3, 120).clip(low, high) for low, high in bounds]
    pooled = np.concatenate(rows)
    exact = {"count": len(pooled), "bounded_sum": pooled.sum(), "bounded_mean": pooled.mean(),
             "bounded_variance": pooled.var()}[query]  # fmt: skip
    noise = DiscreteLaplace(Fraction(1 << 11)).draws(bytes(32)).take(DRAWS * 12) / 2.0**10
    draws, hits = iter(noise.tolist()), 0
    for _ in range(DRAWS):
        sites = []
        for (low, high), x in zip(bounds, rows, strict=True):
            u = (x - (low + high) / 2) / ((high - low) / 2)
            sums = {"count": len(x), "sum": x.sum(), "centred": u.sum(), "spread": (u * u - 0.5).sum()}
            names = {"count": ["count"], "bounded_sum": ["sum"], "bounded_mean": ["count", "centred"]}
            used = names.get(query, ["count", "centred", "spread"])
            noisy = {name: (float(sums[name] + next(draws)), 2.0, 2.0**-10) for name in used}
            sites.append(SitePart(low, high, noisy))
        found = combine(query, sites)
        assert found.low <= found.value <= found.high
        hits += found.low <= exact <= found.high
    # The draws follow from a fixed key: the count is the same in every run.
    assert hits / DRAWS >= CONFIDENCE - 0.02
    if query == "count" and len(bounds) == 1:
        assert hits / DRAWS <= 0.98, "and it is no wider than it must be"
