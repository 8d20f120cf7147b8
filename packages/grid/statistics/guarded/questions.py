"""What an analysis needs to be measured, in canonical form, and how its needs follow from one another.

The same function prices a question (:attr:`Release.read` is None: what is not known is counted) and answers it, so
that the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from grid.statistics.columns import Column, Table, place_of, target_of
from grid.statistics.groups import MAX_GROUPS, Groups
from grid.statistics.guarded import measurement as m
from grid.statistics.guarded.cumulative import Cumulative, cumulative_of
from grid.statistics.guarded.grids import coarsened, leaves_of, values_of_groups
from grid.statistics.guarded.measurement import Measurement
from grid.statistics.guarded.release import Release, Unknown, Wanted
from grid.statistics.guarded.schema import PublicColumn, Said
from grid.statistics.guarded.terms import Terms
from grid.statistics.guarded.trees import tree_cells
from grid.statistics.guarded.vectors import Grouping
from grid.statistics.reading import Doubles
from grid.statistics.rules import REGRESSIONS
from syft_ext.errors import BadRequest, TooLarge
from syft_ext.messages.statistics import Begin

__all__ = ["LOGISTIC_ROUNDS", "Measured", "Question", "count_rows", "measure", "question_of"]

Whole = NDArray[np.int64]
Bounds = tuple[float, float]

LOGISTIC_ROUNDS = 5
"""Points at which a logistic regression may be asked; each costs two units, all are reserved at its beginning."""
_MAX_CELLS = 1 << 20
_MAX_CELLS_IN_ALL = 1 << 23
_FEWEST_CELLS = 16
_LARGEST = 1e300
"""Beyond it, the distance of two bounds could be infinite."""
_OUTSIDE = 0.002
"""The share of values at either end that the bounds of moments leave out."""
_MOMENTS = frozenset({"sum", "mean", "variance", "std"})
_SPREAD = frozenset({"variance", "std"})


@dataclass(frozen=True, slots=True)
class Question:
    """An analysis, checked against the table's columns, with what is public of them.

    Attributes:
        columns: in the order in which they were asked. by: sorted by name. target: of a regression, or None.
        place: where the message's ``by`` has each of ``by``.
    """

    message: Begin
    said: Said
    columns: list[PublicColumn]
    by: list[PublicColumn]
    target: PublicColumn | None
    place: list[int]
    longest: Column

    @property
    def asked(self) -> set[str]:
        return set(self.message.statistics)

    @property
    def binary(self) -> bool:
        """Whether the target is taken as 0 or 1 in the products of columns."""
        return "logistic_regression" in self.asked and "linear_regression" not in self.asked

    @property
    def together(self) -> list[PublicColumn]:
        """The columns of a regression, canonically: in the order in which they stand in the table."""
        named = [*self.columns, *([self.target] if self.target is not None else [])]
        return sorted(named, key=lambda each: place_of(each.column))


def question_of(message: Begin, table: Table, said: Said) -> Question:
    """Raises :class:`BadRequest` for names and shapes that do not fit; nothing here depends on a row's values."""
    columns, keys = table.take_terms(message.columns, message.levels), table.take_keys(message.by)
    target = target_of(message, table)
    if message.target in message.columns:
        raise BadRequest("the target of a regression is among its columns", column=message.target)
    if len({column.rows for column in [*columns, *keys, *([target] if target else [])]}) != 1:
        raise BadRequest("the columns do not have the same number of rows")
    order = sorted(range(len(keys)), key=lambda index: keys[index].name)
    longest = next(column for column in table.columns.values() if column.rows == columns[0].rows)
    return Question(
        message,
        said,
        [said.column(column) for column in columns],
        [said.column(keys[index]) for index in order],
        None if target is None else said.column(target),
        order,
        longest,
    )


