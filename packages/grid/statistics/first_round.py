"""The first round: everything that one reading of the table gives, exactly or with noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from grid.concurrency.offload import offload
from grid.statistics.columns import Column
from grid.statistics.groups import MAX_GROUPS, Groups, find_groups
from grid.statistics.histograms import MAX_CELLS, Histogram
from grid.statistics.moments import Codes, Moments
from grid.statistics.private import ClippedSums, allowed_groups, cost, missing_bounds
from grid.statistics.reading import Doubles, rows_of
from grid.statistics.regressions import CoMomentSums
from grid.statistics.release import (
    exact_column,
    exact_histogram,
    noisy_column,
    noisy_histogram,
    shown_groups,
)
from grid.statistics.rules import REGRESSIONS, check_size
from grid.statistics.sweep import ColumnWork, Opened, sweep
from syft_ext.errors import BadRequest, Forbidden, TooLarge
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.statistics import Begin, Partials

__all__ = ["FirstRound"]

Bounds = Mapping[str, tuple[float, float]]


class _Rows:
    """Counts the rows of each group."""

    def __init__(self, groups: int) -> None:
        self.rows = np.zeros(groups, dtype=np.int64)

    def add(self, values: Doubles, codes: Codes | None) -> None:
        if codes is not None:
            self.rows += np.bincount(codes, minlength=len(self.rows))


@dataclass(slots=True)
class FirstRound:
    """Attributes:
    keys, groups, codes: how rows are grouped, and which groups are answered for, once :meth:`run` was.
    """

    opened: Opened
    message: Begin
    policy: SitePolicy
    bounds: Bounds
    keys: list[Column] = field(default_factory=list)
    groups: Groups | None = None
    codes: list[int] = field(default_factory=list)

    def run(self) -> Partials:
        """Check the names, read the table, and say what may leave."""
        message, table = self.message, self.opened.table
        columns = table.take(message.columns)
        self.keys = table.take_keys(message.by)
        together = columns + (table.take([message.target]) if message.target else [])
        if message.target in message.columns:
            raise BadRequest("the target of a regression is among its columns", column=message.target)
        if len({column.rows for column in [*self.keys, *together]}) != 1:
            raise BadRequest("the columns do not have the same number of rows")
        check_size(self.policy, rows_of(columns))
        epsilon = self.policy.statistics_epsilon
        if epsilon is not None:
            return self._with_noise(columns, epsilon)
        return self._exactly(columns, together)

    def _exactly(self, columns: list[Column], together: list[Column]) -> Partials:
        if self.keys:
            self.groups = offload(find_groups, self.opened.descriptor, self.opened.table.offset, self.keys)
        size = self._size(len(columns))
        asked = self._asked()
        crossed = CoMomentSums([column.name for column in together]) if asked & REGRESSIONS else None
        moments = {column.name: self._moments(size, asked) for column in columns}
        work = [ColumnWork(column, size, [moments[column.name]]) for column in columns]
        if not asked - REGRESSIONS:
            work = []  # co-moments say all that is asked
        histograms = self._histograms(work, size)
        counter = _Rows(size)
        if self.keys:
            work.append(ColumnWork(self.keys[0], size, [counter]))
        sweep(
            self.opened,
            work,
            keys=self.keys,
            groups=self.groups,
            together=together if crossed else (),
            rows=crossed.add if crossed else None,
        )
        minimum, suppressed = self.policy.min_rows, False
        self.codes, rows = [0], np.array([rows_of(columns)])
        if self.groups is not None:
            rows = counter.rows
            self.codes, suppressed = shown_groups(rows, minimum)
            if len(self.codes) > MAX_GROUPS:
                raise TooLarge("too many groups", limit=MAX_GROUPS)
        reply = Partials(groups=self._group_keys(), suppressed=suppressed)
        kept_back = {}
        for each in work[: len(columns)]:
            name = each.column.name
            partial, kept_back[name] = exact_column(
                name, moments[name], each.missing, asked, rows, self.codes, minimum
            )
            reply.columns.append(partial)
            reply.suppressed |= bool(kept_back[name][self.codes].any())
        for name, histogram in histograms:
            counts, some = exact_histogram(name, histogram, self.codes, minimum, kept_back[name])
            reply.histograms.append(counts)
            reply.suppressed |= some
        if crossed is not None:
            self._check_regression(crossed)
            reply.comoments = crossed.result()
        return reply

    def _with_noise(self, columns: list[Column], epsilon: float) -> Partials:
        for column in columns:
            if column.name not in self.bounds:
                raise missing_bounds(column.name)
        if self.keys:
            self.groups = allowed_groups(self.keys, self.bounds)
        size, asked = self._size(len(columns)), self._asked()
        sums = {column.name: ClippedSums(self.bounds[column.name], size) for column in columns}
        work = [
            ColumnWork(column, size, [sums[column.name]], clip=sums[column.name].clip) for column in columns
        ]
        histograms = self._histograms(work, size)
        if "histogram" in asked and len(histograms) < len(columns):
            raise BadRequest("with noise, the range of a histogram must be given: the data do not tell it")
        sweep(self.opened, work, keys=self.keys, groups=self.groups)
        self.codes = list(range(size))
        minimum = self.policy.min_rows
        reply = Partials(groups=self._group_keys(), epsilon=cost(self.message, epsilon))
        for each in work:
            name = each.column.name
            partial, some = noisy_column(name, sums[name], each.missing, asked, epsilon, minimum)
            reply.columns.append(partial)
            reply.suppressed |= some
        for name, histogram in histograms:
            counts, some = noisy_histogram(name, histogram, epsilon, minimum)
            reply.histograms.append(counts)
            reply.suppressed |= some
        return reply

    def _asked(self) -> set[str]:
        """The statistics, and "range" where a histogram's range must be found in the data first."""
        asked: set[str] = set(self.message.statistics)
        unknown = set(self.message.columns) - {bins.column for bins in self.message.histograms}
        if "histogram" in asked and unknown and self.policy.min_rows == 1:
            asked.add("range")
        return asked

    def _size(self, columns: int) -> int:
        size = 1 if self.groups is None else self.groups.size
        if size * columns > MAX_CELLS:
            raise TooLarge("too many groups for so many columns", limit=MAX_CELLS)
        return size

    def _moments(self, size: int, asked: set[str]) -> Moments:
        return Moments(
            size,
            deviations=bool(asked & {"variance", "std"}),
            extremes=bool(asked & {"min", "max", "quantile", "range"}),
        )

    def _histograms(self, work: list[ColumnWork], size: int) -> list[tuple[str, Histogram]]:
        """Each in the work of its column."""
        made = []
        for bins in self.message.histograms:
            histogram = Histogram(bins, size)
            next(each for each in work if each.column.name == bins.column).sinks.append(histogram)
            made.append((bins.column, histogram))
        return made

    def _group_keys(self) -> list[list[int]]:
        return [] if self.groups is None else [self.groups.key(code) for code in self.codes]

    def _check_regression(self, sums: CoMomentSums) -> None:
        check_size(self.policy, sums.rows)
        if self.policy.min_rows > 1 and sums.rows <= len(sums.names):
            raise Forbidden("the site's policy demands more complete rows than there are columns")
