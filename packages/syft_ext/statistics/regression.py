"""Regressions over several sites: from their co-moments, or by Newton's method on their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from syft_ext.display.table import Table
from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import Logistic, LogisticPartial
from syft_ext.statistics.combine import CoTotals

if TYPE_CHECKING:
    import pandas

__all__ = ["Regression", "linear", "logistic"]

Doubles = NDArray[np.float64]
MAX_ITERATIONS = 30
INTERCEPT = "(intercept)"


@dataclass(frozen=True)
class Regression:
    """A fitted regression.

    Attributes:
        kind: linear or logistic.
        coefficients, standard_errors: by column; ``(intercept)`` first.
        rows: complete rows that it was fitted on.
        r2: share of the variance that is explained; logistic: McFadden's pseudo-R².
        covariance: of the coefficients.
        iterations: Newton steps; 0 for the linear one.
    """

    kind: str
    target: str
    coefficients: dict[str, float]
    standard_errors: dict[str, float]
    rows: int
    r2: float
    covariance: Doubles
    iterations: int = 0

    def table(self) -> Table:
        """Coefficients with their standard errors, and t (linear) or z (logistic)."""
        title = f"{self.kind.capitalize()} regression of {self.target}: {self.rows} rows, R² {self.r2:.4g}"
        rows = [
            (name, value, error, value / error if error else None)
            for (name, value), error in zip(
                self.coefficients.items(), self.standard_errors.values(), strict=True
            )
        ]
        return Table(
            title, ("column", "coefficient", "standard error", "t" if not self.iterations else "z"), rows
        )

    def to_pandas(self) -> pandas.DataFrame:
        """Coefficients and standard errors, one row each (pandas must be installed)."""
        import pandas

        return pandas.DataFrame(
            {"coefficient": self.coefficients, "standard error": self.standard_errors},
            index=list(self.coefficients),
        )

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def linear(totals: CoTotals) -> Regression:
    """Least squares of the last column on the others: β = Mxx⁻¹ Mxy, on deviations from the means.

    Raises :class:`BadRequest` for too few rows, or columns that depend on each other.
    """
    names, target = totals.names[:-1], totals.names[-1]
    free = totals.rows - len(names) - 1
    if free <= 0:
        raise BadRequest(f"{totals.rows} complete rows are too few for {len(names)} columns")
    center, products = totals.mean[:-1], totals.products
    inverse = _inverse(products[:-1, :-1])
    slopes = inverse @ products[:-1, -1]
    whole = products[-1, -1]
    left = max(0.0, float(whole - slopes @ products[:-1, -1]))
    noise = left / free
    covariance = _with_intercept(inverse * noise, center, noise / totals.rows)
    values = [float(totals.mean[-1] - slopes @ center), *slopes.tolist()]
    r2 = 1.0 - left / whole if whole > 0 else float("nan")
    return _regression("linear", target, names, values, covariance, totals.rows, float(r2))


def logistic(totals: CoTotals, ask: Callable[[Logistic], Sequence[LogisticPartial]]) -> Regression:
    """The maximum of the likelihood, by Newton's method (iteratively reweighted least squares).

    Args:
        ask: has the sites answer at a point; columns are standardised, which keeps the Hessian's condition.

    Raises:
        BadRequest: the target does not vary, columns depend on each other, or a combination of them tells the
            target apart completely, so that no finite maximum exists.
    """
    names, target = totals.names[:-1], totals.names[-1]
    share, center = float(totals.mean[-1]), totals.mean[:-1]
    if totals.rows <= len(names) + 1 or not 0.0 < share < 1.0:
        raise BadRequest("a logistic regression needs more rows than columns, and both values of the target")
    scale = np.sqrt(np.diag(totals.products)[:-1] / totals.rows)
    if not (scale > 0).all():
        raise _dependent()
    beta = np.array([log(share / (1 - share)), *([0.0] * len(names))])
    best, step = -np.inf, np.zeros_like(beta)
    for iteration in range(1, MAX_ITERATIONS + 1):
        point = Logistic(coefficients=beta.tolist(), center=center.tolist(), scale=scale.tolist())
        answers = ask(point)
        likelihood = sum(answer.likelihood for answer in answers)
        if likelihood < best - 1e-9 * abs(best):  # too far: back half the way
            step /= 2
            beta = beta - step
            continue
        best = likelihood
        gradient = np.sum([answer.gradient for answer in answers], axis=0)
        hessian = np.sum([answer.hessian for answer in answers], axis=0).reshape(len(beta), len(beta))
        inverse = _inverse(hessian)
        step = inverse @ gradient
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            return _unscaled(names, target, beta, inverse, totals, scale, likelihood, iteration)
    raise BadRequest(
        "the regression has no finite solution: the columns may tell the target apart completely"
    )


def _unscaled(
    names: Sequence[str],
    target: str,
    beta: Doubles,
    inverse: Doubles,
    totals: CoTotals,
    scale: Doubles,
    likelihood: float,
    iterations: int,
) -> Regression:
    """In the columns' own units: γ = T β with slopes divided by the scale, and the intercept moved."""
    center = totals.mean[:-1]
    move = np.diag([1.0, *(1.0 / scale)])
    move[0, 1:] = -center / scale
    share = float(totals.mean[-1])
    empty = totals.rows * (share * log(share) + (1 - share) * log(1 - share))
    covariance = move @ inverse @ move.T
    values = (move @ beta).tolist()
    r2 = 1.0 - likelihood / empty
    return _regression("logistic", target, names, values, covariance, totals.rows, r2, iterations)


def _regression(
    kind: str,
    target: str,
    names: Sequence[str],
    values: Sequence[float],
    covariance: Doubles,
    rows: int,
    r2: float,
    iterations: int = 0,
) -> Regression:
    columns = [INTERCEPT, *names]
    errors = [sqrt(max(0.0, variance)) for variance in np.diag(covariance)]
    return Regression(
        kind,
        target,
        dict(zip(columns, values, strict=True)),
        dict(zip(columns, errors, strict=True)),
        rows,
        r2,
        covariance,
        iterations,
    )


def _with_intercept(slopes: Doubles, center: Doubles, mean: float) -> Doubles:
    """The covariance of intercept and slopes, from that of the slopes and the variance of the mean."""
    cross = -slopes @ center
    return np.block([[np.array([[mean - center @ cross]]), cross[None, :]], [cross[:, None], slopes]])


def _inverse(matrix: Doubles) -> Doubles:
    """The inverse of a symmetric positive definite matrix; scaled first, so that units do not matter."""
    spread = np.sqrt(np.diag(matrix))
    if not (np.isfinite(spread).all() and (spread > 0).all()):
        raise _dependent()
    scaled = matrix / np.outer(spread, spread)
    if np.linalg.cond(scaled) > 1e14:
        raise _dependent()
    result: Doubles = np.linalg.inv(scaled) / np.outer(spread, spread)
    return result


def _dependent() -> BadRequest:
    return BadRequest("a column does not vary, or follows from the others: leave it out")
