"""Exact quantiles over several sites, by counting in narrowing ranges: no site shows another value than asked.

An order statistic is looked for in the order of the doubles (:mod:`syft_ext.statistics.order`): every round
divides the range that must hold it by 4096, and all sites say how many of their values lie in each part. From
the range between minimum and maximum to one double are six rounds at most, as a rule four or five.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.statistics.order import STEPS, key_of, value_of

__all__ = ["BINS_BITS", "RankSearch", "Resolution", "interpolate", "ranks_for", "resolution_of"]

BINS_BITS = 12

#: The one value that a column can have in a range of doubles (inclusive), or None while there may be several.
Resolution = Callable[[int, int], float | None]


def resolution_of(dtypes: Iterable[str]) -> Resolution:
    """For columns of these types together: which doubles they can hold at all."""
    kinds = set(dtypes)
    if kinds <= STEPS.keys():
        step = min(STEPS[kind] for kind in kinds)
        return lambda low, high: _only_multiple(low, high, step)
    if not kinds & STEPS.keys() and "int64" not in kinds:
        return _only_integer
    return lambda low, high: value_of(low) if low == high else None


def _only_multiple(low: int, high: int, step: int) -> float | None:
    if low == high:
        return value_of(low)
    if low >> 63 != high >> 63:
        return None
    mask = (1 << step) - 1
    # Bits of the fraction that are not there are 0; in the keys of negative doubles, turned around, 1.
    first = -(-low >> step) << step if low >> 63 else low | mask
    return value_of(first) if first <= high < first + (1 << step) else None


def _only_integer(low: int, high: int) -> float | None:
    least, most = value_of(low), value_of(high)
    return float(ceil(least)) if abs(least) < 2**53 and ceil(least) == floor(most) else None


@dataclass(slots=True)
class RankSearch:
    """Looks for the value with ``rank`` (from 0) among all values of a group of a column.

    Attributes:
        low, high: keys between which it is, inclusive.
        before: how many values are below ``low``.
        value: once it is found.
    """

    rank: int
    low: int
    high: int
    resolution: Resolution
    before: int = 0
    value: float | None = None

    def __post_init__(self) -> None:
        self.value = self.resolution(self.low, self.high)

    @classmethod
    def between(cls, rank: int, least: float, most: float, resolution: Resolution) -> RankSearch:
        """A search for the value of that rank (from 0) between the extremes of all sites."""
        return cls(rank, key_of(least), key_of(most), resolution)

    @property
    def query(self) -> tuple[int, int, int]:
        """First key, shift and number of the ranges in which to count."""
        width = self.high - self.low + 1
        shift = max(0, (width - 1).bit_length() - BINS_BITS)
        return self.low, shift, -(-width >> shift)

    def narrow(self, counts: NDArray[np.int64]) -> None:
        """Go on in the range that holds the rank, by the counts of all of them."""
        start, shift, _ = self.query
        sums = np.cumsum(counts)
        place = int(np.searchsorted(sums, self.rank - self.before, side="right"))
        if place == len(counts):
            raise BadRequest("the sites count other values than they told the extremes of")
        self.before += int(sums[place - 1]) if place else 0
        self.low = start + (place << shift)
        self.high = min(self.high, self.low + (1 << shift) - 1)
        self.value = self.resolution(self.low, self.high)


def ranks_for(count: int, q: float) -> tuple[int, int, float]:
    """Between which order statistics the quantile lies, and where (numpy's "linear", method 7 of R)."""
    place = (count - 1) * q
    low = min(max(floor(place), 0), count - 1)
    return low, min(low + 1, count - 1), place - low


def interpolate(low: float, high: float, fraction: float) -> float:
    """As numpy does it, to the last bit."""
    difference = high - low
    return high - difference * (1 - fraction) if fraction >= 0.5 else low + difference * fraction
