"""The first round where answers are exact: everything that one reading of the table gives."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from grid.concurrency.offload import offload
from grid.statistics.columns import Column, target_of
from grid.statistics.groups import MAX_GROUPS, Groups, find_groups
from grid.statistics.histograms import MAX_CELLS, Histogram
from grid.statistics.moments import Codes, Moments
from grid.statistics.reading import Doubles
from grid.statistics.regressions import CoMomentSums
from grid.statistics.release import exact_column, exact_histogram
from grid.statistics.rules import REGRESSIONS
from grid.statistics.sweep import ColumnWork, Opened, sweep
from syft_ext.errors import BadRequest, TooLarge
from syft_ext.messages.statistics import Begin, Partials

__all__ = ["FirstRound"]


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
    missing: whether to tell how many values are missing beside what was asked.
    keys, groups, codes: how rows are grouped, and which groups are answered for, once :meth:`run` was.
    """

    opened: Opened
    message: Begin
    missing: bool = False
    keys: list[Column] = field(default_factory=list)
    groups: Groups | None = None
    codes: list[int] = field(default_factory=list)

    def run(self) -> Partials:
        """Check the names, and read the table."""
        return self._read(*self.check())

    def check(self) -> tuple[list[Column], list[Column]]:
        """The columns, and those with the target; raises :class:`BadRequest` for what does not fit."""
        message, table = self.message, self.opened.table
        columns = table.take_terms(message.columns, message.levels)
        self.keys = table.take_keys(message.by)
        target = target_of(message, table)
        together = columns + ([] if target is None else [target])
        if message.target in message.columns:
            raise BadRequest("the target of a regression is among its columns", column=message.target)
        if len({column.rows for column in [*self.keys, *together]}) != 1:
            raise BadRequest("the columns do not have the same number of rows")
        return columns, together

    def _read(self, columns: list[Column], together: list[Column]) -> Partials:
        if self.keys:
            self.groups = offload(find_groups, self.opened.descriptor, self.opened.table.offset, self.keys)
        size = self._size(len(columns))
        asked = self._asked()
        crossed = CoMomentSums([column.label for column in together]) if asked & REGRESSIONS else None
        moments = {column.name: self._moments(size, asked) for column in columns}
        work = [ColumnWork(column, size, [moments[column.name]]) for column in columns]
        if not set(self.message.statistics) - REGRESSIONS:
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
        self.codes = [0]
        if self.groups is not None:
            self.codes = np.flatnonzero(counter.rows).tolist()
            if len(self.codes) > MAX_GROUPS:
                raise TooLarge("too many groups", limit=MAX_GROUPS)
        reply = Partials(groups=self._group_keys())
        for each in work[: len(columns)]:
            name = each.column.name
            reply.columns.append(exact_column(name, moments[name], each.missing, asked, self.codes))
        for name, histogram in histograms:
            reply.histograms.append(exact_histogram(name, histogram, self.codes))
        if crossed is not None:
            reply.comoments = crossed.result()
        return reply

    def _asked(self) -> set[str]:
        """The statistics, and "range" where a histogram's range must be found in the data first."""
        asked: set[str] = set(self.message.statistics)
        unknown = set(self.message.columns) - {bins.column for bins in self.message.histograms}
        if "histogram" in asked and unknown:
            asked.add("range")
        if self.missing:
            asked.add("missing")
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
