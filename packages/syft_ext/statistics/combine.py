"""Partial aggregates of several sites as those of all rows together.

Means and squared deviations by Chan, Golub and LeVeque (1979), co-moments likewise: equal to those of the
pooled rows but for rounding, in whatever order the sites come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import ColumnPartial, CoMoments, CountsInBins

__all__ = ["CoTotals", "ColumnTotals", "HistogramTotals", "Key", "all_groups"]

Key = tuple[int, ...]
Doubles = NDArray[np.float64]


def all_groups(groups: Sequence[Sequence[Sequence[int]]]) -> tuple[list[Key], list[NDArray[np.intp]]]:
    """All keys in order, and for each site at which of them its groups are."""
    keys = sorted({tuple(key) for each in groups for key in each})
    place = {key: index for index, key in enumerate(keys)}
    return keys, [np.array([place[tuple(key)] for key in each], dtype=np.intp) for each in groups]


class ColumnTotals:
    """One column over all sites; arrays over the groups. ``kept_back`` marks groups that a site hides."""

    def __init__(self, groups: int) -> None:
        self.count = np.zeros(groups, dtype=np.int64)
        self.missing = np.zeros(groups, dtype=np.int64)
        self.sum, self.mean, self.m2 = np.zeros(groups), np.full(groups, np.nan), np.zeros(groups)
        self.min, self.max = np.full(groups, np.nan), np.full(groups, np.nan)
        self.kept_back = np.zeros(groups, dtype=np.bool_)
        self.answered = np.zeros(groups, dtype=np.bool_)

    def add(self, partial: ColumnPartial, at: NDArray[np.intp]) -> None:
        """Take in a site's partial, whose groups are at ``at``."""
        fields = ("count", "missing", "sum", "mean", "m2", "min", "max")
        given = {name: getattr(partial, name) for name in fields if getattr(partial, name)}
        if not given or any(len(values) != len(at) for values in given.values()):
            if given:
                raise BadRequest("a site answered for other groups than it named")
            return
        hidden = np.array([value is None for value in next(iter(given.values()))], dtype=np.bool_)
        self.kept_back[at[hidden]] = True
        at = at[~hidden]
        self.answered[at] = True
        values = {
            name: np.array([number for number in numbers if number is not None], dtype=np.float64)
            for name, numbers in given.items()
        }
        if "mean" in values:
            self._add_means(at, values["count"], values["mean"], values.get("m2"))
        for name in ("count", "missing"):
            if name in values:
                getattr(self, name)[at] += values[name].astype(np.int64)
        if "sum" in values:
            self.sum[at] += values["sum"]
        if "min" in values:
            self.min[at] = np.fmin(self.min[at], values["min"])
        if "max" in values:
            self.max[at] = np.fmax(self.max[at], values["max"])

    def _add_means(self, at: NDArray[np.intp], count: Doubles, mean: Doubles, m2: Doubles | None) -> None:
        # With noise, a count can be negative: it weighs nothing.
        here, there = np.maximum(self.count[at], 0), np.maximum(count, 0)
        total = here + there
        with np.errstate(invalid="ignore", divide="ignore"):
            step = mean - self.mean[at]
            merged = self.mean[at] + step * (there / total)
            spread = step * step * (here * there / total)
        self.mean[at] = np.where(there == 0, self.mean[at], np.where(here == 0, mean, merged))
        if m2 is not None:
            both = (here > 0) & (there > 0)
            self.m2[at] += np.where(there > 0, m2, 0.0) + np.where(both, spread, 0.0)

    def variance(self, ddof: int) -> Doubles:
        """NaN where there are not more than ``ddof`` values."""
        free = self.count - ddof
        return np.where(free > 0, self.m2 / np.maximum(free, 1), np.nan)


class HistogramTotals:
    """Counts per group: below, in the bins, above. ``kept_back`` marks cells that a site hides."""

    def __init__(self, groups: int, edges: Sequence[float]) -> None:
        self.edges = np.array(edges)
        self.counts = np.zeros((groups, len(edges) + 1), dtype=np.int64)
        self.kept_back = np.zeros(self.counts.shape, dtype=np.bool_)

    def add(self, partial: CountsInBins, at: NDArray[np.intp]) -> None:
        """Take in a site's counts; ``at`` says which group each of its rows is of.

        Raises :class:`BadRequest` when the site counted in other bins.
        """
        if partial.edges != self.edges.tolist() or len(partial.counts) != len(at):
            raise BadRequest("the sites counted in different bins")
        for place, row in zip(at, partial.counts, strict=True):
            self.counts[place] += [number or 0 for number in row]
            self.kept_back[place] |= [number is None for number in row]


class CoTotals:
    """Number of complete rows, means, and the matrix of co-moments."""

    def __init__(self, partials: Sequence[CoMoments]) -> None:
        self.names = partials[0].columns
        size = len(self.names)
        self.rows, self.mean, self.products = 0, np.zeros(size), np.zeros((size, size))
        for partial in partials:
            if (partial.columns, len(partial.mean), len(partial.products)) != (self.names, size, size * size):
                raise BadRequest("the sites answered for different columns")
            if partial.rows:
                self._add(partial.rows, np.array(partial.mean), np.array(partial.products))

    def _add(self, rows: int, mean: Doubles, products: NDArray[Any]) -> None:
        total = self.rows + rows
        step = mean - self.mean
        self.products += products.reshape(self.products.shape)
        self.products += np.outer(step, step) * (self.rows * rows / total)
        self.mean += step * (rows / total)
        self.rows = total

    def covariance(self, ddof: int) -> Doubles:
        """Columns × columns, divided by rows − ``ddof``; NaN where there are not more rows than that."""
        if self.rows <= ddof:
            return np.full(self.products.shape, np.nan)
        result: Doubles = self.products / (self.rows - ddof)
        return result

    def correlation(self) -> Doubles:
        """Pearson's; NaN for a column that does not vary."""
        spread = np.sqrt(np.diag(self.products))
        with np.errstate(invalid="ignore", divide="ignore"):
            result: Doubles = self.products / np.outer(spread, spread)
        return np.clip(result, -1.0, 1.0)
