"""Clipping without noise: no contribution counts for more than its bound; nothing is promised about privacy."""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from grid.privacy.accounting.events import Event, Unbounded
from grid.privacy.mechanisms.interface import Mechanism, Noise, Parameters, Parts
from syft_ext.errors import InvalidTensors

__all__ = ["Clipping", "ClippingParameters", "clip_factor"]

_BLOCK = 1 << 13
_TINY = 2.0**-900  # squares below have lost digits


def clip_factor(norm: float, bound: float) -> float:
    """What to multiply a vector of this L2 norm by, so that its norm is at most ``bound``."""
    return 1.0 if norm <= bound else bound / norm


class ClippingParameters(Parameters, frozen=True):
    """``clip_norm``: largest L2 norm of a contribution."""

    clip_norm: Annotated[float, msgspec.Meta(gt=0)]


class _NoNoise:
    def add(self, values: NDArray[Any]) -> None:
        pass


class Clipping(Mechanism):
    """A contribution whose L2 norm is larger than ``clip_norm`` is scaled down to it, in floating point."""

    name = "clipping"
    parameters = ClippingParameters
    numbers = "float64"
    sensitivity = "l2"
    exact = False
    repeatable = True

    def bound(self, parameters: ClippingParameters) -> float:
        return parameters.clip_norm

    def measure(self, parts: Parts, parameters: ClippingParameters) -> float:
        """The norm. Where squares overflow or vanish, numbers are taken in units of the largest."""
        squares = sum(_squares(part, 0) for part in parts())
        if _TINY < squares < math.inf:
            return math.sqrt(squares)
        largest = 0.0
        for part in parts():
            found = float(np.abs(part).max()) if len(part) else 0.0
            if not math.isfinite(found):
                raise InvalidTensors("a number is not finite")
            largest = max(largest, found)
        if largest == 0.0:
            return 0.0
        # The unit is a power of two, so that nothing is rounded but what vanishes beside the largest.
        exponent = math.frexp(largest)[1]
        norm = math.sqrt(sum(_squares(part, exponent) for part in parts()))
        with np.errstate(over="ignore"):
            return float(np.ldexp(norm, exponent))  # infinite where it is no double: nothing is left then

    def clip(self, part: NDArray[Any], measured: float, parameters: ClippingParameters) -> NDArray[Any]:
        part *= clip_factor(measured, parameters.clip_norm)
        return part

    def noise(self, parameters: ClippingParameters, key: bytes | None = None) -> Noise:
        return _NoNoise()

    def event(self, parameters: ClippingParameters) -> Event:
        return Unbounded()


def _squares(part: NDArray[Any], exponent: int) -> float:
    """The sum of squares, in units of 2^exponent. In blocks that no linear-algebra library starts threads for:
    those cost more than they save where other processes are at work, and sum in an order that depends on how many
    there are."""
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(part), _BLOCK):
            block = part[start : start + _BLOCK]
            block = np.ldexp(block, -exponent) if exponent else block
            total += float(np.einsum("i,i->", block, block))
    return total
