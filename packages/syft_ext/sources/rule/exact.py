"""Whether a number of a few bytes holds a value, or only one near it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["first_inexact", "holds", "outside_int64"]

_DIGITS = Context(prec=1200, Emax=MAX_EMAX, Emin=MIN_EMIN)  # more than any float64 has
WHOLE = 1 << 53  # up to here float64 holds every whole number


def holds(number: Decimal, value: float) -> bool:
    """Whether ``value``, written with as many digits as ``number`` has, is that number again."""
    if not math.isfinite(value):
        return number.is_infinite()
    if value == 0 or not number.is_finite():
        return number == 0
    exponent = number.as_tuple().exponent
    return Decimal(value).quantize(Decimal((0, (1,), int(exponent))), context=_DIGITS) == number


def outside_int64(values: Any) -> int | None:
    """The place of the first whole number that int64 does not hold."""
    if isinstance(values, np.ndarray):
        if values.dtype.kind != "u" or values.dtype.itemsize < 8:
            return None
        return _first(values > np.uint64((1 << 63) - 1))
    return next((place for place, value in enumerate(values) if not -(1 << 63) <= value < 1 << 63), None)


def first_inexact(values: Any) -> int | None:
    """The place of the first whole number that float64 does not hold."""
    if isinstance(values, np.ndarray):
        large = values > WHOLE
        if values.dtype.kind != "u":
            large |= values < -WHOLE
        if not large.any():
            return None
        places: Sequence[int] = np.flatnonzero(large).tolist()
    else:
        places = range(len(values))
    return next((place for place in places if not _same(int(values[place]))), None)


def _same(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _first(marked: NDArray[np.bool_]) -> int | None:
    place = int(marked.argmax()) if len(marked) else 0
    return place if len(marked) and marked[place] else None
