"""Rényi differential privacy: per order α the divergences add up, and the best order gives the epsilon.

I. Mironov, "Rényi differential privacy", 2017: composition (proposition 1), the Gaussian mechanism, α/(2σ²)
(corollary 3). A pure ε gives at most ε, and αε²/2 (M. Bun, T. Steinke, "Concentrated differential privacy", 2016,
proposition 3.3). To (ε, δ): C. Canonne, G. Kamath, T. Steinke, "The discrete Gaussian for differential privacy",
2020, proposition 12. All contributions take part in all releases: nothing is gained by sampling.
"""

from __future__ import annotations

from grid.privacy.accounting.checks import check_delta, check_release
from grid.privacy.accounting.events import Event, PureEvent
from grid.privacy.accounting.interface import Accountant
from syft_ext.privacy.renyi import ORDERS, epsilon_of_divergences

__all__ = ["ORDERS", "RdpAccountant"]


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
        return epsilon_of_divergences(self._spent, delta)


def _divergence(event: Event, order: float) -> float:
    rho = order * event.rho
    return min(event.epsilon, rho) if isinstance(event, PureEvent) else rho
