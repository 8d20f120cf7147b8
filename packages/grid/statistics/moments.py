"""Count, sum, mean, squared deviations and extremes of a column, per group, in one pass.

Means and squared deviations of stretches are merged by the pairwise update of T. F. Chan, G. H. Golub,
R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979): no
difference of large numbers is taken, whatever the mean is beside the spread. Sums are compensated
(A. Neumaier, 1974).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.statistics.reading import Doubles

__all__ = ["Codes", "Moments"]

Codes = NDArray[np.intp]


class Moments:
    """Of ``groups`` groups; every array has one entry per group.

    Args:
        deviations: whether squared deviations are wanted.
        extremes: whether minimum and maximum are wanted.
    """

    def __init__(self, groups: int, *, deviations: bool, extremes: bool) -> None:
        self.deviations, self.extremes = deviations, extremes
        self.count = np.zeros(groups, dtype=np.int64)
        self._sum, self._lost = np.zeros(groups), np.zeros(groups)
        self._mean, self.m2 = np.zeros(groups), np.zeros(groups)
        self.min, self.max = np.full(groups, np.inf), np.full(groups, -np.inf)

    @property
    def sum(self) -> Doubles:
        """Per group; what rounding lost is added again. NaN or infinite where the values are."""
        with np.errstate(invalid="ignore"):
            compensated: Doubles = self._sum + self._lost
        return np.where(np.isfinite(compensated), compensated, self._sum)

    @property
    def mean(self) -> Doubles:
        """NaN for a group without values."""
        with np.errstate(invalid="ignore", divide="ignore"):
            result: Doubles = self.sum / self.count
        return result

    def add(self, values: Doubles, codes: Codes | None) -> None:
        """Take in a stretch of values, none of them NaN; ``codes`` says of which group each is."""
        if not len(values):
            return
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            if codes is None:
                self._add_all(values)
            else:
                self._add_groups(values, codes)

    def _add_all(self, values: Doubles) -> None:
        count, total = len(values), np.add.reduce(values)
        m2 = np.zeros(1)
        if self.deviations:
            deviation = values - total / count
            m2[0] = np.dot(deviation, deviation)
        self._merge(np.array([count]), np.array([total]), m2)
        if self.extremes:
            self.min[0] = min(self.min[0], np.minimum.reduce(values))
            self.max[0] = max(self.max[0], np.maximum.reduce(values))

    def _add_groups(self, values: Doubles, codes: Codes) -> None:
        groups = len(self.count)
        count = np.bincount(codes, minlength=groups)
        total: Any = np.bincount(codes, weights=values, minlength=groups)
        m2: Any = np.zeros(groups)
        if self.deviations:
            deviation = values - (total / count)[codes]
            np.multiply(deviation, deviation, out=deviation)
            m2 = np.bincount(codes, weights=deviation, minlength=groups)
        self._merge(count, total, m2)
        if self.extremes:
            np.minimum.at(self.min, codes, values)
            np.maximum.at(self.max, codes, values)

    def _merge(self, count: NDArray[np.int64], total: Doubles, m2: Doubles) -> None:
        larger = self.count + count
        if self.deviations:
            some = count > 0
            mean = np.where(some, total / np.where(some, count, 1), self._mean)
            step = mean - self._mean
            weight = count / np.maximum(larger, 1)
            self.m2 += m2 + step * step * self.count * weight
            self._mean += step * weight
        self.count = larger
        added = self._sum + total
        swapped = np.abs(self._sum) >= np.abs(total)
        self._lost += np.where(swapped, (self._sum - added) + total, (total - added) + self._sum)
        self._sum = added
