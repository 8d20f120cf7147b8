"""What a call costs: arithmetic, and memory that a kernel takes for itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from syft_ext.plans.preconditions.sizes import broadcast, extent

__all__ = ["SLOW", "copied_bytes", "touched"]

Tensor = torch.Tensor


def touched(tensors: Sequence[Tensor]) -> int:
    """Elements read or written, of the largest of ``tensors``."""
    return max((extent(tensor.shape) for tensor in tensors), default=0)


def copied_bytes(operands: Sequence[Tensor], results: Sequence[Tensor], arguments: Sequence[Any]) -> int:
    """Bytes of copies that a kernel makes of operands that are not dense, or not of its type.

    A number among the arguments brings truth values and integers to a wider type.
    """
    widest = max((t.element_size() for t in (*operands, *results)), default=1)
    types = {t.dtype for t in (*operands, *results)}
    numbers = any(type(argument) in (int, float) for argument in arguments)

    def bytes_of(t: Tensor) -> int:
        if numbers and not t.dtype.is_floating_point:
            return 8 * t.numel()
        return widest * t.numel() if len(types) > 1 or not t.is_contiguous() else 0

    return sum(map(bytes_of, operands))


# -- arithmetic ----------------------------------------------------------------------------------------


_SMALL = 8 << 20
SLOW = 16
"""An element that a plain loop looks at takes as long as this many multiply-adds of a product, at the least."""


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return (values[0], values[-1])


def pool_work(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], *rest: Any
) -> int:
    """Each place of the result looks at its window. ``rest`` begins with dilation or ceil_mode."""
    sizes, paddings = _pair(kernel), _pair(padding)
    steps = _pair(stride) if stride else sizes
    spread = _pair(rest[0]) if isinstance(rest[0], list) else (1, 1)
    work = SLOW * math.prod(x.shape[:-2])
    for size, k, step, pad, d in zip(x.shape[-2:], sizes, steps, paddings, spread, strict=True):
        places = max((size + 2 * pad - d * (k - 1) - 1) // step + 2, 1)
        work *= places * min(k, size // d + 1)
    return work


def adaptive_work(x: Tensor, output_size: Sequence[int]) -> int:
    outputs = _pair(output_size)
    work = SLOW * math.prod(x.shape[:-2])
    for size, places in zip(x.shape[-2:], outputs, strict=True):
        work *= places * (-(-size // places) + 1)
    return work


def _log(size: int) -> int:
    return max(size, 2).bit_length()


def sort_work(x: Tensor, *_: Any) -> int:
    return SLOW * extent(x.shape) * _log(extent(x.shape))


def search_work(x: Tensor, boundaries: Tensor, *_: Any) -> int:
    return SLOW * extent(x.shape) * _log(boundaries.numel())


def index_work(x: Tensor, indices: Sequence[Tensor | None], *_: Any) -> int:
    present = [index for index in indices if index is not None]
    return len(present) * touched(present)


# -- memory --------------------------------------------------------------------------------------------


def sort_scratch(x: Tensor, *_: Any) -> int:
    """Values, places, and the room that a stable sort merges in."""
    return 4 * extent(x.shape) * (x.element_size() + 8)


def several_copies(x: Tensor, *_: Any) -> int:
    """Of the first operand, in the widest type."""
    return 3 * extent(x.shape) * 8


def index_scratch(x: Tensor, indices: Sequence[Tensor | None], *_: Any) -> int:
    """Indices are widened to i64 and brought to one shape; the operand is copied where dimensions change
    places."""
    present = [index for index in indices if index is not None]
    shape = broadcast(*(index.shape for index in present))
    return 2 * len(present) * 8 * math.prod(shape) + x.numel() * x.element_size()


def scatter_scratch(x: Tensor, dim: int, index: Tensor, *_: Any) -> int:
    """Keys and places, sorted by keys."""
    return 8 * 8 * index.numel() + x.numel() * x.element_size()


def convolution_scratch(x: Tensor, weight: Tensor, bias: Any, *geometry: Any) -> int:
    result = torch.ops.aten.convolution.default(x, weight, None, *geometry)
    return _convolution_bytes(x, weight, result, geometry)


def convolution_backward_scratch(grad: Tensor, x: Tensor, weight: Tensor, _: Any, *rest: Any) -> int:
    return 2 * _convolution_bytes(x, weight, grad, rest[:-1])


def _convolution_bytes(x: Tensor, weight: Tensor, result: Tensor, geometry: Sequence[Any]) -> int:
    """Operands in the library's own layout; where it has no kernel, each window is written out as a column. It has
    none for doubles and halves, and is not asked for what is small."""
    reordered = sum(t.numel() * max(t.element_size(), 4) for t in (x, weight, result))
    places = x if geometry[3] else result  # transposed
    columns = places.shape[0] * math.prod(places.shape[2:]) * math.prod(weight.shape[1:]) * x.element_size()
    library = x.dtype in (torch.float32, torch.bfloat16)
    return reordered + (min(columns, _SMALL) if library else columns)
