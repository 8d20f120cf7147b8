"""Partial aggregates of several sites as those of all rows together.

Means and squared deviations by Chan, Golub and LeVeque (1979), co-moments likewise: equal to those of the
pooled rows but for rounding, in whatever order the sites come.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import ColumnPartial, CoMoments, CountsInBins
from syft_ext.statistics.tolerance import EPSILON, LEAST_SQUARE, does_not_vary, moved

__all__ = ["CoTotals", "ColumnTotals", "HistogramTotals", "all_groups", "fields_of"]

Doubles = NDArray[np.float64]


def all_groups(groups: Sequence[Sequence[Hashable]], keys: Sequence[Hashable]) -> list[NDArray[np.intp]]:
    """For each site, at which of ``keys`` its groups are; raises :class:`BadRequest` where it names one twice."""
    place = {key: index for index, key in enumerate(keys)}
    if any(len(set(each)) != len(each) for each in groups):
        raise BadRequest("a site names a group twice")
    return [np.array([place[key] for key in each], dtype=np.intp) for each in groups]


def fields_of(asked: set[str]) -> set[str]:
    """What every site has to answer of a column, so that nothing is left out of a total unseen."""
    fields = asked & {"missing", "sum", "min", "max"}
    if asked & {"mean", "variance", "std"}:
        fields |= {"count", "mean"}
    if asked & {"variance", "std"}:
        fields |= {"m2"}
    if "quantile" in asked:
        fields |= {"min", "max"}
    return fields | ({"count"} if asked & {"count", "quantile"} else set())


class ColumnTotals:
    """One column over all sites; arrays over the groups. ``kept_back`` marks groups that a site hides.

    ``noise`` has the variances of the noise in these numbers, by their name, and in "rank" that of the number of
    values below a place; zero where all sites are exact.
    """

    def __init__(self, groups: int) -> None:
        self.count = np.zeros(groups, dtype=np.int64)
        self.missing = np.zeros(groups, dtype=np.int64)
        self.sum, self.mean, self.m2 = np.zeros(groups), np.full(groups, np.nan), np.zeros(groups)
        self._rest = np.zeros(groups)
        self.min, self.max = np.full(groups, np.nan), np.full(groups, np.nan)
        self.kept_back = np.zeros(groups, dtype=np.bool_)
        self.answered = np.zeros(groups, dtype=np.bool_)
        self.noise = {name: np.zeros(groups) for name in ("count", "missing", "sum", "mean", "m2", "rank")}

    def add(self, partial: ColumnPartial, at: NDArray[np.intp], needed: set[str]) -> NDArray[np.bool_]:
        """Take in a site's partial, whose groups are at ``at``; which of these it keeps back.

        Raises :class:`BadRequest` where it lacks what is ``needed``, or tells more of one number than of another.
        """
        fields = ("count", "missing", "sum", "mean", "m2", "mean_rest", "min", "max")
        given = {name: getattr(partial, name) for name in fields if getattr(partial, name) or name in needed}
        if any(len(values) != len(at) for values in given.values()):
            raise BadRequest("a site answered for other groups than it named, or not all that it was asked")
        if not given or not len(at):
            return np.zeros(len(at), dtype=np.bool_)
        told = [[value is None for value in values] for values in given.values()]
        hidden = np.array(told[0], dtype=np.bool_)
        if any(each != told[0] for each in told):
            raise BadRequest("a site keeps some numbers of a group back and tells others")
        self.kept_back[at[hidden]] = True
        at = at[~hidden]
        self.answered[at] = True
        values = {
            name: np.array([number for number in numbers if number is not None], dtype=np.float64)
            for name, numbers in given.items()
        }
        with np.errstate(over="ignore"):
            variances = {
                name: np.array([number for number in numbers if number is not None], dtype=np.float64) ** 2
                for name, numbers in partial.noise.items()
            }
        if any(len(variance) != len(at) for variance in variances.values()):
            raise BadRequest("a site tells the noise of other groups than it named")
        if "mean" in values:
            self._add_mean_noise(at, values["count"], variances.get("mean"))
            self._add_means(at, values)
        for name in ("count", "missing", "sum", "m2", "rank"):
            if name in variances:
                self.noise[name][at] += variances[name]
        for name in ("count", "missing"):
            if name in values:
                getattr(self, name)[at] += values[name].astype(np.int64)
        if "sum" in values:
            self.sum[at] += values["sum"]
        if "min" in values:
            self.min[at] = np.fmin(self.min[at], values["min"])
        if "max" in values:
            self.max[at] = np.fmax(self.max[at], values["max"])
        return hidden

    def _add_mean_noise(self, at: NDArray[np.intp], count: Doubles, variance: Doubles | None) -> None:
        here, there = np.maximum(self.count[at], 0), np.maximum(count, 0)
        total = np.maximum(here + there, 1)
        with np.errstate(over="ignore", invalid="ignore"):
            added = 0.0 if variance is None else (there / total) ** 2 * variance
            self.noise["mean"][at] = (here / total) ** 2 * self.noise["mean"][at] + added

    def _add_means(self, at: NDArray[np.intp], values: Mapping[str, Doubles]) -> None:
        # With noise, a count can be negative: it weighs nothing.
        here, there = np.maximum(self.count[at], 0), np.maximum(values["count"], 0)
        total = here + there
        mean, rest = values["mean"], values.get("mean_rest", np.zeros(len(at)))
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            step = (mean - self.mean[at]) + (rest - self._rest[at])
            merged, left = moved(self.mean[at], self._rest[at], step * (there / total))
            spread = np.where(here > 0, step, 0.0) ** 2 * (here * there / total)
        both, first = (here > 0) & (there > 0), (here == 0) & (there > 0)
        self.mean[at] = np.where(both, merged, np.where(first, mean, self.mean[at]))
        self._rest[at] = np.where(both, left, np.where(first, rest, self._rest[at]))
        if (m2 := values.get("m2")) is not None:
            self.m2[at] += np.where(there > 0, m2, 0.0) + np.where(both, spread, 0.0)

    def variance(self, ddof: int) -> Doubles:
        """NaN where there are not more than ``ddof`` values."""
        free = self.count - ddof
        m2 = np.where(self.does_not_vary, 0.0, self.m2)
        return np.where(free > 0, m2 / np.maximum(free, 1), np.nan)

    @property
    def does_not_vary(self) -> NDArray[np.bool_]:
        """The groups that have values, and all the same; where noise is, that is not known."""
        found: NDArray[np.bool_] = (
            (self.noise["m2"] == 0) & (self.count > 0) & does_not_vary(self.m2, self.mean)
        )
        return found

    def deviation(self, statistic: str, ddof: int) -> Doubles:
        """The standard deviation of the noise in a statistic, per group; of a deviation, to first order."""
        if statistic in self.noise:
            return np.sqrt(self.noise[statistic])
        free = np.maximum(self.count - ddof, 1)
        variance = np.sqrt(self.noise["m2"]) / free
        if statistic == "variance":
            return variance
        spread = np.sqrt(np.maximum(self.m2 / free, 0.0))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(variance > 0, variance / (2 * spread), 0.0)


class HistogramTotals:
    """Counts per group: below, in the bins, above. ``kept_back`` marks cells that a site hides.

    ``noise``: the variance of the noise in a bin, at its largest.
    """

    def __init__(self, groups: int, edges: Sequence[float]) -> None:
        self.edges = np.array(edges)
        self.counts = np.zeros((groups, len(edges) + 1), dtype=np.int64)
        self.kept_back = np.zeros(self.counts.shape, dtype=np.bool_)
        self.noise = 0.0

    def add(self, partial: CountsInBins, at: NDArray[np.intp]) -> None:
        """Take in a site's counts; ``at`` says which group each of its rows is of.

        Raises :class:`BadRequest` when the site counted in other bins.
        """
        if partial.edges != self.edges.tolist() or len(partial.counts) != len(at):
            raise BadRequest("the sites counted in different bins")
        self.noise += partial.noise**2
        for place, row in zip(at, partial.counts, strict=True):
            self.counts[place] += [number or 0 for number in row]
            self.kept_back[place] |= [number is None for number in row]


class CoTotals:
    """Number of complete rows, means, and the matrix of co-moments.

    ``noise``: the variances of the noise in its numbers; zero where all sites are exact. ``rounding``: by column,
    how far apart neighbours of its type are, relative to their size, at the coarsest site.
    """

    def __init__(self, partials: Sequence[CoMoments]) -> None:
        self.names = partials[0].columns
        size = len(self.names)
        self.rows, self.mean, self.products = 0, np.zeros(size), np.zeros((size, size))
        self.noise = np.zeros((size, size))
        self.rounding, self._rest = np.full(size, EPSILON), np.zeros(size)
        for partial in partials:
            if (partial.columns, len(partial.mean), len(partial.products)) != (self.names, size, size * size):
                raise BadRequest("the sites answered for different columns")
            if len(partial.noise) not in (0, size * size) or len(partial.mean_rest) not in (0, size):
                raise BadRequest("the sites answered for different columns")
            if partial.noise:
                self.noise += np.array(partial.noise).reshape(size, size) ** 2
            if partial.rows:
                rest = np.array(partial.mean_rest or [0.0] * size)
                self._add(partial.rows, np.array(partial.mean), rest, np.array(partial.products))

    def _add(self, rows: int, mean: Doubles, rest: Doubles, products: NDArray[Any]) -> None:
        total = self.rows + rows
        self.products += products.reshape(self.products.shape)
        if self.rows:
            with np.errstate(over="ignore", invalid="ignore"):
                step = (mean - self.mean) + (rest - self._rest)
                self.products += np.outer(step, step) * (self.rows * rows / total)
                self.mean, self._rest = moved(self.mean, self._rest, step * (rows / total))
        else:
            self.mean, self._rest = mean, rest
        self.rows = total

    def of(self, places: Sequence[int]) -> CoTotals:
        """Of some of the columns; complete rows stay those of all."""
        chosen = CoTotals.__new__(CoTotals)
        square = np.ix_(list(places), list(places))
        chosen.names, chosen.rows = [self.names[place] for place in places], self.rows
        chosen.mean, chosen.rounding = self.mean[list(places)], self.rounding[list(places)]
        chosen.products, chosen.noise = self.products[square], self.noise[square]
        return chosen

    def faults(self) -> list[str]:
        """By column, why nothing can be told of how it varies; "" where it can."""
        found = []
        for square, mean, noise in zip(np.diag(self.products), self.mean, np.diag(self.noise), strict=True):
            if not np.isfinite(square):
                found.append("holds infinities, or values whose squares are beyond what doubles hold")
            elif noise > 0:
                found.append("varies by no more than the noise" if square <= 2 * np.sqrt(noise) else "")
            elif does_not_vary(square, mean):
                found.append("does not vary")
            else:
                found.append(
                    "varies by so little that squares of it lose digits" if square < LEAST_SQUARE else ""
                )
        return found

    def covariance(self, ddof: int) -> Doubles:
        """Columns × columns, divided by rows − ``ddof``; NaN where there are not more rows than that."""
        if self.rows <= ddof:
            return np.full(self.products.shape, np.nan)
        result: Doubles = self.products / (self.rows - ddof)
        return result

    def correlation(self) -> Doubles:
        """Pearson's; NaN for a column that does not vary, or of which that cannot be told (:meth:`faults`)."""
        good = np.array([not fault for fault in self.faults()], dtype=np.bool_)
        spread = np.sqrt(np.where(good, np.diag(self.products), np.nan))
        with np.errstate(invalid="ignore"):
            result: Doubles = np.clip(self.products / spread[:, None] / spread, -1.0, 1.0)
        np.fill_diagonal(result, np.where(good, 1.0, np.nan))
        return result

    def correlation_deviation(self) -> Doubles:
        """The standard deviation of the noise in each correlation, to first order."""
        squares = np.diag(self.products)
        with np.errstate(invalid="ignore", divide="ignore"):
            own = np.diag(self.noise) / squares**2
            cross = self.noise / np.outer(squares, squares)
            found: Doubles = np.sqrt(cross + self.correlation() ** 2 / 4 * (own[:, None] + own[None, :]))
        np.fill_diagonal(found, 0.0)
        return found
