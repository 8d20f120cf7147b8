"""Regressions over several sites: from their co-moments, or by Newton's method on their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import isnan, log, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from syft_ext.display.table import Table
from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import Logistic, LogisticPartial
from syft_ext.statistics.combine import CoTotals
from syft_ext.statistics.tolerance import EPSILON

if TYPE_CHECKING:
    import pandas

__all__ = ["Regression", "linear", "logistic"]

Doubles = NDArray[np.float64]
MAX_ITERATIONS = 40
NOISY_ITERATIONS = 5
"""Steps where sites add noise: as many points as they answer."""
_LAST = 3  # of these, so many are averaged
_START = (
    4.0  # how far from the share alone a noisy regression begins, at most, in standard deviations of columns
)
INTERCEPT = "(intercept)"
_LEAST = 1e-12
"""Columns of whose variance less is left by the others follow from these: coefficients would have four digits."""
_CERTAIN = 1e-9
"""Log-likelihood of a row, below which the target is told apart."""


@dataclass(frozen=True)
class Regression:
    """A fitted regression; one that cannot be fitted has no numbers (NaN), and ``note`` says why.

    Attributes:
        kind: linear or logistic.
        coefficients, standard_errors: by column; ``(intercept)`` first.
        rows: complete rows that it was fitted on.
        r2: share of the variance that is explained; logistic: McFadden's pseudo-R², NaN where sites add
            noise (they tell no likelihood).
        covariance: of the coefficients; what noise adds is in it, and in the standard errors.
        iterations: Newton steps; 0 for the linear one.
        noise: by column, the standard deviation of what sites' noise does to the coefficient.
        note: what is to be known of these numbers; "" as a rule.
    """

    kind: str
    target: str
    coefficients: dict[str, float]
    standard_errors: dict[str, float]
    rows: int
    r2: float
    covariance: Doubles
    iterations: int = 0
    noise: dict[str, float] = field(default_factory=dict)
    note: str = ""

    def table(self) -> Table:
        """Coefficients with their standard errors, and t (linear) or z (logistic)."""
        explained = "" if isnan(self.r2) else f", R² {self.r2:.4g}"
        title = f"{self.kind.capitalize()} regression of {self.target}: {self.rows} rows{explained}"
        rows = [
            (name, value, error, value / error if error else None)
            for (name, value), error in zip(
                self.coefficients.items(), self.standard_errors.values(), strict=True
            )
        ]
        headings = ("column", "coefficient", "standard error", "z" if self.kind == "logistic" else "t")
        return Table(title, headings, rows, self.note)

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

    There are no coefficients (NaN, and a note) where there are too few rows, or columns do not vary or follow from
    one another.
    """
    names, target = totals.names[:-1], totals.names[-1]
    free = totals.rows - len(names) - 1
    if free <= 0:
        return _unfitted("linear", totals, f"{_rows(totals.rows)} are too few for {_terms(len(names))}")
    faults = totals.faults()
    if fault := _fault(totals, faults[:-1]) or _beyond(target, faults[-1]):
        return _unfitted("linear", totals, fault)
    center, products = totals.mean[:-1], totals.products
    inverse, least = _inverse(products[:-1, :-1])
    slopes = inverse @ products[:-1, -1]
    whole, note = float(products[-1, -1]), ""
    left = max(0.0, float(whole - slopes @ products[:-1, -1]))
    if faults[-1]:
        note = f"{target} {faults[-1]}: nothing is explained"
    elif left <= 8 * EPSILON * whole * (len(names) + 1) / max(least, EPSILON):
        note, left = "the columns give the target exactly, but for rounding: standard errors are 0", 0.0
    noise = left / free
    covariance = _with_intercept(inverse * noise, center, noise / totals.rows)
    values = [float(totals.mean[-1] - slopes @ center), *slopes.tolist()]
    r2 = float("nan") if faults[-1] else 1.0 - left / whole
    added = _with_intercept(inverse @ _noise_of_moments(totals.noise, slopes) @ inverse, center, 0.0)
    fitted = _regression("linear", target, names, values, covariance, totals.rows, float(r2), noise=added)
    return replace(fitted, note=note)


def _noise_of_moments(variances: Doubles, slopes: Doubles) -> Doubles:
    """The covariance of Mxy − Mxx β that noise in the products makes; the variances are those of single
    products."""
    weights = np.outer(slopes, slopes)
    found: Doubles = variances[:-1, :-1] * weights  # of two rows, the product that they share
    np.fill_diagonal(found, variances[:-1, -1] + variances[:-1, :-1] @ slopes**2)
    return found


