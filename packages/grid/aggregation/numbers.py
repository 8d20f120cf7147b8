"""Arithmetic on raw typed buffers with numpy: sums wider than the values, no torch in the server process.

Sums of half precision are kept in float32, sums of integers in float64. bfloat16, which numpy does not know,
is the upper half of a float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BLOCK",
    "add_weighted",
    "all_finite",
    "first_beyond",
    "integers",
    "is_whole",
    "narrow",
    "wide_dtype",
    "widen",
]

Values = NDArray[Any]

BLOCK = 1 << 18
"""Elements that are scaled at a time: few enough for the cache, enough to hide what a call costs (two threads
that share the interpreter lock pay for each call twice: smaller blocks measured up to half slower)."""

_RAW: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("u1"),
}
_HALF_EXPONENT = {"F16": 0x7C00, "BF16": 0x7F80}


def wide_dtype(code: str) -> np.dtype[Any]:
    """What sums of the tensor dtype ``code`` are kept in."""
    return np.dtype(np.float32) if code in ("F32", "F16", "BF16") else np.dtype(np.float64)


def widen(raw: Values, code: str) -> Values:
    """The bytes ``raw`` as numbers, in :func:`wide_dtype`; a view where they are so already."""
    values: Values = raw.view(_RAW[code])
    if code == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(wide_dtype(code), copy=False)


def narrow(values: Values, code: str) -> Values:
    """Numbers in :func:`wide_dtype` as the tensor dtype ``code``: rounded to nearest, integers clipped."""
    if code == "BF16":
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    target = _RAW[code]
    if target.kind in "iu":
        limits = np.iinfo(target)
        rounded = np.rint(values)
        with np.errstate(invalid="ignore"):
            result: Values = np.maximum(rounded, limits.min).astype(target)
        # 2**63 is a float64 and no int64: what is too large is found before it is converted.
        result[rounded >= float(limits.max)] = limits.max
        return result
    with np.errstate(over="ignore"):
        return values.astype(target, copy=False)


def is_whole(code: str) -> bool:
    """Whether the tensor dtype ``code`` is of whole numbers (or truth values)."""
    return _RAW[code].kind in "iu" and code != "BF16"


def integers(raw: Values, code: str) -> Values:
    """The bytes ``raw`` as whole numbers of their own dtype (:func:`is_whole`): a view."""
    return raw.view(_RAW[code])


def add_weighted(total: Values, values: Values, factor: float, room: Values, *, first: bool = False) -> None:
    """``total += factor * values``, or ``total = factor * values`` where ``first``.

    ``room`` is of the dtype of ``total``, for as many elements as are scaled at a time. Whoever adds several
    parts stretch by stretch gets the same result, to the last bit, as one part at a time.
    """
    number = total.dtype.type(factor)
    if first:
        np.multiply(values, number, out=total)
    elif number == 1:
        np.add(total, values, out=total)
    elif number == -1:
        np.subtract(total, values, out=total)
    else:
        for start in range(0, len(total), len(room)):
            target = total[start : start + len(room)]
            product = np.multiply(values[start : start + len(room)], number, out=room[: len(target)])
            np.add(target, product, out=target)


def first_beyond(raw: Values, code: str, largest: float) -> int | None:
    """Where in the bytes ``raw`` of floats, at least one, the first number is that is not finite, or further from
    zero than ``largest``; None: nowhere."""
    values = widen(raw, code)
    # NaN goes through both, and no comparison with it is true.
    if -largest <= float(values.min()) and float(values.max()) <= largest:
        return None
    return int(np.flatnonzero(~(np.abs(values) <= largest))[0])


def all_finite(raw: Values, code: str) -> bool:
    """Whether the bytes ``raw`` hold neither NaN nor infinity."""
    values = raw.view(_RAW[code])
    if code in _HALF_EXPONENT:
        mask = _HALF_EXPONENT[code]
        return not bool(((values.view(np.uint16) & mask) == mask).any())
    if values.dtype.kind != "f":
        return True
    with np.errstate(all="ignore"):
        # A finite sum has only finite terms. The exact test is for when large terms overflow it.
        return bool(np.isfinite(np.add.reduce(values)) or np.isfinite(values).all())
