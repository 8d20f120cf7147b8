"""When a number is nothing but rounding: relative to the size of what it was computed from, never "equal to zero".

Doubles have 53 bits. Two unequal values near m differ by at least m·2⁻⁵³, so that a column that varies at all has
squared deviations of at least half the square of that; what centred sums make of equal values is far less. The
limit lies in the gap between the two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EPSILON", "LEAST_SQUARE", "does_not_vary", "moved", "rounding_of"]

Doubles = NDArray[np.float64]

EPSILON = float(np.finfo(np.float64).eps)

LEAST_SQUARE = 1e-290
"""Sums of squares below it have lost digits, or all of them: values vary by less than 1e-145."""

_STEPS = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def does_not_vary(m2: Any, mean: Any) -> NDArray[np.bool_]:
    """Whether squared deviations from ``mean`` are no more than rounding makes of equal values: (ε·mean/4)²."""
    with np.errstate(over="ignore", invalid="ignore"):
        limit = EPSILON / 4 * np.abs(np.asarray(mean, dtype=np.float64))
        found: NDArray[np.bool_] = np.isfinite(m2) & (np.asarray(m2) <= limit * limit)
    return found


def moved(mean: Doubles, rest: Doubles, step: Doubles) -> tuple[Doubles, Doubles]:
    """``mean`` + ``rest`` + ``step`` as a double and what rounding left of it (Knuth's two-sum): means beside
    which deviations are small lose digits of these otherwise."""
    added = rest + step
    found = mean + added
    back = found - mean
    return found, (mean - (found - back)) + (added - back)


def rounding_of(dtype: str) -> float:
    """How far apart neighbours of a type are, relative to their size; whole numbers are exact."""
    return _STEPS.get(dtype, EPSILON if dtype.startswith("float") else 0.0)
