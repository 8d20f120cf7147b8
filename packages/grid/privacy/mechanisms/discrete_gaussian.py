"""Exact Gaussian noise on vectors, as the site's policy demands it of what learns from data.

Noise made of floating-point numbers comes off by its last bits, whatever its size (I. Mironov, "On significance of
the least significant bits for differential privacy", 2012), and a norm that holds up to rounding hides nothing
exactly. So vectors are put on a grid and clipped there (:mod:`syft_ext.privacy.grid`), sums are whole numbers,
and the noise is the discrete Gaussian distribution (:mod:`syft_ext.privacy.noise`): with contributions of an L2
norm of at most Δ steps a release of the noisy sum is (Δ²/2σ²)-zCDP, as with the continuous one. Δ is ``clip_norm``
in steps, rounded down, and σ is ``noise_multiplier`` times ``clip_norm`` in steps, not rounded at all.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any

import msgspec
from numpy.typing import NDArray

from grid.privacy.accounting.events import Event, GaussianEvent
from grid.privacy.mechanisms.clipping import ClippingParameters
from grid.privacy.mechanisms.interface import Mechanism, Noise, Parts
from syft_ext.errors import InvalidConfig
from syft_ext.privacy import noise
from syft_ext.privacy.grid import Grid, Magnitude

__all__ = ["DiscreteGaussian"]


class GaussianParameters(ClippingParameters, frozen=True):
    """``noise_multiplier``: standard deviation of the noise in units of ``clip_norm``."""

    noise_multiplier: Annotated[float, msgspec.Meta(gt=0)]


class DiscreteGaussian(Mechanism):
    """On the grid of ``clip_norm``."""

    name = "discrete_gaussian"
    parameters = GaussianParameters
    numbers = "int64"
    sensitivity = "l2"
    exact = True
    repeatable = True

    def check(self, parameters: GaussianParameters) -> None:
        try:
            _distribution(parameters)
        except ValueError as error:
            raise InvalidConfig(f"noise_multiplier: {error}", field="noise_multiplier") from error

    def bound(self, parameters: GaussianParameters) -> float:
        return Grid(parameters.clip_norm).bound

    def measure(self, parts: Parts, parameters: GaussianParameters) -> Magnitude:
        return Grid(parameters.clip_norm).measure(parts)

    def clip(self, part: NDArray[Any], measured: Magnitude, parameters: GaussianParameters) -> NDArray[Any]:
        return Grid(parameters.clip_norm).clip(part, measured)

    def restore(self, values: NDArray[Any], parameters: GaussianParameters) -> NDArray[Any]:
        return Grid(parameters.clip_norm).restore(values)

    def noise(self, parameters: GaussianParameters, key: bytes | None = None) -> Noise:
        return _distribution(parameters).draws(key)

    def event(self, parameters: GaussianParameters) -> Event:
        return GaussianEvent(parameters.noise_multiplier)


def _distribution(parameters: GaussianParameters) -> noise.DiscreteGaussian:
    exponent = Grid(parameters.clip_norm).exponent
    steps = Fraction(parameters.clip_norm) / Fraction(2) ** exponent
    return noise.DiscreteGaussian((Fraction(parameters.noise_multiplier) * steps) ** 2)
