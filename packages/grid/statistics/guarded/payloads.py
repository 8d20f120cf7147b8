"""Noisy numbers as the database keeps them: whole numbers of as few bytes as they need, compressed."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["packed", "unpacked"]

_FORMS = ("<i1", "<i2", "<i4", "<i8")


def packed(numbers: NDArray[np.int64]) -> bytes:
    """A byte that says the width of each number, then the numbers by zlib (RFC 1950)."""
    most = int(np.abs(numbers).max(initial=0))
    form = next(each for each in _FORMS if most <= np.iinfo(each).max)
    return form[2:].encode() + zlib.compress(numbers.astype(form).tobytes(), 1)


def unpacked(payload: bytes) -> NDArray[np.int64]:
    """What was packed."""
    return np.frombuffer(zlib.decompress(payload[1:]), dtype=f"<i{payload[:1].decode()}").astype(np.int64)
