"""One column's values as the model gets them: whole, in range, scaled in double precision, exact in single.

Ranges, gaps and scaling are of the values as they were read; single precision comes last, and what it would round
away is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import DataMismatch
from syft_ext.messages.training_inputs import NumberColumn
from syft_ext.sources.rule.bounds import beyond

__all__ = [
    "Values",
    "check_exact",
    "checked_numbers",
    "lost_in_single",
    "single",
    "standard_scores",
    "subtracted",
]

WHOLE = 1 << 24
"""The numbers beyond which single precision leaves out whole ones."""
LOST = 1e-3
"""The largest part of a column's range that single precision may round away there."""
_EXACT = 1 << 53


@dataclass(frozen=True, slots=True)
class Values:
    """``numbers``: of all rows, in double precision or int64; ``kept``: which rows stay; ``outside``,
    ``missing``: how many were left out for what."""

    numbers: NDArray[Any]
    kept: NDArray[np.bool_]
    outside: int = 0
    missing: int = 0


def checked_numbers(values: NDArray[Any], column: NumberColumn, where: str) -> Values:
    """Which rows have a number of ``column``. Raises :class:`DataMismatch` naming the row of one that has
    not, where the declaration does not say that such rows are left out."""
    if values.ndim != 1:
        raise _refused(
            where, f"{list(values.shape[1:])} numbers in each row, where one is wanted", "has another shape"
        )
    if values.dtype.kind not in "fiub":
        raise _refused(where, f"{values.dtype}, where numbers are wanted", "holds no numbers")
    numbers = values.astype(np.int64) if values.dtype.kind == "b" else values
    gaps = np.isnan(numbers) if numbers.dtype.kind == "f" else np.zeros(len(numbers), bool)
    infinite = np.isinf(numbers) if numbers.dtype.kind == "f" else gaps & False
    if gaps.any() and column.missing == "refuse":
        raise _refused(where, f"row {_first(gaps)} has no number", "has gaps")
    if infinite.any():
        raise _refused(where, f"row {_first(infinite)} is not finite", "holds what is no finite number")
    if column.whole and numbers.dtype.kind == "f":
        broken = ~gaps & (numbers != np.floor(np.where(gaps, 0, numbers)))
        if broken.any():
            place = _first(broken)
            raise _refused(
                where, f"row {place}: {numbers[place - 1]!s} is not whole", "holds what is not whole"
            )
    outside = beyond(numbers, column.low, column.high)
    if outside.any() and column.outside == "refuse":
        place, ends = _first(outside), f"{_end(column.low)} to {_end(column.high)}"
        others = int(outside.sum()) - 1
        more = f" (and {others} more)" if others else ""
        raise _refused(
            where,
            f"row {place}: {numbers[place - 1]!s} is not from {ends}{more}",
            f"holds values not from {ends}",
        )
    return Values(numbers, ~(gaps | outside), int(outside.sum()), int(gaps.sum()))


def subtracted(values: NDArray[Any], centre: float) -> NDArray[np.float64]:
    """``values - centre`` in double precision; whole numbers beyond 2⁵³ are subtracted as such."""
    large = values.dtype.kind in "iu" and len(values) and max(-int(values.min()), int(values.max())) > _EXACT
    if large and float(centre).is_integer():
        exact = [int(value) - int(centre) for value in values.reshape(-1).tolist()]
        return np.array(exact, dtype=np.float64).reshape(values.shape)
    return values.astype(np.float64) - centre


def standard_scores(values: NDArray[Any], axes: tuple[int, ...] = (0,)) -> NDArray[np.float64]:
    """Mean 0 and deviation 1 along ``axes``; zeros where nothing varies, up to the rounding of the numbers."""
    double = values.astype(np.float64)
    first = double[(slice(0, 1), *[slice(None)] * (values.ndim - 1))]
    wide = double - first  # near zero: squares of large numbers would lose what varies in them
    mean, deviation = wide.mean(axes, keepdims=True), wide.std(axes, keepdims=True)
    spread = wide.max(axes, keepdims=True) - wide.min(axes, keepdims=True)
    varies = spread > 8 * np.finfo(np.float64).eps * np.abs(double).max(axes, keepdims=True)
    return np.asarray(np.where(varies, (wide - mean) / np.where(varies, deviation, 1.0), 0.0))


def single(
    values: NDArray[np.float64], where: str, rows: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """In single precision; ``rows``: their numbers, from 0.

    Raises :class:`DataMismatch` where what varies would be lost, and says what helps.
    """
    if not len(values):
        return values.astype(np.float32)
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    lost = lost_in_single(values)
    if lost.any():
        raise _lost(lost, where, rows)
    return rounded


def lost_in_single(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where single precision would round away what varies from row to row, at the same place of each; and where
    there is no finite number."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(values.astype(np.float32).astype(np.float64) - values)
        spread = values.max(axis=0) - values.min(axis=0)
        large = ~(np.abs(values) <= WHOLE)
        return np.asarray(large & ~(error <= LOST * spread))


def check_exact(values: NDArray[np.int64], where: str, rows: NDArray[np.int64] | None = None) -> None:
    """Raise :class:`DataMismatch` where a whole number would not be the same in single precision."""
    lost = np.abs(values.astype(np.float64)) > WHOLE
    if lost.any():
        lost[lost] = [int(np.float32(value)) != value for value in values[lost].tolist()]
    if lost.any():
        raise _lost(lost, where, rows)


def _lost(lost: NDArray[np.bool_], where: str, rows: NDArray[np.int64] | None) -> DataMismatch:
    rows_lost = np.asarray(lost.reshape(len(lost), -1).any(axis=1))
    place = _first(rows_lost) - 1
    return _refused(
        where,
        f"row {int(place if rows is None else rows[place]) + 1}: models compute in single precision, which would"
        " round away what varies here; declare a centre and a scale for it, near its mean and its deviation",
        "would be rounded: it needs a declared centre and scale",
    )


def _refused(where: str, what: str, form: str) -> DataMismatch:
    return DataMismatch(f"{where}: {what}", form=form)


def _first(rows: NDArray[np.bool_]) -> int:
    """The number of the first row, from 1."""
    return int(rows.argmax()) + 1


def _end(value: float | None) -> str:
    return "any" if value is None else f"{value:.15g}"
