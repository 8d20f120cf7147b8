"""What regressions, covariances and correlations are made of: co-moments, and a likelihood's derivatives.

Rows with a missing value in any of the columns are left out. Co-moments of stretches are merged by the same
update as variances (:mod:`grid.statistics.moments`): the normal equations X'X β = X'y in deviations from
the means, which keeps their condition as good as the data's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.statistics.reading import Doubles
from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import CoMoments, Logistic, LogisticPartial

__all__ = ["CoMomentSums", "LogisticSums", "complete_rows"]


def complete_rows(columns: Sequence[NDArray[Any]]) -> Doubles:
    """The columns as rows of a matrix (columns × rows), without what misses a value."""
    matrix = np.array(columns, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        unknown = np.isnan(np.add.reduce(matrix, axis=0))
    if unknown.any():  # also where infinities of both signs met
        matrix = matrix[:, ~np.isnan(matrix).any(axis=0)]
    return matrix


class CoMomentSums:
    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.rows = 0
        self._mean = np.zeros(len(names))
        self._products = np.zeros((len(names), len(names)))

    def add(self, columns: Sequence[NDArray[Any]]) -> None:
        matrix = complete_rows(columns)
        count = matrix.shape[1]
        if not count:
            return
        with np.errstate(invalid="ignore", over="ignore"):
            mean = np.add.reduce(matrix, axis=1) / count
            matrix -= mean[:, None]
            step = mean - self._mean
            total = self.rows + count
            self._products += matrix @ matrix.T + np.outer(step, step) * (self.rows * count / total)
            self._mean += step * (count / total)
        self.rows = total

    def result(self) -> CoMoments:
        return CoMoments(
            columns=self.names,
            rows=self.rows,
            mean=self._mean.tolist(),
            products=self._products.ravel().tolist(),
        )


class LogisticSums:
    """Log-likelihood, gradient and Hessian at one point; the last column is the target, of 0 and 1."""

    def __init__(self, query: Logistic, columns: int) -> None:
        if not len(query.center) == len(query.scale) == columns or len(query.coefficients) != columns + 1:
            raise BadRequest("logistic: a center and a scale per column, and one coefficient more")
        numbers = np.array([*query.coefficients, *query.center, *query.scale])
        if not np.isfinite(numbers).all():
            raise BadRequest("logistic: finite numbers only")
        self._beta = np.array(query.coefficients)
        self._center, self._scale = np.array(query.center), np.array(query.scale)
        self.rows, self._likelihood = 0, 0.0
        self._gradient = np.zeros(columns + 1)
        self._hessian = np.zeros((columns + 1, columns + 1))

    def add(self, columns: Sequence[NDArray[Any]]) -> None:
        matrix = complete_rows(columns)
        target = matrix[-1].copy()
        if not ((target == 0) | (target == 1)).all():
            raise BadRequest("the target of a logistic regression must be 0 or 1")
        with np.errstate(over="ignore", invalid="ignore"):
            matrix[:-1] -= self._center[:, None]
            matrix[:-1] /= self._scale[:, None]
            matrix[-1] = 1.0
            z = np.roll(matrix, 1, axis=0)  # the intercept first
            eta = self._beta @ z
            mean = 1.0 / (1.0 + np.exp(-eta))
            # log(1 + e^η) without overflow
            self._likelihood += float(np.dot(target, eta) - np.logaddexp(0.0, eta).sum())
            self._gradient += z @ (target - mean)
            self._hessian += (z * (mean * (1.0 - mean))) @ z.T
        self.rows += z.shape[1]

    def result(self) -> LogisticPartial:
        return LogisticPartial(
            rows=self.rows,
            likelihood=self._likelihood,
            gradient=self._gradient.tolist(),
            hessian=self._hessian.ravel().tolist(),
        )
