"""Exact vectors of whole numbers: the only code of guarded tables that sees rows.

What one row adds to a vector depends on that row alone, and is bounded as its measurement says
(:mod:`grid.statistics.guarded.measurement`): values are cut off at public bounds and put on a grid one by one, and
whole numbers are summed, so that neither rounding nor the order of rows lets one row move another's part. (Sums of
doubles are taken where every one of them is a whole number below 2⁵³.) Where a table names its persons, the first
rows of each count, up to the number that the owner gave, so that a person's part does not depend on others.
"""

from __future__ import annotations

import decimal
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from grid.concurrency.offload import offload
from grid.statistics.columns import Column
from grid.statistics.groups import Groups
from grid.statistics.guarded.grids import LOG_EDGES, log_places
from grid.statistics.guarded.schema import Person
from grid.statistics.guarded.trees import levels_of
from grid.statistics.moments import Codes
from grid.statistics.reading import Doubles, stretches
from grid.statistics.sweep import Opened
from syft_ext.errors import TooLarge

__all__ = [
    "GRADIENT_STEPS",
    "HESSIAN_STEPS",
    "MOMENT_STEPS",
    "POINT_STEPS",
    "PRODUCT_STEPS",
    "CellCounts",
    "CoMomentCounts",
    "Grouping",
    "LogCounts",
    "LogisticDerivative",
    "MomentSums",
    "RowCount",
    "ValueCounts",
    "Vector",
    "read_vectors",
]

Whole = NDArray[np.int64]
Bounds = tuple[float, float]

MOMENT_STEPS = 1 << 10
"""Steps of a grid between 0 and 1: of sums of u and u²."""
_FACTOR_STEPS = 1 << 12
PRODUCT_STEPS = _FACTOR_STEPS**2
"""Steps between 0 and 1 of a product of two columns."""
_MEAN_STEPS = 1 << 16
GRADIENT_STEPS = _FACTOR_STEPS * _MEAN_STEPS
_WEIGHT_STEPS = 1 << 12
HESSIAN_STEPS = _WEIGHT_STEPS * PRODUCT_STEPS
POINT_STEPS = 10**6
"""Steps between 0 and 1 of a coefficient."""
_ETA_STEPS = 1 << 12
_MOST_ETA = 30
_MOST_ROWS = 1 << 28
"""Rows of which sums of products stay within 64 bits."""


class Grouping:
    """The columns that rows are grouped by, and the groups."""

    def __init__(self, keys: Sequence[Column] = (), groups: Groups | None = None) -> None:
        self.keys, self.groups = tuple(keys), groups

    @property
    def size(self) -> int:
        """How many groups there are; 1 without keys."""
        return 1 if self.groups is None else self.groups.size

    def codes(self, keys: Sequence[NDArray[Any]]) -> Codes | None:
        """The group of each row; None without keys."""
        return None if self.groups is None else self.groups.codes(keys)


