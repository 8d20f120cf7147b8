"""Exact Laplace noise on whole numbers: P(x) ∝ exp(−|x|/scale), with which a number is ε-differentially private.

Noise made of floating-point numbers gives the data away in its last bits (I. Mironov, "On significance of the
least significant bits for differential privacy", 2012), and so do rounded sums. Here both are whole numbers:
values are clipped to the owner's bounds and rounded to a grid before they are summed, and the noise is the
discrete Laplace distribution (:mod:`syft_ext.privacy.noise`).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from grid.privacy.accounting.events import Event, PureEvent
from grid.privacy.mechanisms.interface import Mechanism, Noise, Parameters
from syft_ext.errors import InvalidConfig
from syft_ext.privacy import noise

__all__ = ["DiscreteLaplace"]


class LaplaceParameters(Parameters, frozen=True):
    """``sensitivity``: by how much one contribution changes a number at most; ``epsilon``: of one release."""

    sensitivity: Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
    epsilon: Annotated[float, msgspec.Meta(gt=0)]


class DiscreteLaplace(Mechanism):
    """Each number by itself."""

    name = "discrete_laplace"
    parameters = LaplaceParameters
    numbers = "int64"
    sensitivity = "number"
    exact = True
    repeatable = True

    def check(self, parameters: LaplaceParameters) -> None:
        try:
            _distribution(parameters)
        except ValueError as error:
            raise InvalidConfig(f"epsilon: {error}", field="epsilon") from error

    def bound(self, parameters: LaplaceParameters) -> float:
        return parameters.sensitivity

    def clip(self, part: NDArray[Any], measured: None, parameters: LaplaceParameters) -> NDArray[Any]:
        return np.clip(part, -parameters.sensitivity, parameters.sensitivity, out=part)

    def noise(self, parameters: LaplaceParameters, key: bytes | None = None) -> Noise:
        return _distribution(parameters).draws(key)

    def event(self, parameters: LaplaceParameters) -> Event:
        return PureEvent(parameters.epsilon)


def _distribution(parameters: LaplaceParameters) -> noise.DiscreteLaplace:
    return noise.DiscreteLaplace(Fraction(parameters.sensitivity) / Fraction(parameters.epsilon))
