"""From measurements to what a site answers: partial aggregates, each with the standard deviation of its noise.

Everything here is a function of noisy numbers and of public ones, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.statistics.guarded.cumulative import Cumulative
from grid.statistics.guarded.questions import Measured, Question
from grid.statistics.guarded.regressions import co_moments
from grid.statistics.guarded.release import Release
from grid.statistics.guarded.terms import Terms
from grid.statistics.guarded.vectors import MOMENT_STEPS
from grid.statistics.histograms import edges_of
from grid.statistics.reading import Doubles
from grid.statistics.rules import REGRESSIONS
from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import (
    Bins,
    ColumnPartial,
    CountsInBins,
    Partials,
    RankCounts,
    RankQuery,
)

__all__ = ["GuardedAnswers", "answers_of"]

Mask = NDArray[np.bool_]
_MAX_COUNTS = 1 << 20


@dataclass(frozen=True, slots=True)
class GuardedAnswers:
    """What an analysis may be told, and asked on.

    Attributes:
        deviation: standard deviation of the noise in a count, in rows; where it was asked for by itself.
        deviations: by column, that of its counts: those that are read off a tree have more.
        fewest: bins of fewer rows are kept back.
        hidden: by column, which groups are kept back. codes: the groups that are answered for.
        below: by column, where histograms and quantiles are read from.
        missing: whether to tell how many values are missing beside what was asked, where that was measured.
    """

    question: Question
    measured: Measured
    deviation: float
    deviations: dict[str, float]
    fewest: int
    hidden: dict[str, Mask]
    codes: list[int]
    below: dict[str, Cumulative]
    missing: bool = False

    def partials(self) -> Partials:
        """The first answer."""
        question, asked = self.question, self.question.asked
        noise = max([self.deviation, *self.deviations.values()])
        reply = Partials(groups=self._keys(), noise=noise, suppressed=self._suppressed())
        if asked - REGRESSIONS:
            reply.columns = [self._column(each.name) for each in question.columns]
        for bins in question.message.histograms:
            reply.histograms.append(self.histogram(bins))
        if asked & REGRESSIONS:
            reply.comoments = co_moments(question, self.measured, self.deviation, self.fewest)
        reply.suppressed |= any(None in row for each in reply.histograms for row in each.counts)
        return reply

    def histogram(self, bins: Bins) -> CountsInBins:
        """Counts at any edges; bins of few rows are kept back, and all of a group that is."""
        below, hidden = self.below[bins.column], self.hidden[bins.column]
        counts = below.counts(bins)
        mask = (
            (counts < self.fewest) | hidden[:, None]
            if self.fewest > 1
            else np.repeat(hidden[:, None], counts.shape[1], axis=1)
        )
        return CountsInBins(
            column=bins.column,
            edges=edges_of(bins).tolist(),
            counts=[_told(counts[code], mask[code]) for code in self.codes],
            noise=below.bin_deviation(bins),
        )

    def ranks(self, queries: Sequence[RankQuery]) -> list[RankCounts]:
        """Counts in ranges; of a group whose column is kept back, none."""
        if sum(query.bins for query in queries) > _MAX_COUNTS:
            raise BadRequest("too many ranges in one round")
        found = []
        for query in queries:
            if query.group >= len(self.codes):
                raise BadRequest("there is no such group, or it was not answered for")
            code = self.codes[query.group]
            if self.hidden[query.column][code]:
                raise BadRequest("this group's values are kept back", column=query.column)
            found.append(self.below[query.column].ranks(query, code))
        return found

    def _keys(self) -> list[list[int]]:
        grouping, place = self.measured.grouping, self.question.place
        if grouping is None or grouping.groups is None:
            return []
        keys = []
        for code in self.codes:
            sorted_key = grouping.groups.key(code)
            key = [0] * len(sorted_key)
            for value, at in zip(sorted_key, place, strict=True):
                key[at] = value
            keys.append(key)
        return keys

    def _suppressed(self) -> bool:
        """Where there are groups, some may be kept back, and whether there are any is not told."""
        grouped = bool(self.question.by)
        return grouped or any(bool(mask.any()) for mask in self.hidden.values())

    def _column(self, name: str) -> ColumnPartial:
        asked, found = self.question.asked, self.measured
        spread = bool(asked & {"variance", "std"})
        mean = spread or "mean" in asked
        partial, noise = ColumnPartial(name=name), dict[str, list[float | None]]()
        hidden = self.hidden[name]

        def tell(field: str, values: NDArray[Any], deviation: Doubles | float) -> None:
            setattr(partial, field, self._chosen(values, hidden))
            spreads = np.broadcast_to(np.asarray(deviation, dtype=np.float64), values.shape)
            noise[field] = self._chosen(spreads, hidden)

        count = self._count(name)
        if mean or asked & {"count", "quantile"}:
            tell("count", count, self.deviations[name])
        if "missing" in asked or (self.missing and name in found.counts):
            tell("missing", np.maximum(found.counts[name][1], 0), self.deviation)
        if mean or "sum" in asked:
            low, high = found.bounds[name]
            middle, half = low / 2 + high / 2, high / 2 - low / 2
            many = np.maximum(count, 1)
            first = found.sums[name] / MOMENT_STEPS
            share = np.clip(first / many, -1.0, 1.0)
            if "sum" in asked:
                total = middle * count + half * first
                tell("sum", total, self.deviation * sqrt(middle * middle + half * half))
            if mean:
                mean_noise = self.deviation * half * np.sqrt(1 + share * share) / many
                tell("mean", middle + half * share, mean_noise)
            if spread:
                second = found.squares[name] / MOMENT_STEPS
                with np.errstate(over="ignore"):  # of bounds as far apart as doubles are
                    square = np.multiply(half, half)
                    m2 = many * np.maximum(second / many - share * share, 0.0) * square
                    m2_noise = self.deviation * square * np.sqrt(1 + 4 * share**2 + share**4)
                tell("m2", m2, m2_noise)
        if asked & {"quantile", "histogram"}:
            below = self.below[name]
            ends = np.repeat(np.array([below.ends]), len(hidden), axis=0)
            partial.min = self._chosen(ends[:, 0], hidden)
            partial.max = self._chosen(ends[:, 1], hidden)
            noise["rank"] = self._chosen(np.full(len(hidden), below.rank_deviation), hidden)
        partial.noise = noise
        return partial

    def _count(self, name: str) -> NDArray[np.int64]:
        found = self.measured
        return found.counts[name][0] if name in found.counts else self.below[name].totals()

    def _chosen(self, values: NDArray[Any], hidden: Mask) -> list[Any]:
        return _told(values[self.codes], hidden[self.codes])


def answers_of(question: Question, measured: Measured, release: Release, terms: Terms) -> GuardedAnswers:
    """Which groups are shown, and what of them; once all measurements are there."""
    deviation = release.sigma * release.most / sqrt(question.message.precision)
    grouping = measured.grouping
    size = 1 if grouping is None else grouping.size
    # Of many empty groups, some reach two standard deviations by noise alone: hardly one reaches this.
    spread = max(2.0, sqrt(2 * log(max(size, 1))))
    below, hidden, deviations = {}, {}, {}
    for public in question.columns:
        name = public.name
        tree, counts = measured.trees.get(name), measured.counts.get(name)
        if counts is not None:
            many = counts[0] if question.asked != {"missing"} else counts.sum(axis=0)
        elif tree is not None:
            many = tree.totals()
        else:
            continue
        deviations[name] = deviation if counts is not None or tree is None else tree.total_deviation
        hidden[name] = many < terms.fewest + spread * deviations[name]
        if tree is not None:
            below[name] = tree if counts is None else tree.scaled_to(counts[0])
    shown = np.zeros(size, dtype=np.bool_)
    for mask in hidden.values():
        shown |= ~mask
    codes = np.flatnonzero(shown).tolist() if question.by else [0]
    return GuardedAnswers(
        question, measured, deviation, deviations, terms.fewest, hidden, codes, below, terms.missing
    )


def _told(values: NDArray[Any], hidden: Mask) -> list[Any]:
    """Python numbers, None where hidden."""
    pairs = zip(values.tolist(), hidden.tolist(), strict=True)
    return [None if secret else number for number, secret in pairs]
