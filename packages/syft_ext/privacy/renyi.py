"""Rényi differential privacy of Gaussian noise: divergences by order add up, and the best order gives an ε.

I. Mironov, "Rényi differential privacy", 2017; to (ε, δ): C. Canonne, G. Kamath, T. Steinke, "The discrete
Gaussian for differential privacy", 2020, proposition 12.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["ORDERS", "GaussianAccount", "epsilon_of_divergences"]

ORDERS: tuple[float, ...] = (
    *(1 + tenths / 10 for tenths in range(1, 100)),
    *range(11, 64),
    *(128, 256, 512, 1024),
)
"""The orders α that are tried: those of Google's dp-accounting, so that figures can be compared."""


def epsilon_of_divergences(spent: Sequence[float], delta: float) -> float:
    """The least ε for ``delta`` that follows from divergences of :data:`ORDERS`; infinite for a delta of 0."""
    if not any(spent):
        return 0.0
    if delta == 0:
        return math.inf
    return max(0.0, min(_epsilon(order, each, delta) for order, each in zip(ORDERS, spent, strict=True)))


def _epsilon(order: float, divergence: float, delta: float) -> float:
    return divergence + math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)


class GaussianAccount:
    """What steps of private training told of any one row.

    Attributes:
        steps: by noise multiplier, how many noisy steps the row that was used oftenest was in.
    """

    def __init__(self) -> None:
        self.steps: dict[float, int] = {}

    def compose(self, noise_multiplier: float, steps: int) -> None:
        """Take in so many steps with noise of this multiple of the clipping norm."""
        if not noise_multiplier > 0 or steps < 0:
            raise ValueError("steps of private training have noise, and are counted from 0")
        self.steps[noise_multiplier] = self.steps.get(noise_multiplier, 0) + steps

    def epsilon(self, delta: float) -> float:
        """For 0 < ``delta`` < 1. Raises ``ValueError`` for another."""
        if not 0 < delta < 1:
            raise ValueError("delta is between 0 and 1")
        told = [
            sum(many * order / (2 * multiplier**2) for multiplier, many in self.steps.items())
            for order in ORDERS
        ]
        return epsilon_of_divergences(told, delta)
