"""Exact discrete Laplace noise from the key of a release (:mod:`syft_ext.privacy.single`): the same question has
the same answer at a replica, after a retry and in a restored database, and there is nothing to average."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from grid.statistics.guarded.vectors import Vector
from grid.statistics.private.engine import Engine, Whole, parts_of
from grid.statistics.private.questions import PrivateQuestion
from grid.statistics.private.sums import BITS, CentredSums, PresentCount, StepSum, exponent_of
from syft_ext.messages.private_queries import QueryPart
from syft_ext.privacy.keys import derive_key
from syft_ext.privacy.single import one_laplace

__all__ = ["OwnEngine"]

_LARGEST = (1 << 63) - 1


class OwnEngine(Engine):
    name = "grid"
    kinds = frozenset({"count", "sum", "mean", "variance"})

    def vectors(self, question: PrivateQuestion) -> list[Vector]:
        column, bounds = question.column.column, question.bounds
        if question.kind == "count" or bounds is None:
            return [PresentCount(column)]
        if question.kind == "sum":
            return [StepSum(column, bounds)]
        return [CentredSums(column, bounds, spread=question.kind == "variance")]

    def draw(self, question: PrivateQuestion, exact: Sequence[Whole], key: bytes) -> Whole:
        numbers = np.concatenate(exact)
        for index, scale in enumerate(_scales(question)):
            noisy = int(numbers[index]) + one_laplace(scale, derive_key(key, "part", str(index).encode()))
            # Cut off where 64 bits end, far beyond all that is likely: a function of the noisy number.
            numbers[index] = min(max(noisy, -_LARGEST), _LARGEST)
        return numbers

    def parts(self, question: PrivateQuestion, numbers: Whole) -> list[QueryPart]:
        steps = _steps(question)
        return [
            QueryPart(name=name, value=float(number * step), scale=float(scale * step), step=float(step))
            for (name, step), number, scale in zip(steps, numbers.tolist(), _scales(question), strict=True)
        ]


def _steps(question: PrivateQuestion) -> list[tuple[str, Fraction]]:
    """Name and step of each number."""
    if question.kind == "sum":
        assert question.bounds is not None
        return [("sum", Fraction(2) ** exponent_of(question.bounds))]
    step = Fraction(1, 1 << BITS)
    named = [("count", Fraction(1)), ("centred", step), ("spread", step)]
    return named[: len(parts_of(question))]


def _scales(question: PrivateQuestion) -> list[Fraction]:
    """Of the noise in each number, in steps: what the rows of a person can change it by, over its ε."""
    one = [1, 1 << BITS, 1 << (BITS - 1)]
    if question.kind == "sum":
        assert question.bounds is not None
        exponent = exponent_of(question.bounds)
        one = [max(abs(round(Fraction(end) / Fraction(2) ** exponent)) for end in question.bounds)]
    shares = parts_of(question)
    return [each * question.most / share for each, share in zip(one, shares, strict=False)]
