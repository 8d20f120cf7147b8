"""Columns of a table in stretches of rows, as doubles: whatever the table's size, a few megabytes are held.

Stretches are read into buffers that are used again, not mapped: the pages of a map count as the node's memory
until they are given back, those of the page cache do not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.statistics.columns import Column
from syft_ext.tensors import DTYPES, TensorSpec

__all__ = ["CHUNK_ROWS", "Doubles", "rows_of", "stretches"]

Doubles = NDArray[np.float64]

CHUNK_ROWS = 1 << 13
"""Rows at a time: a column of doubles then stays in the first caches while it is worked on, and what is made
of it is small enough for the C library not to map and unmap it every time (:mod:`grid.web.http.memory`)."""
_READ_BYTES = 16 << 20
"""What is held of a table at a time, of all columns together."""

_RAW: dict[str, str] = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "u1",
}


def rows_of(columns: Sequence[Column]) -> int:
    """The rows that columns of one table have; 0 where there are none."""
    return columns[0].rows if columns else 0


def stretches(descriptor: int, offset: int, columns: Sequence[Column]) -> Iterator[list[Any]]:
    """The columns' values row range by row range, in the order of ``columns``.

    Truth values and integers come as integers of their own width, everything else as float64; what is yielded
    is good until the next step.

    Args:
        descriptor: of the open tensor file.
        offset: where its data section begins.
    """
    specs = {column.spec.name: column.spec for column in columns}
    widths = {name: _row_bytes(spec) for name, spec in specs.items()}
    rows = rows_of(columns)
    width = max(1, sum(widths.values()))
    step = max(1, min(CHUNK_ROWS, _READ_BYTES // width))
    # Several steps are read at once: a call to the kernel and a hand-over of the processor each cost.
    block = max(step, min(_READ_BYTES // width // step * step, -(-rows // step) * step))
    buffers = {name: bytearray(block * width) for name, width in widths.items()}
    for first in range(0, rows, block):
        many = min(block, rows - first)
        for name, spec in specs.items():
            view = memoryview(buffers[name])[: many * widths[name]]
            _read(descriptor, view, offset + spec.start + first * widths[name])
        for start in range(0, many, step):
            count = min(step, many - start)
            yield [
                _numbers(buffers[column.spec.name], column, start * widths[column.spec.name], count)
                for column in columns
            ]


def _row_bytes(spec: TensorSpec) -> int:
    per_row = spec.shape[1] if len(spec.shape) == 2 else 1
    return per_row * DTYPES[spec.dtype][1]


def _read(descriptor: int, view: memoryview, position: int) -> None:
    while view:
        count = os.preadv(descriptor, [view], position)
        if not count:
            raise OSError("the table is shorter than its header says")
        view, position = view[count:], position + count


def _numbers(buffer: bytearray, column: Column, start: int, rows: int) -> Any:
    raw: NDArray[Any] = np.frombuffer(
        buffer, dtype=_RAW[column.spec.dtype], count=rows * column.width, offset=start
    )
    if column.width > 1:
        raw = raw.reshape(rows, column.width)[:, column.index]
    if column.levels:
        return _indicator(raw, column)
    if column.spec.dtype == "BF16":  # the upper half of a float32
        return (raw.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    if column.spec.dtype == "BOOL":
        return raw != 0
    if raw.dtype.kind in "iu":
        return raw
    return raw.astype(np.float64, copy=False)


def _indicator(raw: NDArray[Any], column: Column) -> Any:
    """Truth values, or numbers with NaN where a row holds none of the levels."""
    known = [code for code in column.levels if code is not None]
    level = column.levels[column.level]
    found = raw == level if level is not None else np.zeros(len(raw), dtype=np.bool_)
    among = np.isin(raw, known)
    return found if among.all() else np.where(among, found.astype(np.float64), np.nan)