@dataclass(slots=True)
class Measured:
    """What an analysis is answered from: everything that was asked for by name of its column.

    Attributes:
        grouping: None where its groups are not known yet, which is so only while a question is priced.
        bounds: that moments and products are cut off at.
        products: the triangle of ``together``; deviation: of the noise in each of its numbers, in steps.
    """

    grouping: Grouping | None = None
    bounds: dict[str, Bounds] = field(default_factory=dict)
    counts: dict[str, Whole] = field(default_factory=dict)
    sums: dict[str, Whole] = field(default_factory=dict)
    squares: dict[str, Whole] = field(default_factory=dict)
    trees: dict[str, Cumulative] = field(default_factory=dict)
    together: list[PublicColumn] = field(default_factory=list)
    products: Whole | None = None
    deviation: float = 0.0


def count_rows(question: Question, release: Release, terms: Terms) -> int | None:
    """The noisy number of rows, from which σ follows; None where it is not known and not to be made."""
    (found,) = release.take([m.rows(question.longest)])
    if found is None:
        return None
    release.sigma = terms.sigma(int(found[0]))
    return int(found[0])


def measure(question: Question, release: Release) -> Measured:
    """Have everything that the question needs; the number of rows comes first (:func:`count_rows`)."""
    return _Measuring(question, release).run()


