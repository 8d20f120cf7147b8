"""The order of the doubles as whole numbers: between two neighbours there is nothing.

IEEE 754 doubles of one sign are ordered as their bits are. Turning the bits of negative ones around, and
setting the sign bit of the others, makes that one order of unsigned integers (M. Herf, "Radix tricks", 2001).
A search for an order statistic that halves *this* range, not the range of values, always ends after 64 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["STEPS", "key_of", "keys_of", "value_of", "values_of"]

_SIGN = np.uint64(1 << 63)

#: Of a column of this tensor type, only every 2**step-th double can be a value: its fraction has fewer bits.
STEPS = {"float64": 0, "float32": 29, "float16": 42, "bfloat16": 45}


def keys_of(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """The place of each value among all doubles; −0 is 0. NaN has none and must not be among them."""
    bits = (values + 0.0).view(np.int64)  # −0.0 + 0.0 = 0.0
    flips = (bits >> 63).view(np.uint64) | _SIGN
    keys: NDArray[np.uint64] = bits.view(np.uint64) ^ flips
    return keys


def key_of(value: float) -> int:
    """As :func:`keys_of`, of one value, as a Python integer."""
    return int(keys_of(np.array([value], dtype=np.float64))[0])


def value_of(key: int) -> float:
    """The double at the place ``key``."""
    bits = key ^ (1 << 63) if key >> 63 else key ^ ((1 << 64) - 1)
    value: Any = np.array([bits], dtype=np.uint64).view(np.float64)[0]
    return float(value)


def values_of(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """As :func:`value_of`, of many; NaN at places that no number has."""
    flips = np.where(keys >> np.uint64(63), _SIGN, np.uint64((1 << 64) - 1))
    return (keys ^ flips).view(np.float64)
