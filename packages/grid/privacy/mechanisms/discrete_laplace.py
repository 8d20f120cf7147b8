"""Laplace noise on whole numbers, sampled exactly.

Noise made of floating-point numbers gives the data away in its last bits (I. Mironov, "On significance of the
least significant bits for differential privacy", 2012), and so do rounded sums. Here both are whole numbers:
values are clipped to the owner's bounds and rounded to a grid before they are summed, and the noise is the
discrete Laplace distribution, P(x) ∝ exp(−|x|/scale), drawn from the operating system's generator by
rational arithmetic (C. Canonne, G. Kamath, T. Steinke, "The discrete Gaussian for differential privacy", 2020,
algorithms 1 and 2).
"""

from __future__ import annotations

from fractions import Fraction
from secrets import randbelow
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from grid.privacy.accounting.events import Event, PureEvent
from grid.privacy.mechanisms.interface import Mechanism, Noise, Parameters
from syft_ext.errors import Unsupported

__all__ = ["DiscreteLaplace", "laplace"]


class LaplaceParameters(Parameters, frozen=True):
    """``sensitivity``: by how much one contribution changes a number at most; ``epsilon``: of one release."""

    sensitivity: Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
    epsilon: Annotated[float, msgspec.Meta(gt=0)]


class DiscreteLaplace(Mechanism):
    name = "discrete_laplace"
    parameters = LaplaceParameters
    numbers = "int64"
    sensitivity = "number"
    exact = True

    def bound(self, parameters: LaplaceParameters) -> float:
        return float(parameters.sensitivity)

    def clip(self, part: NDArray[Any], measured: float, parameters: LaplaceParameters) -> None:
        np.clip(part, -parameters.sensitivity, parameters.sensitivity, out=part)

    def noise(self, parameters: LaplaceParameters, key: bytes | None = None) -> Noise:
        if key is not None:
            raise Unsupported("exact noise is drawn from the operating system, and from no key")
        return LaplaceNoise(parameters)

    def event(self, parameters: LaplaceParameters) -> Event:
        return PureEvent(parameters.epsilon)


class LaplaceNoise:
    """Independent noise on each of the whole numbers. Raises ``OverflowError`` for what no int64 can hold."""

    def __init__(self, parameters: LaplaceParameters) -> None:
        self._parameters = parameters

    def add(self, values: NDArray[Any]) -> None:
        parameters = self._parameters
        noisy = [int(each) + laplace(parameters.sensitivity, parameters.epsilon) for each in values]
        values[:] = np.array(noisy, dtype=np.int64)


def laplace(sensitivity: int, epsilon: float) -> int:
    """Noise that makes a whole number of this sensitivity ε-differentially private."""
    scale = Fraction(sensitivity) / Fraction(epsilon)
    t, s = scale.numerator, scale.denominator  # algorithm 2 with scale t/s
    while True:
        u = randbelow(t)
        if not _bernoulli_exp(u, t):
            continue
        v = 0
        while _bernoulli_exp(1, 1):
            v += 1
        size = (u + t * v) // s
        negative = randbelow(2)
        if not (negative and size == 0):
            return -size if negative else size


def _bernoulli_exp(numerator: int, denominator: int) -> bool:
    """True with probability exp(−numerator/denominator), for a fraction of at most 1 (algorithm 1)."""
    k = 1
    while randbelow(denominator * k) < numerator:
        k += 1
    return k % 2 == 1
