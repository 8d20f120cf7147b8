"""The plans: regressions on the columns of two tables with the same rows, written with operations that have a
protocol.

Columns are scaled to [-1, 1] by public bounds first, so that fixed point has the same precision for all of them.
Normal equations are solved without a matrix inverse, which has no protocol: Newton–Schulz iteration (Schulz 1933)
is products alone, and refining the solution takes its rounding out.
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
"""Iterations of the inverse from a multiple of the identity: enough for condition numbers up to some 500."""
_WARM = 6
"""Iterations from the inverse of the Newton step before."""
_REFINE = 3


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


def _traced(function: Callable[..., Any], rows: int, columns: tuple[int, int]) -> Plan:
    """For exactly so many rows: that is how many are in common."""
    return trace(
        function, *(torch.zeros(rows, width) for width in (*columns, 1)), symbols={}, kind="statistics"
    )


def linear_plan(
    rows: int, scales: tuple[Scale, Scale], target: Scale, ridge: float, columns: tuple[int, int]
) -> Plan:
    """Least squares: scaled coefficients, the intercept last, of ``left``, ``right`` and ``y`` (rows × 1)."""
    size = sum(columns) + 1

    def vertical_linear_regression(left: Any, right: Any, y: Any) -> Any:
        """Least squares of y on the columns of two tables."""
        design = _design(left, right, scales, rows)
        gram = (design.t() @ design) * (1 / rows) + ridge * torch.eye(size)
        moments = (design.t() @ target(y)) * (1 / rows)
        return _solved(_improved(torch.eye(size) * (1 / size), gram, _SCHULZ), gram, moments)

    return _traced(vertical_linear_regression, rows, columns)


def logistic_plan(
    rows: int, scales: tuple[Scale, Scale], steps: int, ridge: float, columns: tuple[int, int]
) -> Plan:
    """Logistic regression by Newton's method from 0: scaled coefficients, the intercept last; y is 0 or 1.

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
            found = found + _solved(inverse, hessian, gradient)
        return found

    return _traced(vertical_logistic_regression, rows, columns)
