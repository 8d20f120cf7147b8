"""The kinds of measurement: their vectors, what one row can move them by, and the noise that this takes.

A measurement of ``units`` u has the property that one row moves its vector by at most √u · s in the L2
norm, where s² is its ``variance``. With discrete Gaussian noise of standard deviation σ · s on each number
it is u/(2σ²)-zCDP (C. Canonne, G. Kamath, T. Steinke, 2020). Where rows belong to persons of at most m rows
each, σ is m times as large.

===========  ===========================================  =====  =================================================
kind         vector                                       units  s², and why
===========  ===========================================  =====  =================================================
rows         number of rows (σ of at least 10)            1      1
log          values between powers of two                 1      1: a value is in one cell
count        per group: values, missing                   1      1: a row is in one group, and one of both
sum, square  per group: sum of u, of u²; u within ±1      1      steps²
cells        per group: a tree of counts over cells       2      levels/2: one number of each level
comoments    upper triangle of Σ z zᵀ, z within ±1,       d      steps² (d+1)(d+2)/2d: the numbers of a triangle
             of d columns
gradient     Σ z (y − μ)                                  1      steps² (d+1)
hessian      upper triangle of Σ μ (1 − μ) z zᵀ           1      (steps/4)² (d+1)(d+2)/2: weights of at most ¼
===========  ===========================================  =====  =================================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.statistics.columns import Column
from grid.statistics.guarded.trees import level_sizes
from grid.statistics.guarded.vectors import (
    GRADIENT_STEPS,
    HESSIAN_STEPS,
    MOMENT_STEPS,
    PRODUCT_STEPS,
    CellCounts,
    CoMomentCounts,
    Grouping,
    LogCounts,
    LogisticDerivative,
    MomentSums,
    RowCount,
    ValueCounts,
    Vector,
)
from grid.statistics.reading import Doubles

__all__ = [
    "Measurement",
    "cells",
    "comoments",
    "counts",
    "gradient",
    "hessian",
    "log_counts",
    "moment",
    "rows",
    "triangle",
]

Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Measurement:
    """Attributes:
    key: the canonical question, with every public number that the vector depends on.
    units, variance: see above. shape: of the vector.
    vector: makes what reads it from the rows.
    """

    key: Mapping[str, Any]
    units: int
    variance: Fraction
    shape: tuple[int, ...]
    vector: Callable[[], Vector]

    def question(self, **terms: Any) -> str:
        """The question with the terms that it is answered on, as one line: equal for equal questions."""
        return json.dumps({**self.key, **terms}, sort_keys=True, separators=(",", ":"))


def triangle(columns: int) -> int:
    """Numbers in the upper triangle of a matrix of ``columns`` + 1 rows."""
    return (columns + 1) * (columns + 2) // 2


def rows(column: Column) -> Measurement:
    """How many rows the columns have that are as long as this one."""
    key = {"kind": "rows", "column": column.key}
    return Measurement(key, 1, Fraction(1), (1,), lambda: RowCount(column))


def log_counts(column: Column) -> Measurement:
    """Counts in :data:`~grid.statistics.guarded.grids.LOG_EDGES`."""
    key = {"kind": "log", "column": column.key}
    return Measurement(key, 1, Fraction(1), (122,), lambda: LogCounts(column))


def counts(grouping: Grouping, column: Column) -> Measurement:
    """Values, and missing ones, of each group (2 × groups)."""
    key = {"kind": "count", "column": column.key, **_grouped(grouping)}
    shape = (2, grouping.size)
    return Measurement(key, 1, Fraction(1), shape, lambda: ValueCounts(grouping, column))


def moment(grouping: Grouping, column: Column, bounds: Bounds, power: int) -> Measurement:
    """Sums of u (``power`` 1) or u² (2) of each group, in steps."""
    kind = "sum" if power == 1 else "square"
    key = {"kind": kind, "column": column.key, "bounds": list(bounds), **_grouped(grouping)}
    variance = Fraction(MOMENT_STEPS**2)
    return Measurement(
        key, 1, variance, (grouping.size,), lambda: MomentSums(grouping, column, bounds, power)
    )


def cells(grouping: Grouping, column: Column, edges: Doubles) -> Measurement:
    """The tree of counts of each group (groups × numbers)."""
    sizes = level_sizes(len(edges) - 1)
    key = {"kind": "cells", "column": column.key, "edges": _name(edges), **_grouped(grouping)}
    shape = (grouping.size, sum(sizes))
    return Measurement(key, 2, Fraction(len(sizes), 2), shape, lambda: CellCounts(grouping, column, edges))


def comoments(columns: Sequence[Column], bounds: Sequence[Bounds]) -> Measurement:
    """The triangle of products of columns, in steps."""
    many = len(columns)
    key = {"kind": "comoments", **_together(columns, bounds)}
    variance = Fraction(PRODUCT_STEPS**2 * triangle(many), many)
    return Measurement(key, many, variance, (triangle(many),), lambda: CoMomentCounts(columns, bounds))


def gradient(columns: Sequence[Column], bounds: Sequence[Bounds], point: Sequence[int]) -> Measurement:
    """Of a logistic regression's log-likelihood at a point, in steps; ``columns`` ends with the target."""
    key = {"kind": "gradient", "point": list(point), **_together(columns, bounds)}
    variance = Fraction(GRADIENT_STEPS**2 * len(point))
    return Measurement(
        key,
        1,
        variance,
        (len(point),),
        lambda: LogisticDerivative(columns, bounds, point, second=False),
    )


def hessian(columns: Sequence[Column], bounds: Sequence[Bounds], point: Sequence[int]) -> Measurement:
    """The triangle of the negative Hessian there, in steps."""
    key = {"kind": "hessian", "point": list(point), **_together(columns, bounds)}
    many = triangle(len(point) - 1)
    variance = Fraction(HESSIAN_STEPS**2 * many, 16)
    return Measurement(
        key, 1, variance, (many,), lambda: LogisticDerivative(columns, bounds, point, second=True)
    )


def _grouped(grouping: Grouping) -> dict[str, Any]:
    if grouping.groups is None:
        return {}
    values = [_name(each) for each in grouping.groups.values]
    return {"by": [key.key for key in grouping.keys], "groups": values}


def _together(columns: Sequence[Column], bounds: Sequence[Bounds]) -> dict[str, Any]:
    return {"columns": [column.key for column in columns], "bounds": [list(each) for each in bounds]}


def _name(numbers: NDArray[Any]) -> Any:
    """What stands for a list of numbers in a key: itself where it is short."""
    if len(numbers) <= 8:
        return numbers.tolist()
    form = "<f8" if numbers.dtype.kind == "f" else "<i8"
    return hashlib.sha256(np.ascontiguousarray(numbers, dtype=form).tobytes()).hexdigest()
