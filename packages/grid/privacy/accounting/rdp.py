"""Rényi differential privacy: per order α the divergences add up, and the best order gives the epsilon.

I. Mironov, "Rényi differential privacy", 2017: composition (proposition 1), the Gaussian mechanism, α/(2σ²)
(corollary 3). A pure ε gives at most ε, and αε²/2 (M. Bun, T. Steinke, "Concentrated differential privacy", 2016,
proposition 3.3). To (ε, δ): C. Canonne, G. Kamath, T. Steinke, "The discrete Gaussian for differential privacy",
2020, proposition 12. All contributions take part in all releases: nothing is gained by sampling.
"""

from __future__ import annotations

import math

from grid.privacy.accounting.checks import check_delta, check_release
from grid.privacy.accounting.events import Event, GaussianEvent, Unbounded
from grid.privacy.accounting.interface import Accountant

__all__ = ["ORDERS", "RdpAccountant"]

ORDERS: tuple[float, ...] = (
    *(1 + tenths / 10 for tenths in range(1, 100)),
    *range(11, 64),
    *(128, 256, 512, 1024),
)
"""The orders α that are tried: those of Google's dp-accounting, so that figures can be compared."""


class RdpAccountant(Accountant):
    def __init__(self) -> None:
        self._spent = [0.0] * len(ORDERS)

    def compose(self, event: Event, count: int = 1) -> None:
        check_release(event, count)
        if count:
            self._spent = [
                spent + count * _divergence(event, order)
                for spent, order in zip(self._spent, ORDERS, strict=True)
            ]

    def epsilon(self, delta: float) -> float:
        check_delta(delta)
        if not any(self._spent):
            return 0.0
        if delta == 0:
            return math.inf
        return max(0.0, min(_epsilon(order, r, delta) for order, r in zip(ORDERS, self._spent, strict=True)))


def _divergence(event: Event, order: float) -> float:
    if isinstance(event, GaussianEvent):
        # Divided twice: a square would overflow, or be zero, where the noise multiplier is neither.
        return order / 2 / event.noise_multiplier / event.noise_multiplier
    if isinstance(event, Unbounded):
        return math.inf
    return min(event.epsilon, order * event.epsilon * event.epsilon / 2)


def _epsilon(order: float, divergence: float, delta: float) -> float:
    return divergence + math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)