class _Measuring:
    def __init__(self, question: Question, release: Release) -> None:
        self.question, self.release = question, release
        self.precision = question.message.precision
        self.asked = question.asked
        self.needs_tree = bool(self.asked & {"quantile", "histogram"})
        self.together = question.together if self.asked & REGRESSIONS else []
        self.found = Measured(together=self.together)
        self._logs: dict[str, Whole | None] = {}

    def run(self) -> Measured:
        question, found = self.question, self.found
        moments = question.columns if self.asked & _MOMENTS else []
        trees = question.columns if self.needs_tree else []
        bounded = _unique([*moments, *(each for each in self.together if not self._is_binary(each))])
        searched = [each for each in bounded if each.few is None]
        self._take_logs(_unique([*trees, *searched]), question.by)
        found.grouping = self._grouping()
        self._take_bounds(bounded)
        wanted: list[tuple[str, str, Wanted]] = []
        if self.asked - REGRESSIONS - {"quantile", "histogram"}:
            wanted += [("count", each.name, self._counts(each)) for each in question.columns]
        for each in moments:
            wanted.append(("sum", each.name, self._moment(each, 1)))
            if self.asked & _SPREAD:
                wanted.append(("square", each.name, self._moment(each, 2)))
        edges = {each.name: self._edges(each, grouped=True) for each in trees}
        wanted += [("tree", each.name, self._cells(each.column, edges[each.name])) for each in trees]
        if self.together:
            wanted.append(("products", "", self._products()))
        numbers = self.release.take([one for _, _, one in wanted], self.precision)
        for (kind, name, one), found_numbers in zip(wanted, numbers, strict=True):
            if found_numbers is not None and isinstance(one, Measurement):
                self._keep(kind, name, one, found_numbers, edges)
        return found

    def _keep(
        self, kind: str, name: str, one: Measurement, numbers: Whole, edges: dict[str, Doubles | None]
    ) -> None:
        found, deviation = self.found, self.release.deviation(one, self.precision)
        if kind == "tree":
            cells, public = edges[name], next(each for each in self.question.columns if each.name == name)
            assert cells is not None
            found.trees[name] = cumulative_of(numbers, cells, public.whole, deviation)
        elif kind == "products":
            found.products, found.deviation = numbers, deviation
        else:
            {"count": found.counts, "sum": found.sums, "square": found.squares}[kind][name] = numbers

    # -- what is public, or made so by a noisy number -------------------------------------------------

    def _is_binary(self, public: PublicColumn) -> bool:
        return self.question.binary and public is self.question.target

    def _take_logs(self, leaves: Sequence[PublicColumn], keys: Sequence[PublicColumn]) -> None:
        needed = [each for each in leaves if each.cells is None]
        needed += [each for each in keys if each.said is None and each not in needed]
        taken = self.release.take([m.log_counts(each.column) for each in needed])
        self._logs = {each.name: log for each, log in zip(needed, taken, strict=True)}

    def _log_deviation(self, public: PublicColumn) -> float:
        return self.release.deviation(m.log_counts(public.column))

    def _grouping(self) -> Grouping | None:
        values = []
        for each in self.question.by:
            log = self._logs.get(each.name)
            if each.said is None and log is None:
                return None
            found = values_of_groups(each, log, self._log_deviation(each))
            if found is None:
                raise BadRequest(
                    f"{each.name!r} has too many values to group by: its owner gave no bounds for it (low and "
                    "high in the schema), or too wide ones",
                    column=each.name,
                )
            # Where no value is seen, one that everybody would guess: rows of it would be kept back.
            values.append(found if len(found) else np.zeros(1, dtype=np.int64))
        if not values:
            return Grouping()
        if np.prod([len(each) for each in values], dtype=float) > MAX_GROUPS:
            raise TooLarge("too many groups", limit=MAX_GROUPS)
        return Grouping([each.column for each in self.question.by], Groups(values))

    def _edges(self, public: PublicColumn, *, grouped: bool) -> Doubles | None:
        if public.cells is None and self._logs.get(public.name) is None:
            return None
        edges = leaves_of(public, self._logs.get(public.name), self._log_deviation(public))
        if not grouped:
            return edges
        if self.found.grouping is None:
            return None
        groups = max(1, self.found.grouping.size)
        most = _MAX_CELLS // groups * 6 // 7
        if most < _FEWEST_CELLS:
            raise TooLarge("too many groups for histograms or quantiles of each")
        edges = coarsened(edges, most)
        cells = tree_cells(len(edges) - 1) * groups
        assert cells <= _MAX_CELLS
        if cells * len(self.question.columns) > _MAX_CELLS_IN_ALL:
            raise TooLarge(
                "too many columns for histograms or quantiles of so many groups: ask fewer at once"
            )
        return edges

    def _take_bounds(self, bounded: Sequence[PublicColumn]) -> None:
        """Bounds of moments: the schema's where there are few values, else by a histogram, 0.2 % off each end."""
        searched = [each for each in bounded if each.few is None]
        edges = [self._edges(each, grouped=False) for each in searched]
        wanted = [
            Unknown(2) if cells is None else m.cells(Grouping(), each.column, cells)
            for each, cells in zip(searched, edges, strict=True)
        ]
        for each in bounded:
            if each.few is not None:
                self.found.bounds[each.name] = each.few
        taken = self.release.take(wanted)
        for each, one, cells, tree in zip(searched, wanted, edges, taken, strict=True):
            if tree is None or cells is None or not isinstance(one, Measurement):
                continue
            below = cumulative_of(tree, cells, each.whole, self.release.deviation(one))
            low, high = below.quantile(0, _OUTSIDE), below.quantile(0, 1 - _OUTSIDE)
            self.found.bounds[each.name] = _apart(low, high)

    # -- measurements, or their price where the bounds are not known yet --------------------------------

    def _counts(self, public: PublicColumn) -> Wanted:
        grouping = self.found.grouping
        return Unknown(1) if grouping is None else m.counts(grouping, public.column)

    def _moment(self, public: PublicColumn, power: int) -> Wanted:
        grouping, bounds = self.found.grouping, self.found.bounds.get(public.name)
        if grouping is None or bounds is None:
            return Unknown(1)
        return m.moment(grouping, public.column, bounds, power)

    def _cells(self, column: Column, edges: Doubles | None) -> Wanted:
        grouping = self.found.grouping
        return Unknown(2) if grouping is None or edges is None else m.cells(grouping, column, edges)

    def _products(self) -> Wanted:
        bounds = []
        for each in self.together:
            mine = (0.0, 1.0) if self._is_binary(each) else self.found.bounds.get(each.name)
            if mine is None:
                return Unknown(len(self.together))
            self.found.bounds[each.name] = mine
            bounds.append(mine)
        return m.comoments([each.column for each in self.together], bounds)


def _apart(low: float, high: float) -> Bounds:
    """Bounds with some room between them, of few digits: the last ones may differ from machine to machine,
    and bounds are part of a question."""
    low, high = (max(-_LARGEST, min(_LARGEST, float(f"{each:.6g}"))) for each in (low, high))
    width = max(1.0, abs(low)) * 2.0**-20
    return (low, high) if high - low >= width else (low, low + max(1.0, abs(low)))


def _unique(columns: Sequence[PublicColumn]) -> list[PublicColumn]:
    return list({each.name: each for each in columns}.values())
