"""Gaussian noise on vectors of floats, as the site's policy demands it of what learns from data.

The generator is seeded from the operating system for each use, so that nobody can draw the same noise again; or
from a secret and the question, so that whoever asks the same again gets the same noise, and nothing by averaging.
What is noisy is rounded to the precision of the model: the sums are kept in float64, and floating-point
noise is not exact in its last bits (I. Mironov, "On significance of the least significant bits", 2012); where
proven privacy of single numbers is needed, statistics with exact noise are the tool
(:mod:`grid.privacy.mechanisms.discrete_laplace`).
"""

from __future__ import annotations

from secrets import randbits
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from grid.privacy.accounting.events import Event, GaussianEvent
from grid.privacy.mechanisms.clipping import ClippingParameters, L2Clipping
from grid.privacy.mechanisms.interface import Noise

__all__ = ["Gaussian"]

_BLOCK = 1 << 18


class GaussianParameters(ClippingParameters, frozen=True):
    """``noise_multiplier``: standard deviation of the noise in units of ``clip_norm``."""

    noise_multiplier: Annotated[float, msgspec.Meta(gt=0)]


class Gaussian(L2Clipping):
    name = "gaussian"
    parameters = GaussianParameters
    exact = False
    repeatable = True

    def noise(self, parameters: GaussianParameters, key: bytes | None = None) -> Noise:
        return GaussianNoise(parameters.noise_multiplier * parameters.clip_norm, key)

    def event(self, parameters: GaussianParameters) -> Event:
        return GaussianEvent(parameters.noise_multiplier)


class GaussianNoise:
    """Independent Gaussian noise with this standard deviation; ``key`` as in :meth:`Mechanism.noise`."""

    def __init__(self, deviation: float, key: bytes | None = None) -> None:
        self._deviation = deviation
        number = randbits(128) if key is None else int.from_bytes(key[:16], "big")
        self._random = np.random.Generator(np.random.Philox(key=number))

    def add(self, values: NDArray[Any]) -> None:
        for start in range(0, len(values), _BLOCK):
            part = values[start : start + _BLOCK]
            part += self._deviation * self._random.standard_normal(len(part))
