"""Pooling in one, two and three dimensions, forward and back, of what is in the op set: ATen's kernels for three
dimensions are not in it, and those for gradients trust indices and sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from syft_ext.plans.tracing.errors import TraceError, user_line

__all__ = ["POOLS"]

aten = torch.ops.aten
_convolution: Callable[..., torch.Tensor] = aten.convolution.default


def _each(value: Any, dims: int) -> list[Any]:
    """A number for each dimension, where torch takes one for all."""
    values = [*value] if isinstance(value, list | tuple) else [value]
    return values * dims if len(values) == 1 else values


def _fixed(x: torch.Tensor, dims: int) -> list[int]:
    sizes = list(x.shape[-dims:])
    if not all(isinstance(size, int) for size in sizes):
        raise TraceError(
            f"{user_line()} pools over a dimension of variable size", hint="pictures of a fixed size"
        )
    return sizes


# --- averages -----------------------------------------------------------------------------------------------


def _members(out: int, size: int, kernel: int, stride: int, padding: int, with_padding: bool) -> list[int]:
    """How many values the mean of each window is taken over, along one dimension."""
    counts = []
    for index in range(out):
        start = index * stride - padding
        end = min(start + kernel, size + padding)
        counts.append(end - start if with_padding else min(end, size) - max(start, 0))
    return counts


def _divisors(
    out: Sequence[int],
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    with_padding: bool,
    divisor: int | None,
) -> float | torch.Tensor:
    """What the sum of each window is divided by: one number, or one for each window."""
    if divisor:
        return float(divisor)
    counts = [
        _members(*facts, with_padding) for facts in zip(out, sizes, kernel, stride, padding, strict=True)
    ]
    if all(len(set(each)) == 1 for each in counts):
        return float(math.prod(each[0] for each in counts))
    product = torch.ones([])
    for each in counts:
        product = product.unsqueeze(-1) * torch.tensor([float(count) for count in each])
    return product


def _avg_pool_backward(dims: int) -> Callable[..., torch.Tensor]:
    def backward(
        grad: torch.Tensor,
        x: torch.Tensor,
        kernel: Any,
        stride: Any,
        padding: Any,
        ceil_mode: bool,
        with_padding: bool,
        divisor: int | None,
    ) -> torch.Tensor:
        """A transposed convolution of each channel with ones, of the gradient divided as the sums were."""
        sizes, out = _fixed(x, dims), _fixed(grad, dims)
        kernel, padding = _each(kernel, dims), _each(padding, dims)
        stride = _each(stride, dims) if stride else kernel
        channels = x.shape[-dims - 1]
        by = _divisors(out, sizes, kernel, stride, padding, with_padding, divisor)
        grad = grad / (by.to(grad.dtype) if isinstance(by, torch.Tensor) else by)
        batched = grad.reshape([-1, channels, *out])
        ones = torch.ones([channels, 1, *kernel], dtype=grad.dtype)
        none = [0] * dims
        full = _convolution(batched, ones, None, stride, none, [1] * dims, True, none, channels)
        for index in range(dims):  # windows at the end may leave some out, or reach beyond what is there
            dim, wanted = index + 2, padding[index] + sizes[index]
            missing = wanted - full.shape[dim]
            if missing > 0:
                full = torch.constant_pad_nd(full, [0, 0] * (dims - 1 - index) + [0, missing])
            full = full.narrow(dim, padding[index], sizes[index])
        return full.reshape(x.shape)

    return backward


def _avg_pool3d(
    x: torch.Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    with_padding: bool = True,
    divisor: int | None = None,
) -> torch.Tensor:
    sizes, kernel, padding = _fixed(x, 3), _each(kernel, 3), _each(padding, 3)
    stride = _each(stride, 3) if stride else kernel
    out = [_windows(*facts, 1, ceil_mode) for facts in zip(sizes, kernel, stride, padding, strict=True)]
    total = x
    for index in range(3):
        line = _Line(out[index], kernel[index], stride[index], padding[index])
        parts = _shifts(total, x.dim() - 3 + index, line, 0.0)
        total = parts[0]
        for part in parts[1:]:
            total = total + part
    by = _divisors(out, sizes, kernel, stride, padding, with_padding, divisor)
    return total / (by.to(x.dtype) if isinstance(by, torch.Tensor) else by)


def _windows(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows there are along a dimension, as torch counts them."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= size + padding else count


class _Line(NamedTuple):
    """The windows along one dimension."""

    out: int
    kernel: int
    stride: int
    padding: int
    dilation: int = 1


def _shifts(x: torch.Tensor, dim: int, line: _Line, filler: float) -> list[torch.Tensor]:
    """The first values of all windows along ``dim``, the second ones, …; ``filler`` stands around them."""
    span = (line.out - 1) * line.stride + 1
    reach = span + line.dilation * (line.kernel - 1)
    after = max(reach - x.shape[dim] - line.padding, 0)
    if line.padding or after:
        x = torch.constant_pad_nd(x, [0, 0] * (x.dim() - 1 - dim) + [line.padding, after], filler)
    starts = [j * line.dilation for j in range(line.kernel)]
    return [aten.slice.Tensor(x, dim, start, start + span, line.stride) for start in starts]


def _shares(size: int, out: int) -> torch.Tensor:
    """Row i has the weights of the i-th adaptive window's mean: (out, size)."""
    rows = []
    for index in range(out):
        start, end = index * size // out, -(-(index + 1) * size // out)
        rows.append([1.0 / (end - start) if start <= place < end else 0.0 for place in range(size)])
    return torch.tensor(rows)