class Vector(Protocol):
    """Takes in stretches of rows, and becomes a vector of whole numbers."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """What it is made of."""

    @property
    def grouping(self) -> Grouping:
        """By what rows are grouped."""

    def add(self, columns: Sequence[NDArray[Any]], codes: Codes | None) -> None:
        """Take in a stretch: as many numbers of each column, NaN for what is missing."""

    def result(self) -> Whole:
        """The vector, flat."""


_NO_GROUPS = Grouping()


class RowCount:
    """How many rows there are."""

    grouping = _NO_GROUPS

    def __init__(self, column: Column) -> None:
        self.columns, self._rows = (column,), 0

    def add(self, columns: Sequence[NDArray[Any]], codes: Codes | None) -> None:
        self._rows += len(columns[0])

    def result(self) -> Whole:
        return np.array([self._rows], dtype=np.int64)


class LogCounts:
    """Values between powers of two."""

    grouping = _NO_GROUPS

    def __init__(self, column: Column) -> None:
        self.columns = (column,)
        self._counts = np.zeros(len(LOG_EDGES) - 1, dtype=np.int64)

    def add(self, columns: Sequence[NDArray[Any]], codes: Codes | None) -> None:
        values, _ = _there(columns[0], None)
        self._counts += np.bincount(log_places(values), minlength=len(self._counts))

    def result(self) -> Whole:
        return self._counts


class ValueCounts:
    """Per group: values; then, per group: missing ones."""

    def __init__(self, grouping: Grouping, column: Column) -> None:
        self.columns, self.grouping = (column,), grouping
        self._counts = np.zeros((2, grouping.size), dtype=np.int64)

    def add(self, columns: Sequence[NDArray[Any]], codes: Codes | None) -> None:
        values = columns[0]
        missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=np.bool_)
        places = np.zeros(len(values), dtype=np.intp) if codes is None else codes
        flat = places + missing * self.grouping.size
        self._counts += np.bincount(flat, minlength=self._counts.size).reshape(self._counts.shape)

    def result(self) -> Whole:
        return self._counts.ravel()


class MomentSums:
    """Per group: the sum of u or u² (``power``), for u = (x − middle) / half, cut off at ±1."""

    def __init__(self, grouping: Grouping, column: Column, bounds: Bounds, power: int) -> None:
        self.columns, self.grouping = (column,), grouping
        self._bounds, self._power = bounds, power
        self._sums = np.zeros(grouping.size, dtype=np.int64)

    def add(self, columns: Sequence[NDArray[Any]], codes: Codes | None) -> None:
        values, codes = _there(columns[0], codes)
        scaled = _scaled(values, self._bounds)
        if self._power == 2:
            scaled *= scaled
        steps = np.rint(scaled * MOMENT_STEPS)
        if codes is None:
            self._sums[0] += int(steps.sum())
        else:
            self._sums += np.bincount(codes, weights=steps, minlength=len(self._sums)).astype(np.int64)

    def result(self) -> Whole:
        return self._sums


class CellCounts:
    """Per group: how many values lie in each cell between ``edges``, as a tree of sums."""

    def __init__(self, grouping: Grouping, column: Column, edges: Doubles) -> None:
        self.columns, self.grouping = (column,), grouping
        self._edges = edges
        self._counts = np.zeros((grouping.size, len(edges) - 1), dtype=np.int64)

    def add(self, columns: Sequence[NDArray[Any]], codes: Codes | None) -> None:
        values, codes = _there(columns[0], codes)
        cells = self._counts.shape[1]
        places = np.clip(np.searchsorted(self._edges, values, side="right") - 1, 0, cells - 1)
        if codes is not None:
            places = places + codes * cells
        self._counts += np.bincount(places, minlength=self._counts.size).reshape(self._counts.shape)

    def result(self) -> Whole:
        return levels_of(self._counts).ravel()


class CoMomentCounts:
    """The upper triangle of the sum of z zᵀ over complete rows, z = (1, u₁, …), row by row."""

    grouping = _NO_GROUPS

    def __init__(self, columns: Sequence[Column], bounds: Sequence[Bounds]) -> None:
        self.columns, self._bounds = tuple(columns), tuple(bounds)
        _check_rows(columns)
        size = len(columns) + 1
        self._triangle = np.triu_indices(size)
        self._sums = np.zeros((size, size), dtype=np.int64)

    def add(self, columns: Sequence[NDArray[Any]], codes: Codes | None) -> None:
        z = _factors(columns, self._bounds)
        self._sums += (z @ z.T).astype(np.int64)  # whole numbers below 2⁵³ in any order of summing

    def result(self) -> Whole:
        return self._sums[self._triangle]


class LogisticDerivative:
    """The gradient of a log-likelihood at ``point``, or the upper triangle of its negative Hessian (``second``).

    Over complete rows; the last column is the target, which counts as 1 from one half on. The point is that of
    (1, u₁, …), in steps of 1/:data:`POINT_STEPS`; the mean of a row is taken from a table at a linear
    predictor on a grid, so that it is the same wherever the row stands.
    """

    grouping = _NO_GROUPS

    def __init__(
        self, columns: Sequence[Column], bounds: Sequence[Bounds], point: Sequence[int], *, second: bool
    ) -> None:
        self.columns, self._bounds, self._second = tuple(columns), tuple(bounds), second
        _check_rows(columns)
        self._point = np.array(point, dtype=np.int64)
        size = len(point)
        self._triangle = np.triu_indices(size)
        self._sums = np.zeros((size, size) if second else size, dtype=np.int64)

    def add(self, columns: Sequence[NDArray[Any]], codes: Codes | None) -> None:
        *explaining, target = _complete(columns)
        z = _factors(explaining, self._bounds)
        whole = z.astype(np.int64)
        eta = (
            self._point @ whole
        ) // POINT_STEPS  # in steps of 1/_FACTOR_STEPS, which are those of the table
        means, weights = _means()
        place = np.clip(eta, -_MOST_ETA * _ETA_STEPS, _MOST_ETA * _ETA_STEPS) + _MOST_ETA * _ETA_STEPS
        if self._second:
            self._sums += ((z * weights[place]) @ z.T).astype(np.int64)
        else:
            distance = np.where(target >= 0.5, _MEAN_STEPS, 0) - means[place]
            self._sums += whole @ distance

    def result(self) -> Whole:
        return self._sums[self._triangle] if self._second else self._sums


@lru_cache(maxsize=1)
def _means() -> tuple[Whole, Doubles]:
    """1 / (1 + exp(−η)) and its derivative, for η from −30 to 30; from whole numbers, the same on every
    machine."""
    precision = 128
    one = 1 << precision
    with decimal.localcontext() as context:
        context.prec = 60
        ratio = int((decimal.Decimal(-1) / _ETA_STEPS).exp() * one)
    power, below = one, []
    for _ in range(_MOST_ETA * _ETA_STEPS + 1):
        below.append(power * _MEAN_STEPS // (one + power))
        power = power * ratio >> precision
    lower = np.array(below, dtype=np.int64)
    means = np.concatenate([lower[:0:-1], _MEAN_STEPS - lower])
    return means, (means * (_MEAN_STEPS - means) // (_MEAN_STEPS**2 // _WEIGHT_STEPS)).astype(np.float64)


def _there(values: NDArray[Any], codes: Codes | None) -> tuple[Doubles, Codes | None]:
    """What is not missing, as doubles, with its groups."""
    doubles = values.astype(np.float64, copy=False)
    if values.dtype.kind != "f":
        return doubles, codes
    lost = np.isnan(doubles)
    if not lost.any():
        return doubles, codes
    return doubles[~lost], None if codes is None else codes[~lost]


def _scaled(values: Doubles, bounds: Bounds) -> Doubles:
    low, high = bounds
    middle, half = low / 2 + high / 2, high / 2 - low / 2
    with np.errstate(over="ignore"):
        scaled: Doubles = (values - middle) / half
    return np.clip(scaled, -1.0, 1.0, out=scaled)


def _complete(columns: Sequence[NDArray[Any]]) -> list[Doubles]:
    """The rows without a missing value."""
    doubles = [column.astype(np.float64, copy=False) for column in columns]
    lost = np.zeros(len(doubles[0]), dtype=np.bool_)
    for column in doubles:
        lost |= np.isnan(column)
    return [column[~lost] for column in doubles] if lost.any() else doubles


def _factors(columns: Sequence[NDArray[Any]], bounds: Sequence[Bounds]) -> Doubles:
    """z of each complete row in steps of 1/_FACTOR_STEPS: (columns + 1) × rows."""
    complete = _complete(columns)
    z = np.empty((len(complete) + 1, len(complete[0])))
    z[0] = _FACTOR_STEPS
    for row, column, limits in zip(z[1:], complete, bounds, strict=True):
        row[:] = np.rint(_scaled(column, limits) * _FACTOR_STEPS)
    return z


def _check_rows(columns: Sequence[Column]) -> None:
    if columns[0].rows > _MOST_ROWS:
        raise TooLarge("this table has more rows than sums of products are made of", limit=_MOST_ROWS)


def read_vectors(opened: Opened, vectors: Sequence[Vector], person: Person | None) -> list[Whole]:
    """All of the vectors by one reading, beside the event loop."""
    used = [column for vector in vectors for column in (*vector.grouping.keys, *vector.columns)]
    columns = list(dict.fromkeys(used))
    place = {column: index for index, column in enumerate(columns)}

    def read() -> list[Whole]:
        kept = _kept(opened, person) if person is not None else None
        at = 0
        for stretch in stretches(opened.descriptor, opened.table.offset, columns):
            many = len(stretch[0])
            if kept is not None:
                mine = kept[at : at + many]
                stretch = [column[mine] for column in stretch]
            at += many
            known: dict[int, Codes | None] = {}
            for vector in vectors:
                grouping = vector.grouping
                if id(grouping) not in known:
                    known[id(grouping)] = grouping.codes([stretch[place[key]] for key in grouping.keys])
                vector.add([stretch[place[column]] for column in vector.columns], known[id(grouping)])
        return [vector.result() for vector in vectors]

    return offload(read)


def _kept(opened: Opened, person: Person) -> NDArray[np.bool_]:
    """Which rows are among the first ``most`` of their person: a bit of memory for each row.

    Persons are gone through in parts, so that what is held of their names stays small.
    """
    rows = person.column.rows
    kept = np.zeros(rows, dtype=np.bool_)
    parts = -(-rows // (1 << 22)) or 1
    for part in range(parts):
        places, names = [], []
        at = 0
        for (stretch,) in stretches(opened.descriptor, opened.table.offset, [person.column]):
            name = stretch.astype(np.int64)
            if parts > 1:
                mixed = name.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(40)
                mine = np.flatnonzero(mixed % np.uint64(parts) == part)
            else:
                mine = np.arange(len(name))
            places.append(mine + at)
            names.append(name[mine])
            at += len(name)
        kept[_first(_joined(places), _joined(names), person.most)] = True
    return kept


def _joined(arrays: Iterable[Any]) -> Whole:
    found = [np.asarray(each, dtype=np.int64) for each in arrays]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _first(places: Whole, names: Whole, most: int) -> Whole:
    order = np.argsort(names, kind="stable")
    ordered = names[order]
    begins = (
        np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else ordered
    )
    lengths = np.diff(np.concatenate([begins, [len(ordered)]]))
    nth = np.arange(len(ordered)) - np.repeat(begins, lengths)
    return places[order[nth < most]]
