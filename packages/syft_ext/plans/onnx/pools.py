"""Pools, one place of the window after the other: onnxruntime's maximum leaves out NaN and takes the
smallest finite number for an infinity, and its averages count padding otherwise than torch where windows
are rounded up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from syft_ext.plans.onnx.builder import Builder
from syft_ext.plans.onnx.products import spread
from syft_ext.plans.onnx.table import translates
from syft_ext.plans.onnx.types import INTEGERS, NUMPY, Number, Value

__all__: list[str] = []


class _Windows:
    """The windows of a pool along the last two dimensions."""

    def __init__(
        self,
        x: Value,
        kernel: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        ceil_mode: bool,
    ) -> None:
        self.sizes = x.shape[-2:]
        self.kernel, self.padding = spread(kernel, 2), spread(padding, 2)
        self.stride = spread(stride, 2) if stride else self.kernel
        self.dilation = spread(dilation, 2)
        self.counts = [self._count(axis, ceil_mode) for axis in range(2)]

    def _count(self, axis: int, ceil_mode: bool) -> int:
        size, p, s = self.sizes[axis], self.padding[axis], self.stride[axis]
        room = size + 2 * p - self.dilation[axis] * (self.kernel[axis] - 1) - 1
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= size + p:  # the last window would begin in the padding
            count -= 1
        return count

    def padded(self, b: Builder, x: Value, number: Number) -> Value:
        """The images with so much of ``number`` around them that each window is whole."""
        after = [
            max(0, (count - 1) * s + d * (k - 1) + 1 - p - size)
            for count, s, d, k, p, size in zip(
                self.counts, self.stride, self.dilation, self.kernel, self.padding, self.sizes, strict=True
            )
        ]
        lead = [0] * (x.rank - 2)
        return b.pad(x, lead + self.padding, lead + after, number)

    def places(self, b: Builder, padded: Value) -> Iterator[tuple[int, int, Value]]:
        """For each place of the window, row by row: what all windows have there."""
        for i in range(self.kernel[0]):
            rows = self._along(b, padded, padded.rank - 2, 0, i)
            for j in range(self.kernel[1]):
                yield i, j, self._along(b, rows, padded.rank - 1, 1, j)

    def _along(self, b: Builder, x: Value, axis: int, which: int, place: int) -> Value:
        start = place * self.dilation[which]
        stop = start + (self.counts[which] - 1) * self.stride[which] + 1
        return b.slice(x, axis, start, stop, self.stride[which])

    def starts(self, axis: int) -> NDArray[np.int64]:
        """Where each window begins, in places of the image."""
        found: NDArray[np.int64] = np.arange(self.counts[axis], dtype=np.int64) * self.stride[axis]
        return found - self.padding[axis]

    def inside(self, axis: int, place: int) -> NDArray[np.bool_]:
        """Which windows have this place in the image."""
        at = self.starts(axis) + place * self.dilation[axis]
        found: NDArray[np.bool_] = (at >= 0) & (at < self.sizes[axis])
        return found


@translates("max_pool2d_with_indices.default")
def _max_pool(
    b: Builder,
    x: Value,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> tuple[Value, Value]:
    """As torch's loop: the first of equals, and every NaN counts as larger than what was before it."""
    windows = _Windows(x, kernel_size, stride, padding, dilation, ceil_mode)
    lowest = int(np.iinfo(NUMPY[x.dtype]).min) if x.dtype in INTEGERS else -math.inf
    work = b.wide(x)
    shape = (*x.shape[:-2], *windows.counts)
    best: Value | None = None
    index: Value = b.expand(b.const(_first_places(windows)), shape)
    padded = windows.padded(b, work, lowest)
    for i, j, found in windows.places(b, padded):
        inside = windows.inside(0, i)[:, None] & windows.inside(1, j)[None, :]
        flat = _flat(windows, i, j)
        if best is None:
            best = found  # padding is the lowest there is
            if inside.all() and not x.floating:
                continue
            better = b.compare("Greater", found, lowest)
        else:
            better = b.compare("Greater", found, best)
        if x.floating:
            better = b.flag("Or", better, b.nan(found))
        if not inside.all():
            better = b.flag("And", better, b.const(inside))
        best = b.where(better, found, best)
        index = b.where(better, b.const(flat), index)
    assert best is not None
    plane = windows.sizes[0] * windows.sizes[1]
    known = None if any(windows.padding) and windows.dilation != [1, 1] else (0, plane)
    return b.cast(best, x.dtype), Value(index.name, index.dtype, index.shape, known)


def _flat(windows: _Windows, i: int, j: int) -> NDArray[np.int64]:
    rows = windows.starts(0) + i * windows.dilation[0]
    columns = windows.starts(1) + j * windows.dilation[1]
    found: NDArray[np.int64] = rows[:, None] * windows.sizes[1] + columns[None, :]
    return found


def _first_places(windows: _Windows) -> NDArray[np.int64]:
    """The first place of each window that is not in front of the image: what stands where nothing is larger
    than the lowest number."""
    firsts = []
    for axis in range(2):
        starts = windows.starts(axis)
        step = windows.dilation[axis]
        firsts.append(np.where(starts < 0, starts + -(starts // step) * step, starts))
    found: NDArray[np.int64] = firsts[0][:, None] * windows.sizes[1] + firsts[1][None, :]
    return found


@translates("avg_pool2d.default")
def _avg_pool(
    b: Builder,
    x: Value,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    windows = _Windows(x, kernel_size, stride, padding, [1], ceil_mode)
    total: Value | None = None
    if windows.counts == [1, 1] and windows.kernel == list(windows.sizes) and not any(windows.padding):
        total = b.sum(x, [x.rank - 2, x.rank - 1], True)
    else:
        for _, _, found in windows.places(b, windows.padded(b, x, 0)):
            total = found if total is None else b.add(total, found)
    assert total is not None
    if divisor_override is not None:
        return b.div(total, b.number(divisor_override, x.dtype))
    rows, columns = (_extent(windows, axis, count_include_pad) for axis in range(2))
    return b.div(total, b.const((rows[:, None] * columns[None, :]).astype(NUMPY[x.dtype])))


def _extent(windows: _Windows, axis: int, with_padding: bool) -> NDArray[np.int64]:
    starts, size, pad = windows.starts(axis), windows.sizes[axis], windows.padding[axis]
    stops = np.minimum(starts + windows.kernel[axis], size + pad)
    if not with_padding:
        starts, stops = np.maximum(starts, 0), np.minimum(stops, size)
    found: NDArray[np.int64] = stops - starts
    return found


@translates("_adaptive_avg_pool2d.default")
def _adaptive_avg_pool(b: Builder, x: Value, output_size: Sequence[int]) -> Value:
    """First the rows of each stretch together, then the columns, then divided."""
    counts = []
    for axis, wanted in zip((x.rank - 2, x.rank - 1), spread(output_size, 2), strict=True):
        size = x.shape[axis]
        stretches = [(place * size // wanted, -(-(place + 1) * size // wanted)) for place in range(wanted)]
        if all(stop - start == 1 for start, stop in stretches) and wanted == size:
            counts.append(np.ones(wanted))
            continue
        x = b.concat([b.sum(b.slice(x, axis, *each), [axis], True) for each in stretches], axis)
        counts.append(np.array([stop - start for start, stop in stretches]))
    return b.div(x, b.const((counts[0][:, None] * counts[1][None, :]).astype(NUMPY[x.dtype])))
