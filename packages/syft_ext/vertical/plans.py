"""The plans: regressions on the columns of two tables with the same rows, written with operations that have a
protocol.

Columns are scaled to [-1, 1] by public bounds first, so that fixed point has the same precision for all of them.
Normal equations are solved without a matrix inverse, which has no protocol: Newton–Schulz iteration (Schulz 1933)
is products alone, and refining the solution takes its rounding out.

Whether that came to an end is decided on shares too, by what is left of I − A V: columns that repeat one another,
or do not vary, have no one answer, and would give some plausible one. Opened is then nothing but that: a last
number is 1, and all before it are coefficients, or all are 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from syft_ext.errors import BadRequest
from syft_ext.plans.ir import Plan
from syft_ext.plans.tracing.decorator import trace

__all__ = ["Scale", "linear_plan", "logistic_plan", "scale_of"]

_SCHULZ = 14
"""Iterations of the inverse from a multiple of the identity: enough for condition numbers up to some 1000."""
_WARM = 6
"""Iterations from the inverse of the Newton step before."""
_REFINE = 3
_LEFT = 0.05
"""The most that the sizes in I − A V may add up to. Refining leaves the fourth power of the error; a column that
repeats others leaves a size of 1 / (its and their number) and more, in several places."""
_LAST = 0.05
"""The most that the sizes in Newton's last step may add up to. Each squares the error; classes that are told apart
without an error have no finite answer, and steps near 1 for ever."""


@dataclass(frozen=True)
class Scale:
    """``(value - middle) / half`` for each column."""

    middle: torch.Tensor
    half: torch.Tensor

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Rows × columns to [-1, 1]."""
        return (values - self.middle) * (1 / self.half)


def scale_of(bounds: Sequence[tuple[float, float]]) -> Scale:
    """Of columns between these bounds. Raises :class:`BadRequest` for an empty range."""
    if not all(low < high for low, high in bounds):
        raise BadRequest("the lower bound of a column is less than its upper one")
    lows, highs = (torch.tensor(each, dtype=torch.float32) for each in zip(*bounds, strict=True))
    return Scale((lows + highs) / 2, (highs - lows) / 2)


def _design(left: Any, right: Any, scales: tuple[Scale, Scale], rows: int) -> Any:
    """Rows × (columns of both, and one for the intercept)."""
    return torch.cat([scales[0](left), scales[1](right), torch.ones(rows, 1)], dim=1)


def _improved(inverse: Any, matrix: Any, times: int) -> Any:
    """Newton–Schulz: V ← V (2 I − A V)."""
    size = matrix.shape[0]
    for _ in range(times):
        inverse = inverse @ (2 * torch.eye(size) - matrix @ inverse)
    return inverse


def _solved(inverse: Any, matrix: Any, right: Any) -> Any:
    found = inverse @ right
    for _ in range(_REFINE):
        found = found + inverse @ (right - matrix @ found)
    return found


def _settled(inverse: Any, matrix: Any) -> Any:
    """1 × 1: 1 where the inverse is one, else 0."""
    left = (torch.eye(matrix.shape[0]) - matrix @ inverse).abs().sum()
    return (left < _LEFT).float().reshape(1, 1)


def _opened(found: Any, settled: Any) -> Any:
    """Coefficients and 1, or zeros."""
    return torch.cat([found * settled, settled])


def _traced(function: Callable[..., Any], rows: int, columns: tuple[int, int]) -> Plan:
    """For exactly so many rows: that is how many are in common."""
    return trace(
        function, *(torch.zeros(rows, width) for width in (*columns, 1)), symbols={}, kind="statistics"
    )


def linear_plan(
    rows: int, scales: tuple[Scale, Scale], target: Scale, ridge: float, columns: tuple[int, int]
) -> Plan:
    """Least squares: scaled coefficients, the intercept last, of ``left``, ``right`` and ``y`` (rows × 1); then 1,
    or zeros alone where there is no one answer."""
    size = sum(columns) + 1

    def vertical_linear_regression(left: Any, right: Any, y: Any) -> Any:
        """Least squares of y on the columns of two tables."""
        design = _design(left, right, scales, rows)
        gram = (design.t() @ design) * (1 / rows) + ridge * torch.eye(size)
        moments = (design.t() @ target(y)) * (1 / rows)
        inverse = _improved(torch.eye(size) * (1 / size), gram, _SCHULZ)
        return _opened(_solved(inverse, gram, moments), _settled(inverse, gram))

    return _traced(vertical_linear_regression, rows, columns)


def logistic_plan(
    rows: int, scales: tuple[Scale, Scale], steps: int, ridge: float, columns: tuple[int, int]
) -> Plan:
    """Logistic regression by Newton's method from 0: scaled coefficients, the intercept last, and 1, or zeros
    alone as of :func:`linear_plan` and where the last step was still long; y is 0 or 1.

    Weights p (1 − p) start at ¼ and get less, so that the inverse of one step is a start for that of the next:
    I − A V has its eigenvalues in [0, 1) then, and the iteration converges.
    """
    size = sum(columns) + 1

    def vertical_logistic_regression(left: Any, right: Any, y: Any) -> Any:
        """Logistic regression of y on the columns of two tables."""
        design = _design(left, right, scales, rows)
        found = torch.zeros(size, 1)
        inverse = torch.eye(size) * (4 / size)
        for step in range(steps):
            p = torch.full((rows, 1), 0.5) if step == 0 else torch.sigmoid(design @ found)
            weight = p * (1 - p)
            hessian = (design.t() @ (design * weight)) * (1 / rows) + ridge * torch.eye(size)
            gradient = (design.t() @ (y - p)) * (1 / rows) - ridge * found
            inverse = _improved(inverse, hessian, _SCHULZ if step == 0 else _WARM)
            move = _solved(inverse, hessian, gradient)
            found = found + move
        still = (move.abs().sum() < _LAST).float().reshape(1, 1)
        return _opened(found, still * _settled(inverse, hessian))

    return _traced(vertical_logistic_regression, rows, columns)
