"""Count, sum, mean, squared deviations and extremes of a column, per group, in one pass.

Means and squared deviations of stretches are merged by the pairwise update of T. F. Chan, G. H. Golub,
R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979): no
difference of large numbers is taken, whatever the mean is beside the spread. Within a stretch, what rounding left
of the mean is taken off the deviations (their "corrected two-pass algorithm", 1983), so that of equal values
nothing remains, which :func:`~syft_ext.statistics.tolerance.does_not_vary` then takes for nothing; means are
kept with what rounding left of them. Sums are compensated (A. Neumaier, 1974).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.statistics.reading import Doubles
from syft_ext.statistics.tolerance import does_not_vary, moved

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
        self._mean, self.mean_rest, self._m2 = np.zeros(groups), np.zeros(groups), np.zeros(groups)
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
        if self.deviations:  # of equal values it is that value, to the last digit
            result = np.where(np.isfinite(self._mean) & (self.count > 0), self._mean, result)
        return result

    @property
    def m2(self) -> Doubles:
        """Sums of squared deviations from the mean; 0 where rounding makes as much of equal values."""
        return np.where(does_not_vary(self._m2, self._mean), 0.0, self._m2)

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
        mean, left, m2 = np.zeros(1), np.zeros(1), np.zeros(1)
        if self.deviations:
            mean[0] = total / count
            deviation = values - mean[0]
            left[0] = np.add.reduce(deviation) / count
            m2[0] = np.dot(deviation, deviation)
            if np.isfinite(m2[0]):
                m2[0] = max(0.0, m2[0] - left[0] * left[0] * count)
            elif (deviation == deviation[0]).all():  # equal values: only the mean's rounding was squared
                m2[0], left[0] = 0.0, deviation[0]
        self._merge(np.array([count]), np.array([total]), mean, left, m2)
        if self.extremes:
            self.min[0] = min(self.min[0], np.minimum.reduce(values))
            self.max[0] = max(self.max[0], np.maximum.reduce(values))

    def _add_groups(self, values: Doubles, codes: Codes) -> None:
        groups = len(self.count)
        count = np.bincount(codes, minlength=groups)
        total: Any = np.bincount(codes, weights=values, minlength=groups)
        mean, left, m2 = np.zeros(groups), np.zeros(groups), np.zeros(groups)
        if self.deviations:
            some = np.maximum(count, 1)
            mean = total / some
            deviation = values - mean[codes]
            left = np.bincount(codes, weights=deviation, minlength=groups) / some
            m2[:] = np.bincount(codes, weights=deviation * deviation, minlength=groups)
            whole = np.isfinite(m2)
            m2[whole] = np.maximum(m2[whole] - left[whole] * left[whole] * count[whole], 0.0)
            for group in np.flatnonzero(~whole):
                own = deviation[codes == group]
                if (own == own[0]).all():  # equal values: only the mean's rounding was squared
                    m2[group], left[group] = 0.0, own[0]
        self._merge(count, total, mean, left, m2)
        if self.extremes:
            np.minimum.at(self.min, codes, values)
            np.maximum.at(self.max, codes, values)

    def _merge(
        self, count: NDArray[np.int64], total: Doubles, mean: Doubles, left: Doubles, m2: Doubles
    ) -> None:
        """``mean`` + ``left`` is the mean of the stretch."""
        larger = self.count + count
        if self.deviations:
            before, first = (self.count > 0) & (count > 0), (self.count == 0) & (count > 0)
            step = np.where(before, (mean - self._mean) + (left - self.mean_rest), 0.0)
            weight = count / np.maximum(larger, 1)
            self._m2 += m2 + step * step * self.count * weight
            merged, rest = moved(self._mean, self.mean_rest, step * weight)
            mean, left = moved(mean, left, np.zeros_like(mean))
            self._mean = np.where(first, mean, merged)
            self.mean_rest = np.where(first, left, rest)
        self.count = larger
        added = self._sum + total
        swapped = np.abs(self._sum) >= np.abs(total)
        self._lost += np.where(swapped, (self._sum - added) + total, (total - added) + self._sum)
        self._sum = added