def _adaptive_avg_pool3d(x: torch.Tensor, out: Sequence[Any]) -> torch.Tensor:
    for index, (size, wanted) in enumerate(zip(_fixed(x, 3), out, strict=True)):
        x = _along(x, x.dim() - 3 + index, _shares(size, wanted).to(x.dtype).t())
    return x


def _adaptive_avg_pool_backward(dims: int) -> Callable[..., torch.Tensor]:
    def backward(grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        for index, (size, out) in enumerate(zip(_fixed(x, dims), _fixed(grad, dims), strict=True)):
            grad = _along(grad, grad.dim() - dims + index, _shares(size, out).to(grad.dtype))
        return grad

    return backward


def _along(x: torch.Tensor, dim: int, matrix: torch.Tensor) -> torch.Tensor:
    """The product of each row of ``x`` along ``dim`` with ``matrix``."""
    moved = x.movedim(dim, -1)
    product = torch.mm(moved.reshape(-1, moved.shape[-1]), matrix)
    return product.reshape([*moved.shape[:-1], matrix.shape[1]]).movedim(-1, dim)


# --- maxima -------------------------------------------------------------------------------------------------


def _best(parts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest of each place, and whatever came with it: of equal ones the first, and what is not a number
    before all, as torch's kernels have it."""
    best, place = parts[0]
    for value, at in parts[1:]:
        better = (value > best) | torch.isnan(value)
        best, place = torch.where(better, value, best), torch.where(better, at, place)
    return best, place


def _places(x: torch.Tensor, dims: int) -> torch.Tensor:
    """The place of each value in its flat picture, int64."""
    sizes = _fixed(x, dims)
    return torch.arange(math.prod(sizes)).reshape(sizes).expand(x.shape)


def _max_pool3d(
    x: torch.Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One dimension after the other: a window's maximum is that of its lines' maxima."""
    sizes, kernel, padding, dilation = _fixed(x, 3), _each(kernel, 3), _each(padding, 3), _each(dilation, 3)
    stride = _each(stride, 3) if stride else kernel
    place, least = _places(x, 3), -torch.inf
    for index in (2, 1, 0):
        facts = kernel[index], stride[index], padding[index], dilation[index]
        line = _Line(_windows(sizes[index], *facts, ceil_mode), *facts)
        values = _shifts(x, x.dim() - 3 + index, line, least)
        places = _shifts(place, x.dim() - 3 + index, line, 0)
        x, place = _best(list(zip(values, places, strict=True)))
    return x, place


def _adaptive_max_pool(dims: int) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    def pool(x: torch.Tensor, out: Any) -> tuple[torch.Tensor, torch.Tensor]:
        sizes, wanted, place = _fixed(x, dims), _each(out, dims), _places(x, dims)
        for index in reversed(range(dims)):
            dim, size, count = x.dim() - dims + index, sizes[index], wanted[index]
            starts = [i * size // count for i in range(count)]
            ends = [-(-(i + 1) * size // count) for i in range(count)]
            longest = max(end - start for start, end in zip(starts, ends, strict=True))
            parts = []
            for j in range(longest):
                at = torch.tensor([min(start + j, end - 1) for start, end in zip(starts, ends, strict=True)])
                parts.append((torch.index_select(x, dim, at), torch.index_select(place, dim, at)))
            x, place = _best(parts)
        return x, place

    return pool


def _scattered(dims: int) -> Callable[..., torch.Tensor]:
    def backward(grad: torch.Tensor, x: torch.Tensor, *arguments: Any) -> torch.Tensor:
        """ATen's kernels trust their indices (out-of-bounds writes); scatter_add checks them."""
        indices = arguments[-1]
        lead = list(x.shape[:-dims])
        zeros = torch.zeros([*lead, math.prod(x.shape[-dims:])], dtype=grad.dtype)
        flat = zeros.scatter_add(len(lead), indices.reshape(*lead, -1), grad.reshape(*lead, -1))
        return flat.reshape(x.shape)

    return backward


POOLS: dict[Any, Callable[..., Any]] = {
    aten.avg_pool2d_backward.default: _avg_pool_backward(2),
    aten.avg_pool3d_backward.default: _avg_pool_backward(3),
    aten.avg_pool3d.default: _avg_pool3d,
    aten._adaptive_avg_pool3d.default: _adaptive_avg_pool3d,
    aten._adaptive_avg_pool2d_backward.default: _adaptive_avg_pool_backward(2),
    aten._adaptive_avg_pool3d_backward.default: _adaptive_avg_pool_backward(3),
    aten.max_pool3d_with_indices.default: _max_pool3d,
    aten.adaptive_max_pool2d.default: _adaptive_max_pool(2),
    aten.adaptive_max_pool3d.default: _adaptive_max_pool(3),
    aten.max_pool2d_with_indices_backward.default: _scattered(2),
    aten.max_pool3d_with_indices_backward.default: _scattered(3),
    aten.adaptive_max_pool2d_backward.default: _scattered(2),
    aten.adaptive_max_pool3d_backward.default: _scattered(3),
}