def logistic(totals: CoTotals, ask: Callable[[Logistic], Sequence[LogisticPartial]]) -> Regression:
    """The maximum of the likelihood, by Newton's method (iteratively reweighted least squares).

    Args:
        ask: has the sites answer at a point; columns are standardised, which keeps the Hessian's condition.

    There are no coefficients (NaN, and a note) where there are too few rows, the target or a column does not vary,
    columns follow from one another, or a combination of them tells the target apart completely, so that no finite
    maximum exists (A. Albert, J. A. Anderson, 1984: separation).

    Raises:
        BadRequest: the target is not of 0 and 1.
    """
    names = totals.names[:-1]
    share, center = float(totals.mean[-1]), totals.mean[:-1]
    if totals.rows <= len(names) + 1:
        return _unfitted("logistic", totals, f"{_rows(totals.rows)} are too few for {_terms(len(names))}")
    faults = totals.faults()
    if fault := _fault(totals, faults[:-1]) or _beyond(totals.names[-1], faults[-1]):
        return _unfitted("logistic", totals, fault)
    if faults[-1] and share in (0.0, 1.0):
        return _unfitted("logistic", totals, f"{totals.names[-1]} does not vary: it is always {share:g}")
    if faults[-1] or not 0.0 < share < 1.0:
        raise BadRequest("the target of a logistic regression must be 0 or 1, and both must occur")
    scale = np.sqrt(np.diag(totals.products)[:-1] / totals.rows)

    def answers(beta: Doubles) -> Sequence[LogisticPartial]:
        return ask(Logistic(coefficients=beta.tolist(), center=center.tolist(), scale=scale.tolist()))

    if totals.noise.any():
        return _noisy_logistic(totals, scale, answers)
    return _exact_logistic(totals, scale, answers)


def _exact_logistic(
    totals: CoTotals, scale: Doubles, answers: Callable[[Doubles], Sequence[LogisticPartial]]
) -> Regression:
    names, target, share = totals.names[:-1], totals.names[-1], float(totals.mean[-1])
    beta = np.array([log(share / (1 - share)), *([0.0] * len(names))])
    best, step = -np.inf, np.zeros_like(beta)
    for iteration in range(1, MAX_ITERATIONS + 1):
        likelihood, gradient, hessian, _ = _sums(answers(beta))
        if likelihood is None:
            raise BadRequest("a site tells no likelihood, and did not say that it adds noise")
        if likelihood < best - 1e-9 * abs(best):  # too far: back half the way
            step /= 2
            beta = beta - step
            continue
        best = likelihood
        if best > -totals.rows * _CERTAIN:
            break
        inverse, least = _inverse(hessian)
        if least < _LEAST:
            break
        step = inverse @ gradient
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            empty = totals.rows * (share * log(share) + (1 - share) * log(1 - share))
            return _unscaled(names, target, beta, inverse, totals, scale, 1.0 - likelihood / empty, iteration)
    return _unfitted(
        "logistic",
        totals,
        "no finite solution: the columns tell the target apart, wholly or in part (separation)",
    )


def _sums(
    answers: Sequence[LogisticPartial],
) -> tuple[float | None, Doubles, Doubles, Doubles]:
    """Over all sites: log-likelihood (None where one does not tell it), gradient, Hessian, the noise's
    covariance."""
    size = len(answers[0].gradient)
    told = [answer.likelihood for answer in answers if answer.likelihood is not None]
    likelihood = sum(told) if len(told) == len(answers) else None
    noise = [np.array(answer.noise).reshape(size, size) for answer in answers if answer.noise]
    return (
        likelihood,
        np.sum([answer.gradient for answer in answers], axis=0),
        np.sum([answer.hessian for answer in answers], axis=0).reshape(size, size),
        np.sum(noise, axis=0) if noise else np.zeros((size, size)),
    )


def _noisy_logistic(
    totals: CoTotals, scale: Doubles, answers: Callable[[Doubles], Sequence[LogisticPartial]]
) -> Regression:
    """Newton's method where gradients carry noise: so many steps as a site answers, and the mean of the
    last of them.

    It begins where a linear discriminant would, so that few steps suffice.
    """
    names, target = totals.names[:-1], totals.names[-1]
    share = float(totals.mean[-1])
    weight = share * (1 - share)
    inner = totals.products[:-1, :-1] / np.outer(scale, scale) / totals.rows
    slopes = np.linalg.solve(inner, totals.products[:-1, -1] / scale / totals.rows) / weight
    largest = float(np.abs(slopes).sum())
    slopes *= min(1.0, _START / largest) if largest else 1.0
    beta = np.concatenate([[log(share / (1 - share))], slopes])
    # No Hessian of these data has a smaller eigenvalue than a small part of this.
    floor = totals.rows * weight * float(np.linalg.eigvalsh(inner)[0]) / 8
    kept, spreads = [], []
    inverse = np.zeros((len(beta), len(beta)))
    for _ in range(NOISY_ITERATIONS):
        _, gradient, hessian, noise = _sums(answers(beta))
        sizes, turned = np.linalg.eigh(hessian)
        inverse = (turned / np.maximum(sizes, floor)) @ turned.T
        beta = beta + inverse @ gradient
        kept.append(beta)
        spreads.append(inverse @ noise @ inverse)
    last = np.mean(kept[-_LAST:], axis=0)
    added = np.sum(spreads[-_LAST:], axis=0) / _LAST**2
    return _unscaled(names, target, last, inverse, totals, scale, float("nan"), NOISY_ITERATIONS, noise=added)


