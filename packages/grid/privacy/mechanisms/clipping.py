"""Clipping without noise: no contribution counts for more than its bound; nothing is promised about privacy."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from grid.privacy.accounting.events import Event, Unbounded
from grid.privacy.mechanisms.interface import Mechanism, Noise, Parameters

__all__ = ["Clipping", "ClippingParameters", "L2Clipping", "clip_factor"]


def clip_factor(squares: float, bound: float) -> float:
    """What to multiply a vector by, whose squares sum to this, so that its L2 norm is at most ``bound``."""
    norm = float(np.sqrt(squares))
    return 1.0 if norm <= bound else bound / norm


class ClippingParameters(Parameters, frozen=True):
    """``clip_norm``: largest L2 norm of a contribution."""

    clip_norm: Annotated[float, msgspec.Meta(gt=0)]


class L2Clipping(Mechanism):
    """A contribution whose L2 norm is larger than ``clip_norm`` is scaled down to it."""

    numbers = "float64"
    sensitivity = "l2"

    def bound(self, parameters: Any) -> float:
        return float(parameters.clip_norm)

    def measure(self, part: NDArray[Any]) -> float:
        return float(np.dot(part, part))

    def clip(self, part: NDArray[Any], measured: float, parameters: Any) -> None:
        part *= clip_factor(measured, parameters.clip_norm)


class _NoNoise:
    def add(self, values: NDArray[Any]) -> None:
        pass


class Clipping(L2Clipping):
    name = "clipping"
    parameters = ClippingParameters
    exact = False
    repeatable = True

    def noise(self, parameters: ClippingParameters, key: bytes | None = None) -> Noise:
        return _NoNoise()

    def event(self, parameters: ClippingParameters) -> Event:
        return Unbounded()
