"""A stored tensor file, read in typed stretches: no copy, and one slice of it resident at a time."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.federated.aggregation.numbers import widen
from syft_ext.errors import InvalidTensors
from syft_ext.tensors import DTYPES, Layout, read_layout

__all__ = ["SLICE", "Run", "TensorFile", "runs_of"]

SLICE = 1 << 20
"""Elements of a mapped file that are resident at a time while it is read from one end to the other."""

WORTH_RELEASING = 8 << 20
"""Bytes of a file whose pages are worth giving back one slice at a time."""

Run = tuple[str, int, int]
"""Neighbouring tensors of one dtype: dtype ("F32"), first byte, end byte, counted in the data section."""


def runs_of(layout: Layout) -> list[Run]:
    """The data section of ``layout`` as few typed stretches: what can be added in one call."""
    runs: list[Run] = []
    for spec in sorted(layout.specs, key=lambda s: (s.start, s.stop)):
        if runs and runs[-1][0] == spec.dtype:
            runs[-1] = (spec.dtype, runs[-1][1], spec.stop)
        elif spec.stop > spec.start:
            runs.append((spec.dtype, spec.start, spec.stop))
    return runs


class TensorFile:
    """A tensor file in a buffer or memory map.

    Raises :class:`InvalidTensors` when header and size disagree.
    """

    def __init__(self, buffer: bytes | memoryview) -> None:
        self.view = memoryview(buffer)
        self.layout = read_layout(self.view)
        if len(self.view) != self.layout.total_size:
            raise InvalidTensors(f"{len(self.view)} bytes, the header says {self.layout.total_size}")
        self.runs = runs_of(self.layout)

    def tensor_bytes(self, start: int, stop: int) -> memoryview:
        """Bytes ``start`` to ``stop`` of the data section."""
        return self.view[self.layout.data_offset + start : self.layout.data_offset + stop]

    def numbers(self, run: Run, start: int, stop: int) -> NDArray[Any]:
        """Elements ``start`` to ``stop`` of the stretch ``run``, in the dtype that they are summed in."""
        dtype, first, _ = run
        size = DTYPES[dtype][1]
        raw = np.frombuffer(self.tensor_bytes(first + start * size, first + stop * size), np.uint8)
        return widen(raw, dtype)

    def release(self, run: Run, start: int, stop: int) -> None:
        """Give the pages of these elements back to the page cache; they are mapped again when needed."""
        source = self.view.obj
        if not isinstance(source, mmap.mmap) or self.layout.data_size < WORTH_RELEASING:
            return  # a small one goes with its map
        dtype, first, _ = run
        size, page = DTYPES[dtype][1], mmap.PAGESIZE
        begin = (self.layout.data_offset + first + start * size) // page * page
        source.madvise(mmap.MADV_DONTNEED, begin, self.layout.data_offset + first + stop * size - begin)
