"""Co-moments and the rounds of a logistic regression from noisy numbers, in the caller's units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.statistics.columns import Column, place_of
from grid.statistics.guarded import measurement as m
from grid.statistics.guarded.measurement import Measurement
from grid.statistics.guarded.questions import Measured, Question
from grid.statistics.guarded.vectors import GRADIENT_STEPS, HESSIAN_STEPS, POINT_STEPS, PRODUCT_STEPS
from grid.statistics.reading import Doubles
from syft_ext.errors import BadRequest, Forbidden
from syft_ext.messages.statistics import CoMoments, Logistic, LogisticPartial

__all__ = ["LogisticRound", "co_moments", "logistic_round"]

_NOISE_IN_ALL = 8.0
"""Standard deviations of its noise that the least eigenvalue of a regression's products must have."""
_MOST_PREDICTOR = 30.0


def co_moments(question: Question, measured: Measured, deviation: float, fewest: int) -> CoMoments:
    """Rows, means and products of deviations; raises :class:`Forbidden` where they would be made of noise.

    Both follow from noisy numbers alone, so the refusal tells nothing that was not paid for.
    """
    order = measured.together
    size = len(order) + 1
    assert measured.products is not None
    noisy = _symmetric(measured.products / PRODUCT_STEPS, size)
    noise = measured.deviation / PRODUCT_STEPS
    rows = round(float(noisy[0, 0]))
    regression = bool(question.asked & {"linear_regression", "logistic_regression"})
    if rows < fewest + 2 * noise:
        raise Forbidden("too few complete rows for this under this site's noise")
    if regression:
        explaining = [0, *(1 + i for i in _independent(question))]
        least = float(np.linalg.eigvalsh(noisy[np.ix_(explaining, explaining)])[0])
        if least < _NOISE_IN_ALL * noise:
            many = len(question.columns)
            raise Forbidden(
                f"too few rows for a regression of {many} column{'s' * (many > 1)} under this site's noise, or "
                "columns that nearly follow from one another"
            )
    wanted = [
        order.index(each) for each in [*question.columns, *([question.target] if question.target else [])]
    ]
    means = noisy[0, 1:] / noisy[0, 0]
    products = noisy[1:, 1:] - np.outer(noisy[0, 1:], noisy[0, 1:]) / noisy[0, 0]
    # Sums of squares that noise made negative are taken for small: no matrix of products has any.
    spread, turned = np.linalg.eigh(products)
    products = (turned * np.maximum(spread, 1e-4 * noisy[0, 0])) @ turned.T
    bounds = [measured.bounds[each.name] for each in order]
    middle = np.array([low / 2 + high / 2 for low, high in bounds])
    half = np.array([high / 2 - low / 2 for low, high in bounds])
    with np.errstate(over="ignore"):
        scale = np.outer(half, half)[np.ix_(wanted, wanted)]
    if not np.isfinite(scale).all():
        raise BadRequest("the bounds of these columns lie too far apart for products of them")
    # Of a word that this site has no number for, there is nothing to be measured: it is 0 in every row.
    absent = np.array([_is_absent(order[index].column) for index in wanted], dtype=np.bool_)
    scale = np.where(absent[:, None] | absent, 0.0, scale)
    return CoMoments(
        columns=[order[index].column.label for index in wanted],
        rows=rows,
        mean=np.where(absent, 0.0, (middle + half * np.clip(means, -1.0, 1.0))[wanted]).tolist(),
        products=(products[np.ix_(wanted, wanted)] * scale).ravel().tolist(),
        noise=(scale * noise).ravel().tolist(),
    )


def _is_absent(column: Column) -> bool:
    return bool(column.levels) and column.levels[column.level] is None


def _independent(question: Question) -> list[int]:
    """Places in :attr:`Question.together` of the columns that have to vary here: words that this site has no
    number for do not, and where it lacks the reference, its other words follow from one another."""
    found, passed = [], set[str]()
    for place, each in enumerate(question.together):
        column = each.column
        if each is question.target or _is_absent(column):
            continue
        if column.levels and column.levels[0] is None and column.label not in passed:
            passed.add(column.label)
            continue
        found.append(place)
    return found


@dataclass(frozen=True, slots=True)
class LogisticRound:
    """One round at one point: what it needs to be measured, and how that becomes the caller's answer.

    Attributes:
        gradient, hessian: at the point, as the site's own coordinates (1, u₁, …) have it.
        turn: from these to the caller's coordinates.
    """

    gradient: Measurement
    hessian: Measurement
    turn: Doubles

    def answer(
        self,
        gradient: NDArray[np.int64],
        hessian: NDArray[np.int64],
        rows: int,
        deviation: float,
    ) -> LogisticPartial:
        """``deviation``: of the noise in each number of the gradient, in steps."""
        turn = self.turn
        first = turn @ (gradient / GRADIENT_STEPS)
        second = turn @ _symmetric(hessian / HESSIAN_STEPS, len(turn)) @ turn.T
        noise = turn @ turn.T * (deviation / GRADIENT_STEPS) ** 2
        return LogisticPartial(
            rows=rows,
            likelihood=None,
            gradient=first.tolist(),
            hessian=second.ravel().tolist(),
            noise=noise.ravel().tolist(),
        )


def logistic_round(question: Question, measured: Measured, asked: Logistic) -> LogisticRound:
    """Raises :class:`BadRequest` for a point that no regression would ask: where rows are certain, a
    gradient counts those beyond a threshold."""
    many = len(question.columns)
    if not len(asked.center) == len(asked.scale) == many or len(asked.coefficients) != many + 1:
        raise BadRequest("logistic: a center and a scale per column, and one coefficient more")
    numbers = np.array([*asked.coefficients, *asked.center, *asked.scale])
    if not np.isfinite(numbers).all():
        raise BadRequest("logistic: finite numbers only")
    bounds = [measured.bounds[each.name] for each in question.columns]
    middle = np.array([low / 2 + high / 2 for low, high in bounds])
    half = np.array([high / 2 - low / 2 for low, high in bounds])
    center, scale = np.array(asked.center), np.array(asked.scale)
    with np.errstate(over="ignore", invalid="ignore"):
        shift, stretch = (middle - center) / scale, half / scale
        beta = np.array(asked.coefficients)
        own = np.concatenate([[beta[0] + beta[1:] @ shift], beta[1:] * stretch])
    if not np.isfinite(own).all() or np.abs(own).sum() > _MOST_PREDICTOR:
        raise BadRequest("logistic: this is no point of a regression: rows would be certain there")
    point = [round(float(each) * POINT_STEPS) for each in own]
    assert question.target is not None
    # Canonical is the order of the table; the target is last in any case.
    order = sorted(range(many), key=lambda i: place_of(question.columns[i].column))
    columns = [*(question.columns[i].column for i in order), question.target.column]
    limits = [bounds[i] for i in order]
    canonical = [point[0], *(point[1 + i] for i in order)]
    turn = np.zeros((many + 1, many + 1))
    turn[0, 0] = 1.0
    for place, i in enumerate(order):
        turn[1 + i, 0], turn[1 + i, 1 + place] = shift[i], stretch[i]
    return LogisticRound(m.gradient(columns, limits, canonical), m.hessian(columns, limits, canonical), turn)


def _symmetric(triangle: Sequence[float] | Doubles, size: int) -> Doubles:
    whole = np.zeros((size, size))
    whole[np.triu_indices(size)] = triangle
    result: Doubles = whole + np.triu(whole, 1).T
    return result
