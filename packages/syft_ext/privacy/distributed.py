"""Noise that several participants make together: each adds its share to whole numbers before anybody sees them.

The sum of h shares, each a discrete Gaussian of variance σ², is not quite a discrete Gaussian; what that costs is
τ (P. Kairouz, Z. Liu, T. Steinke, "The distributed discrete Gaussian mechanism for federated learning with secure
aggregation", 2021, proposition 13 and theorem 14): for h honest participants, d numbers and a difference of L2
norm at most Δ, a release is (½ε²)-zCDP with ε² = Δ²/(hσ²) + ½τd and τ = 10 Σ exp(−2π²σ² k/(k+1)), k = 1 … h − 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["LEAST_VARIANCE", "DistributedNoise", "epsilon_of", "share_of"]

LEAST_VARIANCE = 9
"""Of each participant's noise, in squared steps of the grid: below, sums of discrete Gaussians are none (τ
counts)."""

_SLACK = 1 + 2.0**-40
"""More than what rounding in a few hundred operations of doubles takes off."""


def share_of(deviation: Fraction, honest: int) -> Fraction:
    """The variance of one share, where ``honest`` of them together have this ``deviation``."""
    return deviation * deviation / honest


@dataclass(frozen=True, slots=True)
class DistributedNoise:
    """Shares of noise, and what they hide.

    Attributes:
        variance: of one share, in squared steps. honest: shares that nobody else knows, at least.
        bound: the L2 norm of a participant's numbers, in steps, at most.
    """

    variance: Fraction
    honest: int
    bound: int

    @property
    def tau(self) -> float:
        """τ, rounded up."""
        variance = float(self.variance) / _SLACK
        return (
            10
            * _SLACK
            * math.fsum(math.exp(-2 * math.pi**2 * variance * k / (k + 1)) for k in range(1, self.honest))
        )

    def rho(self, count: int) -> float:
        """ρ of zero-concentrated differential privacy of one sum of ``count`` numbers, rounded up, for whoever is
        in it or whose numbers are replaced by zeros."""
        gaussian = self.bound * self.bound / (self.honest * float(self.variance))
        return (gaussian + self.tau * count / 2) / 2 * _SLACK


def epsilon_of(rho: float, delta: float) -> float:
    """ε at δ of ρ-zCDP (M. Bun, T. Steinke 2016, proposition 1.3), rounded up."""
    return (rho + 2 * math.sqrt(rho * math.log(1 / delta))) * _SLACK
