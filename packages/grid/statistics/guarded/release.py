"""Measurements of one content: what is known is taken from the store, what is not is made, and then paid for.

Noise follows from a secret of the node, the content, the question and its terms: whoever measures the same
again (a replica, a restored database, after a crash between the making and the keeping) gets the same
numbers, and there is nothing to average.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from grid.privacy.budget.ledger import cost_of
from grid.statistics.guarded.measurement import Measurement
from grid.statistics.guarded.vectors import Vector
from syft_ext.errors import Forbidden
from syft_ext.privacy.keys import derive_key
from syft_ext.privacy.noise import DiscreteGaussian

__all__ = ["Made", "Release", "Unknown", "Wanted", "identifier"]

Whole = NDArray[np.int64]

#: Noisy numbers that are kept, by the identifier of their question; None where they are not.
Known = Callable[[str], Whole | None]
#: Exact vectors, by one reading of the rows.
Read = Callable[[Sequence[Vector]], Sequence[Whole]]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A measurement of which only the price is known before others are made."""

    units: int


Wanted = Measurement | Unknown

ROWS_SIGMA = 10
"""The number of rows of a table is measured with at least so much noise: it costs little, whatever σ will be."""


def identifier(question: str) -> str:
    """A question's, in the database: its digest."""
    return hashlib.sha256(question.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Made:
    """A measurement made now, with its noise; ``cost`` in the units of ledgers."""

    identifier: str
    question: str
    units: int
    cost: int
    numbers: Whole


@dataclass(slots=True)
class Release:
    """Attributes:
    digest: of the content. secret: 32 bytes of the node's.
    person, most: the column of persons, and how many rows of each count ("" and 1: each row is its own).
    known, read: see above; ``read`` is None where nothing is to be made, but its price to be told.
    base, sigma: of the terms, and what follows for this table once its rows are counted.
    fresh: what was made, not paid for yet. units, cost: of what was asked for and is not known yet.
    """

    digest: str
    secret: bytes
    person: str
    most: int
    known: Known
    read: Read | None
    base: int
    sigma: int
    fresh: list[Made] = field(default_factory=list)
    units: int = 0
    cost: int = 0
    _now: dict[str, Whole] = field(default_factory=dict)

    def take(self, wanted: Sequence[Wanted], precision: int = 1) -> list[Whole | None]:
        """The noisy numbers of each, in its shape; None for what is not known and not to be made.

        Args:
            precision: how many times the price is paid, for noise of so much less variance.
        """
        found: list[Whole | None] = []
        missing: dict[str, tuple[Measurement, str]] = {}
        for each in wanted:
            if isinstance(each, Unknown):
                self._count(each.units * precision, self.sigma)
                found.append(None)
                continue
            question = self._question(each, precision)
            name = identifier(question)
            numbers = self._now.get(name)
            if numbers is None:
                numbers = self.known(name)
            if numbers is None and name not in missing:
                missing[name] = (each, question)
                self._count(each.units * precision, self._sigma_of(each))
            found.append(None if numbers is None else numbers.reshape(each.shape))
        if self.read is None or not missing:
            return found
        self._make(missing, precision, self.read)
        return [
            each if each is not None or isinstance(one, Unknown) else self._again(one, precision)
            for each, one in zip(found, wanted, strict=True)
        ]

    def deviation(self, measurement: Measurement, precision: int = 1) -> float:
        """The standard deviation of the noise in each of its numbers."""
        return sqrt(self._variance(measurement, precision))

    def _again(self, measurement: Measurement, precision: int) -> Whole:
        return self._now[identifier(self._question(measurement, precision))].reshape(measurement.shape)

    def _count(self, units: int, sigma: int) -> None:
        self.units, self.cost = self.units + units, self.cost + cost_of(units, sigma)

    def _sigma_of(self, measurement: Measurement) -> int:
        # The number of rows is what sigma follows from; more exactly than this, nobody needs it for that.
        return max(self.base, ROWS_SIGMA) if measurement.key["kind"] == "rows" else self.sigma

    def _variance(self, measurement: Measurement, precision: int) -> Fraction:
        return measurement.variance * (self._sigma_of(measurement) * self.most) ** 2 / precision

    def _question(self, measurement: Measurement, precision: int) -> str:
        terms = {"sigma": self._sigma_of(measurement), "precision": precision}
        if self.person:
            terms |= {"person": self.person, "most": self.most}  # type: ignore[dict-item]
        return measurement.question(**terms)

    def _make(self, missing: dict[str, tuple[Measurement, str]], precision: int, read: Read) -> None:
        noise = [_noise(self._variance(measurement, precision)) for measurement, _ in missing.values()]
        exact = read([measurement.vector() for measurement, _ in missing.values()])
        for (name, (measurement, question)), vector, each in zip(missing.items(), exact, noise, strict=True):
            key = derive_key(self.secret, "statistics", self.digest.encode(), question.encode())
            numbers = vector.astype(np.int64)
            each.draws(key).add(numbers)
            units = measurement.units * precision
            self.fresh.append(
                Made(name, question, units, cost_of(units, self._sigma_of(measurement)), numbers)
            )
            self._now[name] = numbers


def _noise(variance: Fraction) -> DiscreteGaussian:
    try:
        return DiscreteGaussian(variance)
    except ValueError as error:
        raise Forbidden("this site demands more noise than such a number can carry") from error
