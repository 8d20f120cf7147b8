"""Convolutions and pools on shares: windows are places, what is left is a matrix product or a tree of maxima."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from syft_ext.errors import Unsupported
from syft_ext.mpc import functions
from syft_ext.mpc.engine import ShareEngine, Steps
from syft_ext.mpc.placing import Value, as_share
from syft_ext.mpc.shares import ShareTensor

__all__ = ["average_pool", "convolution", "convolution_backward", "greatest_pool"]


def _windows(
    part: torch.Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> torch.Tensor:
    """(N, C, H, W) → (N, C, kernel, places): a view's elements, as of ``torch.nn.functional.unfold``."""
    part = torch.constant_pad_nd(part, [padding[1], padding[1], padding[0], padding[0]], 0)
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    view = part.unfold(2, spans[0], stride[0]).unfold(3, spans[1], stride[1])
    view = view[..., :: dilation[0], :: dilation[1]]  # (N, C, H', W', kh, kw)
    n, c, high, wide = view.shape[:4]
    return view.permute(0, 1, 4, 5, 2, 3).reshape(n, c, math.prod(kernel), high * wide)


def _two(sizes: Sequence[int]) -> list[int]:
    return [sizes[0], sizes[0]] if len(sizes) == 1 else list(sizes)


def _plain(transposed: bool, groups: int, shape: Sequence[int]) -> None:
    if transposed or groups != 1 or len(shape) != 4:
        raise Unsupported("on shares, convolutions are of two dimensions, in one group and not transposed")


def _product(engine: ShareEngine, left: Value, right: Value) -> Steps[ShareTensor]:
    if not isinstance(left, ShareTensor):
        return (yield from engine.multiply_public(right, left, "matmul", first=True))
    if not isinstance(right, ShareTensor):
        return (yield from engine.multiply_public(left, right, "matmul"))
    return (yield from engine.multiply(left, right, "matmul"))


def _mapped(value: Value, change: Any) -> Value:
    return value.each(change) if isinstance(value, ShareTensor) else change(value)


def convolution(
    engine: ShareEngine,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Steps[ShareTensor]:
    """(N, C, H, W) with (O, C, kh, kw): one matrix product, (O, C·kh·kw) by (C·kh·kw, N·places)."""
    _plain(transposed, groups, x.shape)
    stride, padding, dilation = _two(stride), _two(padding), _two(dilation)
    kernel = list(weight.shape[2:])
    out = weight.shape[0]
    n = x.shape[0]
    high, wide = (
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, p, d, k, s in zip(x.shape[2:], padding, dilation, kernel, stride, strict=True)
    )
    columns = _mapped(x, lambda part: _columns(_windows(part, kernel, stride, padding, dilation)))
    flat = _mapped(weight, lambda part: part.reshape(out, -1))
    found = yield from _product(engine, flat, columns)
    found = found.each(lambda part: part.reshape(out, n, high, wide).transpose(0, 1))
    if bias is None:
        return found
    return engine.add(found, as_share(engine, bias).each(lambda part: part.reshape(1, -1, 1, 1)))


def _columns(windows: torch.Tensor) -> torch.Tensor:
    """(N, C, kernel, places) → (C·kernel, N·places)."""
    n, c, k, places = windows.shape
    return windows.permute(1, 2, 0, 3).reshape(c * k, n * places)


def convolution_backward(
    engine: ShareEngine,
    grad: Value,
    x: Value,
    weight: Value,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    wanted: Sequence[bool],
) -> Steps[list[ShareTensor | None]]:
    """Gradients of the input, the weight and the bias, as far as they are wanted."""
    _plain(transposed, groups, x.shape)
    grad = as_share(engine, grad)
    stride, padding, dilation = _two(stride), _two(padding), _two(dilation)
    kernel, out = list(weight.shape[2:]), weight.shape[0]
    flat = grad.each(lambda part: part.transpose(0, 1).reshape(out, -1))  # (O, N·places)
    of_input = of_weight = of_bias = None
    if wanted[0]:
        turned = _mapped(weight, lambda part: part.reshape(out, -1).t())
        columns = yield from _product(engine, turned, flat)
        shape = tuple(x.shape)
        often = math.prod(kernel)
        columns = engine.within(columns, ((1 << 62) - 1) // often)
        of_input = columns.each(
            lambda part: _folded(part, shape, kernel, stride, padding, dilation), columns.bound * often
        )
    if wanted[1]:
        columns = _mapped(x, lambda part: _columns(_windows(part, kernel, stride, padding, dilation)).t())
        found = yield from _product(engine, flat, columns)
        of_weight = found.each(lambda part: part.reshape(tuple(weight.shape)))
    if wanted[2]:
        of_bias = engine.total(grad, [0, 2, 3])
    return [of_input, of_weight, of_bias]


def _folded(
    columns: torch.Tensor,
    shape: tuple[int, ...],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> torch.Tensor:
    """The sum of (C·kernel, N·places) at the places that the windows were taken from."""
    n, c, high, wide = shape
    size = (high + 2 * padding[0]) * (wide + 2 * padding[1])
    plane = torch.arange(size).reshape(1, 1, high + 2 * padding[0], wide + 2 * padding[1])
    places = _windows(plane, kernel, stride, [0, 0], dilation).reshape(-1).to(columns.device)
    each = columns.reshape(c, math.prod(kernel), n, -1).permute(2, 0, 1, 3).reshape(n * c, -1)
    total = torch.zeros((n * c, size), dtype=columns.dtype, device=columns.device)
    total = total.index_add(1, places, each)
    total = total.reshape(n, c, high + 2 * padding[0], wide + 2 * padding[1])
    return total[:, :, padding[0] : padding[0] + high, padding[1] : padding[1] + wide]


def average_pool(
    engine: ShareEngine,
    x: ShareTensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Steps[ShareTensor]:
    """The mean of each window."""
    kernel, padding = _two(kernel), _two(padding)
    stride = _two(stride) if stride else kernel
    if ceil_mode or (any(padding) and not count_include_pad):
        raise Unsupported("on shares, all windows of an average have the same size")
    return (yield from _pooled(engine, x, kernel, stride, padding, 1 / (divisor or math.prod(kernel))))


def _pooled(
    engine: ShareEngine,
    x: ShareTensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    factor: float,
) -> Steps[ShareTensor]:
    windows = x.each(lambda part: _windows(part, kernel, stride, padding, [1, 1]))
    total = engine.total(windows, [2])
    found = yield from engine.multiply_public(total, factor)
    high, wide = (
        (s + 2 * p - k) // t + 1 for s, p, k, t in zip(x.shape[2:], padding, kernel, stride, strict=True)
    )
    return found.each(lambda part: part.reshape(x.shape[0], x.shape[1], high, wide))


def greatest_pool(
    engine: ShareEngine,
    x: ShareTensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> Steps[list[ShareTensor | None]]:
    """The largest of each window. Its place, which the second result would be, stays unknown."""
    kernel, padding, dilation = _two(kernel), _two(padding), _two(dilation)
    stride = _two(stride) if stride else kernel
    if ceil_mode or any(padding):
        raise Unsupported("on shares, windows of a maximum are not padded")
    windows = x.each(lambda part: _windows(part, kernel, stride, padding, dilation))
    found = yield from functions.greatest(engine, windows, 2)
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    high, wide = ((s - k) // t + 1 for s, k, t in zip(x.shape[2:], spans, stride, strict=True))
    return [replace(found.each(lambda part: part.reshape(x.shape[0], x.shape[1], high, wide))), None]
