"""A stored tensor file, read in typed stretches: no copy, and one window of it resident at a time."""

from __future__ import annotations

import mmap
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.aggregation.numbers import BLOCK, integers, widen
from syft_ext.errors import InvalidTensors
from syft_ext.tensors import DTYPES, Layout, TensorKind, header_size, read_layout

__all__ = ["WINDOW", "Places", "Run", "TensorFile", "TensorHeader", "elements", "read_header"]

WINDOW = 1 << 20
"""Elements of a large mapped file that are resident at a time while it is read from end to end."""

WORTH_RELEASING = 8 << 20
"""Bytes of a file whose pages are worth giving back one window at a time."""

FOLIO = 2 << 20
"""The kernel maps whole folios of the page cache (Linux 6.18: up to this size) around a page that is touched."""

_CACHED_HEADER = 64 << 10
Run = tuple[str, int, int]
"""Neighbouring tensors of one dtype and kind: dtype ("F32"), first byte, end byte, counted in the data section."""


def elements(run: Run) -> int:
    """How many numbers there are in the stretch ``run``."""
    dtype, first, last = run
    return (last - first) // DTYPES[dtype][1]


def _runs_of(layout: Layout) -> list[tuple[Run, TensorKind]]:
    """The data section of ``layout`` as few typed stretches: what can be added in one call."""
    runs: list[tuple[Run, TensorKind]] = []
    for spec in sorted(layout.specs, key=lambda s: (s.start, s.stop)):
        if runs and (runs[-1][0][0], runs[-1][1]) == (spec.dtype, spec.kind):
            runs[-1] = ((spec.dtype, runs[-1][0][1], spec.stop), spec.kind)
        elif spec.stop > spec.start:
            runs.append(((spec.dtype, spec.start, spec.stop), spec.kind))
    return runs


Places = frozenset[tuple[str, str, int, int]]
"""Name, dtype, first and end byte of each tensor: two files with equal places can be added as they lie."""


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """What a tensor file's header says, not to be changed: ``kinds`` has one for each of ``runs``."""

    layout: Layout
    runs: list[Run]
    kinds: list[TensorKind]
    places: Places


def _read(header: bytes) -> TensorHeader:
    layout = read_layout(header)
    places = frozenset((s.name, s.dtype, s.start, s.stop) for s in layout.specs)
    runs = _runs_of(layout)
    return TensorHeader(layout, [run for run, _ in runs], [kind for _, kind in runs], places)


_read_cached = lru_cache(maxsize=16)(_read)  # the reports of a cycle have one header, as a rule


def read_header(header: bytes) -> TensorHeader:
    """What a whole header says. Raises :class:`InvalidTensors`."""
    return (_read_cached if len(header) <= _CACHED_HEADER else _read)(header)


class TensorFile:
    """A tensor file in a buffer or memory map.

    Raises :class:`InvalidTensors` when header and size disagree.
    """

    def __init__(self, buffer: bytes | memoryview) -> None:
        self.view = memoryview(buffer)
        head = header_size(self.view)
        header = read_header(bytes(self.view[:head]))
        self.layout, self.runs, self.places = header.layout, header.runs, header.places
        self._kinds = header.kinds
        self._starts = [run[1] for run in header.runs]
        if len(self.view) != self.layout.total_size:
            raise InvalidTensors(f"{len(self.view)} bytes, the header says {self.layout.total_size}")
        source = self.view.obj
        self._map = source if isinstance(source, mmap.mmap) and len(self.view) >= WORTH_RELEASING else None

    def kind(self, run: Run) -> TensorKind:
        """What the tensors of ``run`` are: it lies within one of :attr:`runs`."""
        return self._kinds[bisect_right(self._starts, run[1]) - 1]

    @property
    def window(self) -> int:
        """Elements to read before they are released; few where that costs nothing."""
        return BLOCK if self._map is None else WINDOW

    def tensor_bytes(self, start: int, stop: int) -> memoryview:
        """Bytes ``start`` to ``stop`` of the data section."""
        return self.view[self.layout.data_offset + start : self.layout.data_offset + stop]

    def bytes_of(self, run: Run, start: int, stop: int) -> NDArray[np.uint8]:
        """Elements ``start`` to ``stop`` of the stretch ``run``, as bytes."""
        dtype, first, _ = run
        size = DTYPES[dtype][1]
        return np.frombuffer(self.tensor_bytes(first + start * size, first + stop * size), np.uint8)

    def numbers(self, run: Run, start: int, stop: int) -> NDArray[Any]:
        """Elements ``start`` to ``stop`` of the stretch ``run``, in the dtype that they are summed in."""
        return widen(self.bytes_of(run, start, stop), run[0])

    def integers(self, run: Run, start: int, stop: int) -> NDArray[Any]:
        """As :meth:`numbers`, of a stretch of whole numbers, in their own dtype."""
        return integers(self.bytes_of(run, start, stop), run[0])

    def name_at(self, offset: int) -> str:
        """The name of the tensor at this byte of the data section."""
        return next(spec.name for spec in self.layout.specs if spec.start <= offset < spec.stop)

    def release(self, run: Run, start: int, stop: int) -> None:
        """Give the pages of these elements back to the page cache; they are mapped again when needed."""
        if self._map is None:
            return  # a small one goes with its map
        dtype, first, _ = run
        size, offset = DTYPES[dtype][1], self.layout.data_offset + first
        begin = (offset + start * size) // FOLIO * FOLIO
        end = -(-(offset + stop * size) // FOLIO) * FOLIO
        self._map.madvise(mmap.MADV_DONTNEED, begin, min(end, len(self._map)) - begin)
