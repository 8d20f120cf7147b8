"""A fixed grid for vectors of bounded norm: real numbers become whole ones, and are clipped as such.

What is added up, and what noise is added to, are whole numbers: sums of them depend on no order, no number of
threads and no linear-algebra library, and their sensitivity is a whole number, and holds exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import InvalidTensors

__all__ = ["Grid", "Magnitude", "Parts", "exact_squares"]

Parts = Callable[[], Iterable[NDArray[Any]]]
"""The parts of a vector, as flat arrays of floats; called as often as they have to be gone through."""

_BOUND_BITS = 24
_PLACE_BITS = 26  # of a place, at most
_ROW = 1 << 10  # squares of so many places add up to less than 2^63
_SCALABLE = 1000  # exponents of steps that are doubles, and so is their inverse


@dataclass(frozen=True, slots=True)
class Magnitude:
    """How large a whole vector is.

    Attributes:
        shift: it is measured on a grid that is coarser by this power of two, because it would not fit; 0 unless
            a number of it is at least four times as large as the norm that it will be clipped to.
        squares: the exact sum of the squares of its places there.
    """

    shift: int
    squares: int


class Grid:
    """The multiples of a power of two, ``step``, of which the norm is between 2^23 and 2^24.

    A number is moved to the nearest multiple, by half a step at most, which is norm · 2^−24; where the vector is
    clipped, by less than another step. Noise with a deviation of z norms is 2^24 · z times as large as that.

    Args:
        norm: largest L2 norm of a vector, positive and finite.
        exponent: of a coarser step, where numbers are added up on one that is given; the norm has one step at
            least.

    Attributes:
        bound: the norm in steps, rounded down; the squares of a clipped vector's places add up to its square at
            most.
        exponent: ``step`` is 2 to this power.

    Raises ``ValueError`` for another norm, and for a step that is finer, or larger than the norm.
    """

    def __init__(self, norm: float, exponent: int | None = None) -> None:
        if not 0 < norm < math.inf:
            raise ValueError("the norm must be positive and finite")
        mantissa, scale = math.frexp(norm)
        finest = scale - _BOUND_BITS
        self.exponent = finest if exponent is None else exponent
        self.bound = int(mantissa * (1 << _BOUND_BITS)) >> max(0, self.exponent - finest)
        if self.exponent < finest or not self.bound:
            raise ValueError("the step is between the finest one of this norm and the norm")

    def measure(self, parts: Parts) -> Magnitude:
        """The size of a vector, exactly. Goes through its parts once, or twice where numbers are very large.

        Raises :class:`InvalidTensors` for a number that is not finite.
        """
        largest, squares = 0.0, 0
        for part in parts():
            top = float(np.abs(part).max()) if len(part) else 0.0
            if not math.isfinite(top):
                raise InvalidTensors("a number is not finite")
            largest = max(largest, top)
            if not self._shift(largest):
                squares += exact_squares(self._places(part, 0))
        shift = self._shift(largest)
        if shift:
            squares = sum(exact_squares(self._places(part, shift)) for part in parts())
        return Magnitude(shift, squares)

    def clip(self, part: NDArray[Any], magnitude: Magnitude) -> NDArray[Any]:
        """The places of a part of the vector, scaled down so that the whole has a norm of ``bound`` at most.

        Scaled by a double that is less than bound / norm, one rounding each, and cut off towards 0: the squares of
        the results add up to less than bound² · (1 + 2^−52 + 2^−106) < bound² + 1, and are whole.
        """
        places = self._places(part, magnitude.shift)
        if magnitude.shift or magnitude.squares > self.bound * self.bound:
            factor = math.nextafter(self.bound / (math.isqrt(magnitude.squares) + 1), 0.0)
            np.multiply(places, factor, out=places)
            np.trunc(places, out=places)
        whole: NDArray[Any] = places.astype(np.int64)
        return whole

    def restore(self, places: NDArray[Any]) -> NDArray[Any]:
        """Places as numbers, in float64."""
        wide = places.astype(np.float64)
        if abs(self.exponent) < _SCALABLE:
            np.multiply(wide, math.ldexp(1.0, self.exponent), out=wide)
            return wide
        found: NDArray[Any] = np.ldexp(wide, self.exponent)
        return found

    def _shift(self, largest: float) -> int:
        """How much coarser the grid must be, in powers of two, for a number of this size to have a place."""
        return max(0, math.frexp(largest)[1] - self.exponent - _PLACE_BITS) if largest else 0

    def _places(self, part: NDArray[Any], shift: int) -> NDArray[Any]:
        """The nearest places, whole numbers in a new float64 array; infinite where they would be too large."""
        exponent = -(self.exponent + shift)
        wide: NDArray[Any]
        with np.errstate(over="ignore"):
            if abs(exponent) < _SCALABLE:
                wide = np.multiply(part, math.ldexp(1.0, exponent), dtype=np.float64)
            else:
                wide = np.ldexp(part.astype(np.float64), exponent)
        np.rint(wide, out=wide)
        return wide


def exact_squares(places: NDArray[Any]) -> int:
    """The exact sum of the squares of whole numbers of at most 2^26, given as doubles."""
    whole = places.astype(np.int64)
    rows = whole[: len(whole) // _ROW * _ROW].reshape(-1, _ROW)
    rest = whole[len(rows) * _ROW :]
    sums = np.einsum("ij,ij->i", rows, rows).tolist()
    return int(sum(sums)) + int(np.einsum("i,i->", rest, rest))
