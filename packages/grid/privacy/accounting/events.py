"""What one release can tell about one contribution: the worst that a mechanism leaves possible.

Neighbours differ by one contribution that is there or not.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Event", "GaussianEvent", "PureEvent", "Unbounded"]


@dataclass(frozen=True, slots=True)
class GaussianEvent:
    """Gaussian noise with a standard deviation of ``noise_multiplier`` (> 0) times the L2 sensitivity."""

    noise_multiplier: float


@dataclass(frozen=True, slots=True)
class PureEvent:
    """A release that is ``epsilon``-differentially private (≥ 0), with delta 0."""

    epsilon: float


@dataclass(frozen=True, slots=True)
class Unbounded:
    """A release without noise: nothing is promised."""


Event = GaussianEvent | PureEvent | Unbounded
