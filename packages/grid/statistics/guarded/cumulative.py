"""How many values of each group lie below a place: what histograms at any edges and quantiles are read from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.statistics.guarded.trees import consistent, interval_deviation, prefix_deviation
from grid.statistics.histograms import edges_of
from grid.statistics.reading import Doubles
from syft_ext.messages.statistics import Bins, RankCounts, RankQuery
from syft_ext.statistics.order import values_of

__all__ = ["Cumulative", "cumulative_of"]


@dataclass(frozen=True, slots=True)
class Cumulative:
    """Attributes:
    edges: of the cells. whole: values are whole numbers, and lie between the edges.
    below: per group, how many values are below each edge (groups × edges); from 0 on, never falling.
    deviation: standard deviation of the noise in one number of the tree.
    """

    edges: Doubles
    whole: bool
    below: Doubles
    deviation: float

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest value that there can be."""
        low, high = float(self.edges[0]), float(self.edges[-1])
        return (float(np.ceil(low)), float(np.floor(high))) if self.whole else (low, high)

    @property
    def rank_deviation(self) -> float:
        """Standard deviation of the number of values below a place, at its largest, in rows."""
        return self.deviation * prefix_deviation(len(self.edges) - 1)

    @property
    def total_deviation(self) -> float:
        """Standard deviation of :meth:`totals`, in rows."""
        cells = len(self.edges) - 1
        return self.deviation * interval_deviation(cells, np.ones(cells))

    def totals(self) -> NDArray[np.int64]:
        """The values of each group; none where noise made fewer of them."""
        return np.rint(self.below[:, -1]).astype(np.int64)

    def scaled_to(self, totals: NDArray[np.int64]) -> Cumulative:
        """With other totals (0 where they are below): what was measured twice is told once."""
        wanted = np.maximum(totals, 0).astype(np.float64)
        own = self.below[:, -1]
        ratio = np.divide(wanted, own, out=np.zeros_like(wanted), where=own > 0)
        below = self.below * ratio[:, None]
        # A group of which the tree says nothing, and the count something: spread evenly.
        empty = own <= 0
        if empty.any():
            below[empty] = wanted[empty, None] * np.linspace(0.0, 1.0, len(self.edges))
        below[:, -1] = wanted
        return Cumulative(self.edges, self.whole, below, self.deviation)

    def _at(self, group: int, values: Doubles) -> Doubles:
        """How many values of a group are below each of the places; places may be infinite."""
        places = np.ceil(values) - 0.5 if self.whole else values
        result: Doubles = np.interp(places, self.edges, self.below[group])
        return result

    def quantile(self, group: int, q: float) -> float:
        """The place below which the share ``q`` of a group's values lies."""
        below = self.below[group] + np.arange(len(self.edges)) * 1e-9
        return float(np.interp(q * self.below[group, -1], below, self.edges))

    def counts(self, bins: Bins) -> NDArray[np.int64]:
        """Per group: values below the first edge, in each bin (the last one closed), and above."""
        edges = edges_of(bins)
        inner = edges.copy()
        inner[-1] = np.nextafter(inner[-1], np.inf)
        rows = []
        for group in range(len(self.below)):
            cuts = np.rint(np.concatenate([[0.0], self._at(group, inner), [self.below[group, -1]]]))
            rows.append(np.diff(cuts))
        return np.array(rows).astype(np.int64).reshape(len(self.below), len(edges) + 1)

    def bin_deviation(self, bins: Bins) -> float:
        """Standard deviation of the noise in the count of one bin, at its largest, in rows."""
        edges = edges_of(bins)
        places = np.ceil(edges) - 0.5 if self.whole else edges
        widths = np.diff(self.edges)
        worst = 0.0
        picked = np.unique(np.linspace(0, len(places) - 2, min(len(places) - 1, 32)).astype(int))
        for bin_ in picked.tolist():
            low, high = places[bin_], places[bin_ + 1]
            inside = np.minimum(self.edges[1:], high) - np.maximum(self.edges[:-1], low)
            share = np.clip(inside / widths, 0.0, 1.0)
            worst = max(worst, interval_deviation(len(widths), share))
        return self.deviation * worst

    def ranks(self, query: RankQuery, group: int) -> RankCounts:
        """How many values of a group lie in each range of a query, as differences of whole numbers."""
        start = query.start + (1 << 63)
        last = (1 << 64) - 1
        steps = np.arange(query.bins + 1, dtype=np.uint64)
        # Places beyond the last one are the last: what would be shifted or added past it wraps around else.
        most = (last - start) >> query.shift
        beyond = steps > np.uint64(most) if most <= query.bins else np.zeros(len(steps), dtype=np.bool_)
        shifted = steps << np.uint64(query.shift) if query.shift < 64 else np.zeros_like(steps)
        places = np.where(beyond, np.uint64(last), shifted + np.uint64(start))
        values = values_of(places)
        # Outside of the infinities there are no values: below the least of them lie none, above the largest all.
        upper = places >= np.uint64(1 << 63)
        values = np.where(np.isnan(values), np.where(upper, np.inf, -np.inf), values)
        cuts = np.rint(self._at(group, values))
        cuts[beyond | np.isposinf(values)] = np.rint(self.below[group, -1])
        counts = np.diff(cuts).astype(np.int64)
        found = np.flatnonzero(counts)
        return RankCounts(bins=found.tolist(), counts=counts[found].tolist())


def cumulative_of(tree: NDArray[np.int64], edges: Doubles, whole: bool, deviation: float) -> Cumulative:
    """From a noisy tree (groups × numbers) over the cells between ``edges``.

    What never falls ends higher than what it was made of, by much where a group is small; totals are as measured.
    """
    leaves = consistent(tree.astype(np.float64), len(edges) - 1)
    below = np.concatenate([np.zeros((len(leaves), 1)), np.cumsum(leaves, axis=1)], axis=1)
    rising = np.maximum.accumulate(below, axis=1)
    falling = np.minimum.accumulate(below[:, ::-1], axis=1)[:, ::-1]
    made = Cumulative(edges, whole, np.maximum((rising + falling) / 2, 0.0), deviation)
    return made.scaled_to(np.rint(below[:, -1]).astype(np.int64))