def _unscaled(
    names: Sequence[str],
    target: str,
    beta: Doubles,
    inverse: Doubles,
    totals: CoTotals,
    scale: Doubles,
    r2: float,
    iterations: int,
    noise: Doubles | None = None,
) -> Regression:
    """In the columns' own units: γ = T β with slopes divided by the scale, and the intercept moved."""
    center = totals.mean[:-1]
    move = np.diag([1.0, *(1.0 / scale)])
    move[0, 1:] = -center / scale
    covariance = move @ inverse @ move.T
    added = None if noise is None else move @ noise @ move.T
    values = (move @ beta).tolist()
    return _regression("logistic", target, names, values, covariance, totals.rows, r2, iterations, added)


def _regression(
    kind: str,
    target: str,
    names: Sequence[str],
    values: Sequence[float],
    covariance: Doubles,
    rows: int,
    r2: float,
    iterations: int = 0,
    noise: Doubles | None = None,
) -> Regression:
    columns = [INTERCEPT, *names]
    added = np.zeros_like(covariance) if noise is None else noise
    covariance = covariance + added
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
        {name: sqrt(max(0.0, each)) for name, each in zip(columns, np.diag(added).tolist(), strict=True)},
    )


def _with_intercept(slopes: Doubles, center: Doubles, mean: float) -> Doubles:
    """The covariance of intercept and slopes, from that of the slopes and the variance of the mean."""
    cross = -slopes @ center
    return np.block([[np.array([[mean - center @ cross]]), cross[None, :]], [cross[:, None], slopes]])


def _inverse(matrix: Doubles) -> tuple[Doubles, float]:
    """The inverse of a symmetric positive definite matrix, scaled first, so that units do not matter; and the
    least eigenvalue of what was scaled: 0, and no inverse, where it is not positive."""
    spread = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    if not len(matrix):
        return matrix, 1.0
    if not (np.isfinite(matrix).all() and (spread > 0).all()):
        return np.full_like(matrix, np.nan), 0.0
    scaled = matrix / spread[:, None] / spread
    least = float(np.linalg.eigvalsh(scaled)[0])
    if least <= EPSILON:
        return np.full_like(matrix, np.nan), 0.0
    result: Doubles = np.linalg.inv(scaled) / spread[:, None] / spread
    return result, least


def _fault(totals: CoTotals, faults: Sequence[str]) -> str:
    """Why the explaining columns have no coefficients; "" where they have."""
    found = [f"{name} {fault}" for name, fault in zip(totals.names, faults, strict=False) if fault]
    if found:
        return f"{' and '.join(found)}: leave it out"
    many = len(faults)
    spread = np.sqrt(np.diag(totals.products)[:many])
    scaled = totals.products[:many, :many] / spread[:, None] / spread
    if not many:
        return ""
    sizes, vectors = np.linalg.eigh(scaled)
    # What rounding of the columns themselves, kept at their offset, does to products of them.
    offset = 1 + np.abs(totals.mean[:many]) / (spread / sqrt(totals.rows))
    limit = _LEAST + 4 * float(((totals.rounding[:many] * offset) ** 2).sum())
    if sizes[0] > limit:
        return ""
    share = np.abs(vectors[:, 0])
    names = [name for name, part in zip(totals.names, share, strict=False) if part > share.max() / 100]
    return (
        f"{', '.join(names)} follow from one another to within {limit:.1g} of their variance: leave one out"
    )


def _beyond(name: str, fault: str) -> str:
    return f"{name} {fault}" if "doubles hold" in fault else ""


def _unfitted(kind: str, totals: CoTotals, why: str) -> Regression:
    """No numbers, and why."""
    nothing = float("nan")
    columns = [INTERCEPT, *totals.names[:-1]]
    matrix = np.full((len(columns), len(columns)), nothing)
    numbers = dict.fromkeys(columns, nothing)
    noise = dict.fromkeys(columns, nothing if totals.noise.any() else 0.0)
    return Regression(
        kind,
        totals.names[-1],
        numbers,
        dict(numbers),
        totals.rows,
        nothing,
        matrix,
        0,
        noise,
        f"no coefficients: {why}",
    )


def _rows(rows: int) -> str:
    return f"{rows} complete row{'s' * (rows != 1)}"


def _terms(many: int) -> str:
    return f"an intercept and {many} column{'s' * (many != 1)}"
