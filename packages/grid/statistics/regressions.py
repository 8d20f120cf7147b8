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

from grid.statistics.reading import CHUNK_ROWS, Doubles
from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import CoMoments, Logistic, LogisticPartial
from syft_ext.statistics.tolerance import does_not_vary, moved

__all__ = ["CoMomentSums", "LogisticSums"]


class _Matrix:
    """Stretches of columns as rows of one matrix (columns × rows), which is used again."""

    def __init__(self, columns: int) -> None:
        self._buffer = np.empty((columns, CHUNK_ROWS))

    def fill(self, columns: Sequence[NDArray[Any]]) -> Doubles:
        """The complete rows of a stretch; good until the next one."""
        rows = len(columns[0])
        matrix = self._buffer[:, :rows]
        for row, column in zip(matrix, columns, strict=True):
            row[:] = column
        with np.errstate(invalid="ignore"):
            unknown = np.isnan(np.add.reduce(matrix, axis=0))
        if unknown.any():  # also where infinities of both signs met
            complete = ~np.isnan(matrix).any(axis=0)
            kept = np.count_nonzero(complete)
            matrix[:, :kept] = matrix[:, complete]
            return matrix[:, :kept]
        return matrix


class CoMomentSums:
    """Means, and sums of products of deviations from them (columns × columns), over complete rows."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.rows = 0
        self._matrix = _Matrix(len(names))
        self._mean, self._rest = np.zeros(len(names)), np.zeros(len(names))
        self._products = np.zeros((len(names), len(names)))

    def add(self, columns: Sequence[NDArray[Any]]) -> None:
        """Take in a stretch of rows, one array per column; rows with a NaN are left out."""
        matrix = self._matrix.fill(columns)
        count = matrix.shape[1]
        if not count:
            return
        with np.errstate(invalid="ignore", over="ignore"):
            mean = np.add.reduce(matrix, axis=1) / count
            matrix -= mean[:, None]
            left = np.add.reduce(matrix, axis=1) / count  # what rounding left of the mean
            products = matrix @ matrix.T
            for row in np.flatnonzero(~np.isfinite(np.diag(products))):
                if (matrix[row] == matrix[row, 0]).all():  # equal: only the mean's rounding was squared
                    mean[row] += matrix[row, 0]
                    left[row], products[row], products[:, row] = 0.0, 0.0, 0.0
            total = self.rows + count
            self._products += products - np.outer(left, left) * count
            if self.rows:
                step = (mean - self._mean) + (left - self._rest)
                self._products += np.outer(step, step) * (self.rows * count / total)
                self._mean, self._rest = moved(self._mean, self._rest, step * (count / total))
            else:
                self._mean, self._rest = moved(mean, left, np.zeros_like(mean))
        self.rows = total

    def result(self) -> CoMoments:
        """What the site tells: the number of complete rows, the means, and the products row by row."""
        constant = does_not_vary(np.diag(self._products), self._mean)
        products = np.where(constant[:, None] | constant, 0.0, self._products)
        return CoMoments(
            columns=self.names,
            rows=self.rows,
            mean=self._mean.tolist(),
            mean_rest=self._rest.tolist(),
            products=products.ravel().tolist(),
        )


class LogisticSums:
    """Log-likelihood, gradient and Hessian at one point; the last column is the target, of 0 and 1."""

    def __init__(self, query: Logistic, columns: int) -> None:
        if not len(query.center) == len(query.scale) == columns or len(query.coefficients) != columns + 1:
            raise BadRequest("logistic: a center and a scale per column, and one coefficient more")
        numbers = np.array([*query.coefficients, *query.center, *query.scale])
        if not np.isfinite(numbers).all():
            raise BadRequest("logistic: finite numbers only")
        # The target's row becomes that of the intercept, which is kept last until the result.
        intercept, *slopes = query.coefficients
        self._beta = np.array([*slopes, intercept])
        self._center, self._scale = np.array(query.center)[:, None], np.array(query.scale)[:, None]
        self._matrix, self._weighted = _Matrix(columns + 1), np.empty((columns + 1, CHUNK_ROWS))
        self.rows, self._likelihood = 0, 0.0
        self._gradient = np.zeros(columns + 1)
        self._hessian = np.zeros((columns + 1, columns + 1))

    def add(self, columns: Sequence[NDArray[Any]]) -> None:
        """Take in a stretch, the target last. Raises :class:`BadRequest` for a target other than 0 and 1."""
        z = self._matrix.fill(columns)
        target = z[-1].copy()
        if not ((target == 0) | (target == 1)).all():
            raise BadRequest("the target of a logistic regression must be 0 or 1")
        with np.errstate(over="ignore", invalid="ignore"):
            z[:-1] -= self._center
            z[:-1] /= self._scale
            z[-1] = 1.0
            eta = self._beta @ z
            small = np.exp(-np.abs(eta))  # at most 1: nothing overflows
            one = 1.0 + small
            mean = np.where(eta >= 0, 1.0, small) / one
            positive = np.maximum(eta, 0.0)
            self._likelihood += float(np.dot(target, eta) - positive.sum() - np.log(one).sum())
            self._gradient += z @ (target - mean)
            weighted = self._weighted[:, : z.shape[1]]
            np.multiply(z, mean * (1.0 - mean), out=weighted)
            self._hessian += weighted @ z.T
        self.rows += z.shape[1]

    def result(self) -> LogisticPartial:
        """What the site tells; the intercept is first in gradient and Hessian."""
        return LogisticPartial(
            rows=self.rows,
            likelihood=self._likelihood,
            gradient=np.roll(self._gradient, 1).tolist(),
            hessian=np.roll(self._hessian, (1, 1), axis=(0, 1)).ravel().tolist(),
        )
