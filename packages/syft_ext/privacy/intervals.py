"""Where a number lies, of which one knows it with Laplace noise only: intervals that hold, by interval arithmetic.

Each noisy number is within a half-width of the exact one but with a small probability; these probabilities add up
(union bound). So an interval holds with at least the stated probability whatever the data are, and is wider than
an asymptotic one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["CONFIDENCE", "Interval", "SitePart", "combine", "half_width"]

CONFIDENCE = 0.95
"""The probability over the noise with which intervals hold, at least."""


@dataclass(frozen=True, slots=True)
class Interval:
    """``value`` and what it may be, from ``low`` to ``high``."""

    value: float
    low: float
    high: float

    def within(self, low: float, high: float) -> Interval:
        """Cut off at what it can be at all."""
        return Interval(*(min(max(each, low), high) for each in (self.value, self.low, self.high)))

    def root(self) -> Interval:
        """Of the square root; all of it is from 0 on."""
        return Interval(math.sqrt(self.value), math.sqrt(self.low), math.sqrt(self.high))


def half_width(scale: float, step: float, risk: float) -> float:
    """How far discrete Laplace noise (P(k) ∝ exp(−|k·step|/scale)) reaches but with the probability ``risk``.

    P(|k| > t) = 2p^(t+1)/(1+p) with p = exp(−step/scale).
    """
    if scale <= 0:
        return 0.0
    p = math.exp(-step / scale)
    steps = math.log(2 / (risk * (1 + p))) * scale / step
    return max(0.0, math.ceil(steps - 1)) * step


@dataclass(frozen=True, slots=True)
class SitePart:
    """What one Domain answered: its bounds, and by name the noisy numbers (value, scale, step of the noise).

    Names are "count", "sum", "centred" (Σ u) and "spread" (Σ (u² − ½)), with u = (x − (low + high)/2) / ((high −
    low)/2), from −1 to 1.
    """

    low: float
    high: float
    numbers: Mapping[str, tuple[float, float, float]]


def combine(query: str, sites: Sequence[SitePart]) -> Interval:
    """The answer to a query over the rows of all sites together.

    Args:
        query: "count", "bounded_sum", "bounded_mean", "bounded_variance" or "bounded_standard_deviation".

    Raises ``ValueError`` for another.
    """
    risk = (1 - CONFIDENCE) / sum(len(site.numbers) for site in sites)
    if query in ("count", "bounded_sum"):
        name = "count" if query == "count" else "sum"
        return _sum_of([_number(site, name, risk) for site in sites])
    found = [_moments(site, risk) for site in sites]
    if query == "bounded_mean":
        return _mean_of(found)
    if query not in ("bounded_variance", "bounded_standard_deviation"):
        raise ValueError(f"{query} of several tables follows from no sums")
    variance = _variance_of(found)
    return variance if query == "bounded_variance" else variance.root()


def _number(site: SitePart, name: str, risk: float) -> Interval:
    value, scale, step = site.numbers[name]
    return _around(value, half_width(scale, step, risk))


@dataclass(frozen=True, slots=True)
class _Moments:
    low: float
    high: float
    count: float
    centred: float
    spread: float
    about: tuple[float, float, float]


def _moments(site: SitePart, risk: float) -> _Moments:
    nothing = (0.0, 0.0, 1.0)
    found = [site.numbers.get(name, nothing) for name in ("count", "centred", "spread")]
    count, centred, spread = (value for value, _, _ in found)
    about = tuple(half_width(scale, step, risk) for _, scale, step in found)
    return _Moments(site.low, site.high, count, centred, spread, (about[0], about[1], about[2]))


def _sum_of(parts: Sequence[Interval]) -> Interval:
    return Interval(
        sum(each.value for each in parts), sum(each.low for each in parts), sum(each.high for each in parts)
    )


def _mean_of(sites: Sequence[_Moments]) -> Interval:
    low, high = _hull(sites)
    centre, half = (low + high) / 2, (high - low) / 2
    count, first, _ = _joined(sites, centre, half)
    share = _quotient(first, count).within(-1.0, 1.0)
    return Interval(*(centre + half * each for each in (share.value, share.low, share.high)))


def _variance_of(sites: Sequence[_Moments]) -> Interval:
    """Divided by the number of rows."""
    low, high = _hull(sites)
    centre, half = (low + high) / 2, (high - low) / 2
    count, first, second = _joined(sites, centre, half)
    share = _quotient(first, count).within(-1.0, 1.0)
    square = _quotient(second, count).within(0.0, 1.0)
    largest = max(share.low**2, share.high**2)
    least = 0.0 if share.low <= 0 <= share.high else min(share.low**2, share.high**2)
    found = Interval(square.value - share.value**2, square.low - largest, square.high - least)
    bounded = found.within(0.0, 1.0)
    return Interval(*(half * half * each for each in (bounded.value, bounded.low, bounded.high)))


def _hull(sites: Sequence[_Moments]) -> tuple[float, float]:
    return min(each.low for each in sites), max(each.high for each in sites)


def _joined(sites: Sequence[_Moments], centre: float, half: float) -> tuple[Interval, Interval, Interval]:
    """Count, Σ v and Σ v² of all rows, for v = (x − centre) / half: v = a + b·u at each site."""
    counts, firsts, seconds = [], [], []
    for site in sites:
        a, b = ((site.low + site.high) / 2 - centre) / half, (site.high - site.low) / 2 / half
        of_count, of_centred, of_spread = site.about
        counts.append(_around(site.count, of_count))
        firsts.append(_around(a * site.count + b * site.centred, abs(a) * of_count + b * of_centred))
        squares = (a * a + b * b / 2) * site.count + 2 * a * b * site.centred + b * b * site.spread
        about = (a * a + b * b / 2) * of_count + 2 * abs(a) * b * of_centred + b * b * of_spread
        seconds.append(_around(squares, about))
    return _sum_of(counts), _sum_of(firsts), _sum_of(seconds)


def _around(value: float, about: float) -> Interval:
    return Interval(value, value - about, value + about)


def _quotient(over: Interval, under: Interval) -> Interval:
    """Of a sum and a count; anything where there may be no rows."""
    value = over.value / max(under.value, 1.0)
    if under.low <= 0:
        return Interval(value, -math.inf, math.inf)
    ends = [a / b for a in (over.low, over.high) for b in (under.low, under.high)]
    return Interval(value, min(ends), max(ends))
