"""An update's bytes as numbers, read piece by piece.

An update is the bytes of the layout's tensors one after the other, little-endian, and nothing else: no header,
no names, no metadata. So all updates of a round have one length, and there is nothing in them that a reader
could choke on: any bytes of that length are numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.confidential.rounds import ReportLayout

__all__ = ["UpdateReader"]

_RAW: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}


class UpdateReader:
    """Reads updates of one layout.

    Attributes:
        size: how many numbers an update has.
        length: how many bytes.
    """

    def __init__(self, layout: ReportLayout) -> None:
        self._runs: list[tuple[str, int]] = []
        for tensor in layout.tensors:
            if self._runs and self._runs[-1][0] == tensor.dtype:
                self._runs[-1] = (tensor.dtype, self._runs[-1][1] + tensor.size)
            else:
                self._runs.append((tensor.dtype, tensor.size))
        self.size = layout.size
        self.length = sum(_RAW[dtype].itemsize * count for dtype, count in self._runs)

    def numbers(self, pieces: Iterable[memoryview]) -> Iterator[NDArray[Any]]:
        """The numbers of an update of :attr:`length` bytes, in order, as flat arrays of floats.

        Pieces may end anywhere, and need to be good only until the next is asked for; so is an array.

        Raises ``ValueError`` for another length.
        """
        queue = _Bytes(pieces)
        for dtype, count in self._runs:
            size = _RAW[dtype].itemsize
            while count:
                raw = queue.take(size, count)
                count -= len(raw) // size
                yield _floats(raw, dtype)
        if queue.take(1, 1, may_end=True):
            raise ValueError("an update is longer than its layout")


class _Bytes:
    """Pieces of bytes, handed out in whole elements."""

    def __init__(self, pieces: Iterable[memoryview]) -> None:
        self._pieces = iter(pieces)
        self._left = memoryview(b"")

    def take(self, size: int, most: int, *, may_end: bool = False) -> memoryview:
        """At least one and at most ``most`` elements of ``size`` bytes; none at the end where it ``may_end``."""
        while len(self._left) < size:
            # Less than an element: copied before the next piece takes its place.
            left = bytes(self._left)
            piece = next(self._pieces, None)
            if piece is None:
                if may_end and not left:
                    return memoryview(b"")
                raise ValueError("an update is shorter than its layout")
            self._left = memoryview(left + piece) if left else piece
        count = min(len(self._left) // size, most) * size
        taken, self._left = self._left[:count], self._left[count:]
        return taken


def _floats(raw: memoryview, dtype: str) -> NDArray[Any]:
    values: NDArray[Any] = np.frombuffer(raw, _RAW[dtype])
    if dtype == "BF16":  # the upper half of a single
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values
