"""What private queries read of the rows: whole numbers on a grid, or the values themselves for a library.

Values are cut off at public bounds and rounded to a grid one by one, and whole numbers are summed: neither
rounding nor the order of rows lets one row move a sum by more than its bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.statistics.columns import Column
from grid.statistics.guarded.vectors import Grouping
from grid.statistics.moments import Codes
from syft_ext.errors import TooLarge

__all__ = ["BITS", "BoundedValues", "CentredSums", "LeafCounts", "PresentCount", "StepSum", "exponent_of"]

BITS = 30
"""A bound is about 2^BITS steps of the grid."""
_MOST_ROWS = 1 << 32
"""Rows of which sums stay within 64 bits."""
Bounds = tuple[float, float]


def exponent_of(bounds: Bounds) -> int:
    """The grid's step for sums is two to the power of this."""
    return math.frexp(max(abs(bounds[0]), abs(bounds[1])))[1] - BITS


class _OneColumn:
    grouping = Grouping()

    def __init__(self, column: Column) -> None:
        if column.rows > _MOST_ROWS:
            raise TooLarge("this table has more rows than sums are made of", limit=_MOST_ROWS)
        self.columns = (column,)
        self._sum = 0

    def add(self, columns: Sequence[NDArray[Any]], codes: Codes | None) -> None:
        """Take in a stretch of the column; what is missing counts nowhere."""
        values = columns[0].astype(np.float64, copy=False)
        if columns[0].dtype.kind == "f":
            lost = np.isnan(values)
            if lost.any():
                values = values[~lost]
        self._take(values)

    def _take(self, values: NDArray[np.float64]) -> None:
        self._sum += int(self._steps(values).sum())

    def _steps(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        raise NotImplementedError

    def result(self) -> NDArray[np.int64]:
        """The one number."""
        return np.array([self._sum], dtype=np.int64)


class PresentCount(_OneColumn):
    """How many values there are."""

    def _take(self, values: NDArray[np.float64]) -> None:
        self._sum += len(values)


class StepSum(_OneColumn):
    """The sum of values, in steps of 2^exponent."""

    def __init__(self, column: Column, bounds: Bounds) -> None:
        super().__init__(column)
        self._bounds, self._exponent = bounds, exponent_of(bounds)

    def _steps(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.rint(np.ldexp(np.clip(values, *self._bounds), -self._exponent)).astype(np.int64)


class CentredSums(_OneColumn):
    """How many values there are, and the sums of u and (where ``spread``) of u² − ½, in steps of 2^−BITS.

    u is from −1 to 1 between the bounds.
    """

    def __init__(self, column: Column, bounds: Bounds, *, spread: bool) -> None:
        super().__init__(column)
        self._bounds, self._sums = bounds, [0, 0, *([0] if spread else [])]

    def _take(self, values: NDArray[np.float64]) -> None:
        shares = shares_of(values, self._bounds)
        self._sums[0] += len(values)
        self._sums[1] += _in_steps(shares)
        if len(self._sums) > 2:
            self._sums[2] += _in_steps(shares * shares - 0.5)

    def result(self) -> NDArray[np.int64]:
        """The numbers, in this order."""
        return np.array(self._sums, dtype=np.int64)


def _in_steps(shares: NDArray[np.float64]) -> int:
    # A power of two changes no digit.
    return int(np.rint(shares * float(1 << BITS)).astype(np.int64).sum())


class BoundedValues(_OneColumn):
    """All values, cut off at the bounds, as the bits of doubles: for a library that makes the noise itself."""

    def __init__(self, column: Column, bounds: Bounds | None) -> None:
        super().__init__(column)
        self._bounds = bounds
        self._all: list[NDArray[np.float64]] = []

    def _take(self, values: NDArray[np.float64]) -> None:
        self._all.append(values.copy() if self._bounds is None else np.clip(values, *self._bounds))

    def result(self) -> NDArray[np.int64]:
        found = np.concatenate(self._all) if self._all else np.zeros(0)
        return found.astype(np.float64).view(np.int64)


class LeafCounts(_OneColumn):
    """How many values, cut off at the bounds, lie in each of ``leaves`` stretches between them.

    The last stretch is the upper bound alone, as in the tree that these are for.
    """

    def __init__(self, column: Column, bounds: Bounds, leaves: int) -> None:
        super().__init__(column)
        self._bounds, self._counts = bounds, np.zeros(leaves, dtype=np.int64)

    def _take(self, values: NDArray[np.float64]) -> None:
        low, high = self._bounds
        places = (np.clip(values, low, high) - low) / (high - low) * (len(self._counts) - 1)
        self._counts += np.bincount(places.astype(np.int64), minlength=len(self._counts))

    def result(self) -> NDArray[np.int64]:
        """A number for each stretch."""
        return self._counts


def shares_of(values: NDArray[np.float64], bounds: Bounds) -> NDArray[np.float64]:
    """u of each value: −1 at the lower bound and below, 1 at the upper one and above."""
    low, high = bounds
    middle, half = low / 2 + high / 2, high / 2 - low / 2
    with np.errstate(over="ignore"):
        return np.clip((values - middle) / half, -1.0, 1.0)
