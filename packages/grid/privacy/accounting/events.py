"""What one release can tell about one contribution: the worst that a mechanism leaves possible.

Neighbours differ by one contribution that is there or not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Event", "GaussianEvent", "PureEvent", "Unbounded"]


@dataclass(frozen=True, slots=True)
class GaussianEvent:
    """Gaussian noise, continuous or discrete, of a standard deviation of ``noise_multiplier`` (> 0) times the L2
    sensitivity."""

    noise_multiplier: float

    @property
    def rho(self) -> float:
        """The release is ρ-zCDP: its Rényi divergence of order α is at most ρα. For the discrete distribution that
        is theorem 14 of C. Canonne, G. Kamath, T. Steinke, "The discrete Gaussian for differential privacy", 2020.
        """
        return 0.5 / self.noise_multiplier / self.noise_multiplier


@dataclass(frozen=True, slots=True)
class PureEvent:
    """A release that is ``epsilon``-differentially private (≥ 0), with delta 0."""

    epsilon: float

    @property
    def rho(self) -> float:
        """ε²/2 (M. Bun, T. Steinke, "Concentrated differential privacy", 2016, proposition 1.4)."""
        return self.epsilon * self.epsilon / 2


@dataclass(frozen=True, slots=True)
class Unbounded:
    """A release without noise: nothing is promised."""

    @property
    def rho(self) -> float:
        """There is no bound."""
        return math.inf


Event = GaussianEvent | PureEvent | Unbounded
