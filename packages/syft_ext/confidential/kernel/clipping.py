"""Clipping on a grid, such that the norm holds to the last unit, whatever comes.

With grid units of 2^−g, a bound C ≤ 2^24 in units, and a vector x of finite floats:

- e is the least e ≥ 0 with max|x| · 2^(g−e) < 2^24, and q = trunc(x · 2^(g−e)). Both are exact: a power of two
  moves no digit of a float, and a whole number below 2^24 is one. A coarser grid (e > 0) is for vectors that are
  longer than the bound anyway; they come out up to half as long as they might.
- S is the sum of the squares of q, exactly: in rows of 1,024 they add up to less than 2^58.
- r = isqrt(S) + 1, so that r > ‖q‖. f = 1 if r ≤ C, else the double below C / r.
- The result is trunc(q · f), for every vector: the same operations whether it is clipped or not, so that the time
  they take does not tell.

‖result‖ ≤ C: for f = 1 that is ‖q‖ < r ≤ C. Else f < C / r, each product has one rounding, and truncation only
shortens, so ‖result‖ < (C / r) · ‖q‖ · (1 + 2^−53) < C · (1 + 2^−53), hence ‖result‖² < C² + C² · (2^−52 +
2^−106) < C² + 1 for C ≤ 2^25; and it is a whole number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.privacy.grid import exact_squares

__all__ = ["MOST_BOUND", "Clip"]

MOST_BOUND = 1 << 24
"""The largest bound, in grid units. The proof above needs 2^25; places have 24 bits."""
_PLACE_BITS = 24
_BLOCK = 1 << 16  # elements at a time: few enough for the cache
Values = NDArray[Any]


class Clip:
    """Vectors of floats become vectors of whole numbers of at most this norm, in three sweeps over their parts.

    :meth:`largest` of all parts says on which grid (:meth:`shift`), :meth:`squares` of all parts how much they are
    scaled (:meth:`factor`), and :meth:`add` adds them to a sum.

    Args:
        bound: the largest Euclidean norm in grid units, 1 to :data:`MOST_BOUND`.
        bits: a grid unit is 2^−bits, 0 to 64.

    Raises ``ValueError`` for others.
    """

    def __init__(self, bound: int, bits: int) -> None:
        if not 1 <= bound <= MOST_BOUND or not 0 <= bits <= 64:
            raise ValueError("a bound has 1 to 2^24 grid units, of 2^-64 to 1")
        self.bound, self.bits = bound, bits
        self._room = np.empty(_BLOCK, np.float64)

    @staticmethod
    def largest(part: Values) -> float:
        """The largest magnitude in a part, 0 for an empty one; infinite where a number is not finite."""
        if not len(part):
            return 0.0
        # NaN goes through max; of two NaN, abs and max make one.
        top = float(np.maximum(part.max(), -part.min()))
        return top if math.isfinite(top) else math.inf

    def shift(self, largest: float) -> int:
        """e, of the largest magnitude of the vector. Raises ``ValueError`` unless it is finite."""
        if not math.isfinite(largest):
            raise ValueError("a number is not finite")
        return max(0, math.frexp(largest)[1] + self.bits - _PLACE_BITS) if largest else 0

    def squares(self, part: Values, shift: int) -> int:
        """What a part adds to S."""
        return sum(exact_squares(places) for _, places in self._places(part, shift))

    def factor(self, squares: int) -> float:
        """f, of S."""
        root = math.isqrt(squares) + 1
        return 1.0 if root <= self.bound else math.nextafter(self.bound / root, 0.0)

    def add(self, total: Values, part: Values, shift: int, factor: float) -> None:
        """Add the clipped part to ``total`` (int64, as long as the part), in place."""
        for start, places in self._places(part, shift):
            np.multiply(places, factor, out=places)
            np.trunc(places, out=places)
            target = total[start : start + len(places)]
            # As whole numbers: a sum of doubles would round where the total is beyond 2^53.
            np.add(target, places.astype(np.int64), out=target)

    def _places(self, part: Values, shift: int) -> Iterator[tuple[int, Values]]:
        """q, block by block, each with where it begins. The next block takes the place of the last."""
        # |bits − shift| is less than 1,000, and what is too small to be scaled exactly is truncated to 0.
        scale = math.ldexp(1.0, self.bits - shift)
        for start in range(0, len(part), _BLOCK):
            block = part[start : start + _BLOCK]
            places = self._room[: len(block)]
            np.multiply(block, scale, out=places, dtype=np.float64)
            np.trunc(places, out=places)
            yield start, places
