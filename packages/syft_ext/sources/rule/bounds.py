"""Whether numbers lie within bounds that may have been written in another precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["beyond"]


def beyond(values: NDArray[Any], low: float | None, high: float | None) -> NDArray[np.bool_]:
    """Which of ``values`` are less than ``low`` or more than ``high``; NaN is neither, None bounds nothing.

    A bound that is no whole number is met by what equals it in single precision: the smallest of a column, told in
    single precision, is 0.00089480000315 where the file says 0.0008948, and the row is not out of range for that.
    Whole bounds hold exactly.
    """
    outside = np.zeros(values.shape, np.bool_)
    with np.errstate(invalid="ignore", over="ignore"):
        for bound, wrong, whole in ((low, np.less, math.ceil), (high, np.greater, math.floor)):
            if bound is None:
                continue
            if values.dtype.kind != "f":
                found = wrong(values, whole(bound))  # exact; as a double, 2**53 + 1 would be 2**53
            elif float(bound).is_integer():
                found = wrong(values, bound)
            else:
                found = wrong(values, bound) & (values.astype(np.float32) != np.float32(bound))
            outside |= found
    return outside
