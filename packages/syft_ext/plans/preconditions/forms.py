"""Preconditions that shapes, dtypes and literals decide.

The meta implementation of these operations accepts more than the CPU kernel survives (found by fuzzing:
divisions by zero on empty tensors, reads past the end, results of another shape than announced). Each
function has the operation's arguments in the order of its schema, tensors as fakes, and raises
:class:`InvalidPlan`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from syft_ext.plans.preconditions.declaration import require
from syft_ext.plans.preconditions.sizes import broadcast

__all__ = ["FARTHEST", "MAX_RANK", "indexed_shape"]

Tensor = torch.Tensor

FARTHEST = 1 << 48
"""Steps, offsets and paddings of this size and above overflow in the arithmetic of kernels."""
MAX_RANK = 16
_WINDOW = 1 << 31  # kernels of pools and convolutions keep sizes in 32 bits
_INDEX_TYPES = (torch.int64, torch.int32)


# -- for several operations ----------------------------------------------------------------------------


def same_shapes(*tensors: Tensor) -> None:
    require(all(t.shape == tensors[0].shape for t in tensors[1:]), "the operands must have equal shapes")


def same_dtypes(*tensors: Tensor | None) -> None:
    found = {t.dtype for t in tensors if t is not None}
    require(len(found) <= 1, "the operands must have one dtype")


def _floating(x: Tensor) -> None:
    require(x.dtype.is_floating_point, "a floating-point operand is needed")


def _not_empty(*tensors: Tensor) -> None:
    require(all(t.numel() > 0 for t in tensors), "an empty operand")


def _own_memory(*tensors: Tensor | None) -> None:
    """Kernels read these one element behind the other; an expanded tensor ends before that."""
    for tensor in tensors:
        require(
            tensor is None or all(s or n <= 1 for n, s in zip(tensor.shape, tensor.stride(), strict=True)),
            "an expanded weight, bias or statistic: use its clone()",
        )


def _axis(dim: int, rank: int) -> int:
    """``dim`` counted from the front; a tensor without dimensions counts as one with one."""
    rank = max(rank, 1)
    require(-rank <= dim < rank, "there is no such dimension")
    return dim % rank


def _index_type(index: Tensor, types: Sequence[torch.dtype] = _INDEX_TYPES) -> None:
    require(index.dtype in types, "an index is a tensor of i64 or i32")


def _scalars(values: Sequence[Any], count: int, low: int, what: str, default: int | None = None) -> list[int]:
    """A list of ``count`` sizes, of which one may stand for all."""
    found = list(values) * (count if len(values) == 1 else 1)
    if not found and default is not None:
        return [default] * count
    require(
        len(found) == count and all(type(v) is int and low <= v < _WINDOW for v in found), f"malformed {what}"
    )
    return found


# -- elementwise ---------------------------------------------------------------------------------------


def pointwise_backward(grad: Tensor, other: Tensor, *_: Any) -> None:
    same_shapes(grad, other)
    same_dtypes(grad, other)
    _floating(grad)


def threshold_backward(grad: Tensor, x: Tensor, _: Any) -> None:
    same_shapes(grad, x)
    same_dtypes(grad, x)


def power_scalar(x: Tensor, exponent: Any) -> None:
    require(x.dtype != torch.bool or type(exponent) is not bool, "there is no power of truth values")


def divisor_scalar(x: Tensor, other: Any) -> None:
    whole = not x.dtype.is_floating_point and not isinstance(other, float)
    require(not whole or other != 0, "a division by zero")


def divisor_mode(x: Tensor, other: Any, rounding_mode: str | None) -> None:
    if rounding_mode is not None and not isinstance(other, Tensor):
        divisor_scalar(x, other)


def divisor(x: Tensor, other: Any) -> None:
    if not isinstance(other, Tensor):
        divisor_scalar(x, other)


# -- norms and softmax ---------------------------------------------------------------------------------


def softmax(x: Tensor, dim: int, half_to_float: bool) -> None:
    _floating(x)
    _axis(dim, x.dim())
    require(not half_to_float, "the kernel that widens halves is not on this machine")


def softmax_backward(grad: Tensor, output: Tensor, dim: int, dtype: torch.dtype) -> None:
    same_shapes(grad, output)
    _not_empty(grad)
    same_dtypes(grad, output)
    require(dtype == output.dtype, "the operands must have one dtype")
    _floating(grad)
    _axis(dim, grad.dim())


def layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> None:
    _floating(x)
    _not_empty(x)
    same_dtypes(x, weight, bias)
    require(
        shape and len(shape) <= x.dim() and list(x.shape[x.dim() - len(shape) :]) == list(shape),
        "the normalized shape is not that of the last dimensions",
    )
    for tensor in (weight, bias):
        require(tensor is None or list(tensor.shape) == list(shape), "the weight or bias has another shape")


def group_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, n: int, c: int, hw: int, groups: int, eps: float
) -> None:
    _floating(x)
    _own_memory(weight, bias)
    same_dtypes(x, weight, bias)
    require(
        x.dim() >= 2 and (n, c) == tuple(x.shape[:2]) and n * c * hw == x.numel() and x.numel() > 0,
        "the sizes do not match the tensor",
    )
    require(
        groups >= 1 and c % groups == 0 and all(t is None or t.shape == (c,) for t in (weight, bias)),
        "the groups, weight or bias do not match the channels",
    )


def batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, training: bool, momentum: float, eps: float
) -> None:
    _floating(x)
    require(x.dim() >= 2, "there is no dimension of channels")
    _own_memory(weight, bias)
    _not_empty(x)
    same_dtypes(x, weight, bias)
    require(training, "statistics are missing")
    for tensor in (weight, bias):
        require(
            tensor is None or tensor.shape == (x.shape[1],), "the weight or bias does not match the channels"
        )


def masked_out(*arguments: Any) -> list[int]:
    """Places of the results that the mask, the last argument, does not ask for."""
    return [place for place, wanted in enumerate(arguments[-1]) if not wanted]


def batch_norm_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    save_mean: Tensor | None,
    save_invstd: Tensor | None,
    train: bool,
    eps: float,
    output_mask: Sequence[bool],
) -> None:
    _floating(x)
    same_shapes(grad, x)
    statistics = (running_mean, running_var, save_mean, save_invstd)
    needed = statistics[2:] if train else statistics[:2]
    _own_memory(weight, *statistics)
    require(x.dim() >= 2 and all(t is not None for t in needed), "statistics are missing")
    _not_empty(x)
    same_dtypes(grad, x, weight, *statistics)
    for tensor in (weight, *needed):  # the kernel does not look at the other pair
        require(tensor is None or tensor.shape == (x.shape[1],), "the statistics do not match the channels")
    require(len(output_mask) == 3, "the output mask has three entries")


# -- convolutions and pools ----------------------------------------------------------------------------


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> None:
    spatial = x.dim() - 2
    require(1 <= spatial <= 3 and weight.dim() == x.dim(), "a batch of 1 to 3 spatial dimensions is needed")
    _floating(x)
    same_dtypes(x, weight, bias)
    _not_empty(x, weight)
    strides = _scalars(stride, spatial, 1, "stride")
    _scalars(padding, spatial, 0, "padding")
    dilations = _scalars(dilation, spatial, 1, "dilation")
    extra = _scalars(output_padding, spatial, 0, "output padding", 0)
    require(1 <= groups < _WINDOW, "malformed groups")
    if transposed:
        inputs, outputs = weight.shape[0], weight.shape[1] * groups
        require(
            all(e < max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)),
            "the output padding must be smaller than the stride or the dilation",
        )
    else:
        inputs, outputs = weight.shape[1] * groups, weight.shape[0]
        require(not any(extra), "an output padding belongs to a transposed convolution")
    require(
        x.shape[1] == inputs and inputs % groups == 0 and outputs % groups == 0,
        "the channels do not match the groups",
    )
    require(bias is None or bias.shape == (outputs,), "the bias does not match the channels")


def convolution_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias_sizes: Sequence[int] | None, *rest: Any
) -> None:
    *geometry, output_mask = rest
    convolution(x, weight, None, *geometry)
    same_dtypes(grad, x)
    same_shapes(grad, torch.ops.aten.convolution.default(x, weight, None, *geometry))
    _not_empty(grad)
    require(
        len(output_mask) == 3 and (not output_mask[2] or list(bias_sizes or ()) == [grad.shape[1]]),
        "the output mask or the bias sizes do not match",
    )


def _pool(x: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> None:
    require(x.dim() in (3, 4), "an image or a batch of images is needed")
    _not_empty(x)
    sizes = _scalars(kernel, 2, 1, "kernel size")
    _scalars(stride, 2, 1, "stride", 1)
    paddings = _scalars(padding, 2, 0, "padding")
    require(
        all(2 * p <= k for p, k in zip(paddings, sizes, strict=True)), "a padding is half the kernel at most"
    )


def avg_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> None:
    _pool(x, kernel, stride, padding)
    require(x.dtype.is_floating_point or x.dtype == torch.int64, "an operand of i64 or floating point")
    require(divisor_override is None or 1 <= divisor_override < FARTHEST, "a divisor is a number of elements")


def max_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
) -> None:
    _pool(x, kernel, stride, padding)
    _scalars(dilation, 2, 1, "dilation")


def adaptive_avg_pool(x: Tensor, output_size: Sequence[int]) -> None:
    _floating(x)
    require(x.dim() in (3, 4), "an image or a batch of images is needed")
    _not_empty(x)
    _scalars(output_size, 2, 1, "output size")


# -- losses and look-ups -------------------------------------------------------------------------------


def nll_loss(x: Tensor, target: Tensor, weight: Tensor | None, reduction: int, ignore_index: int) -> None:
    _floating(x)
    same_dtypes(x, weight)
    require(x.dim() in (1, 2) and x.numel() > 0, "scores of classes, of one row or several, are needed")
    require(tuple(target.shape) == tuple(x.shape[:-1]), "each row needs one target")
    require(target.dtype == torch.int64, "targets are numbers of classes, of i64")
    require(weight is None or weight.shape == (x.shape[-1],), "the weight does not match the classes")
    require(reduction in (0, 1, 2), "malformed reduction")


def nll_loss_backward(
    grad: Tensor,
    x: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: int,
    ignore_index: int,
    total_weight: Tensor,
) -> None:
    nll_loss(x, target, weight, reduction, ignore_index)
    same_dtypes(grad, x, total_weight)
    rows = tuple(x.shape[:-1]) if reduction == 0 else ()
    require(tuple(grad.shape) == rows, "the gradient is not one of this loss")
    require(total_weight.shape == (), "the total weight is one number")


def embedding(weight: Tensor, indices: Tensor, *_: Any) -> None:
    require(weight.dim() == 2, "the weight is a table of rows")
    _index_type(indices)


def _along(x: Tensor, dim: int, index: Tensor) -> int:
    """An index as :func:`torch.gather` has it: of the rank of ``x``, and no larger in any other dimension."""
    axis = _axis(dim, x.dim())
    _index_type(index, (torch.int64,))
    require(max(index.dim(), 1) == max(x.dim(), 1), "the index has another rank than the operand")
    for place, (size, limit) in enumerate(zip(index.shape, x.shape, strict=False)):
        require(place == axis or size <= limit or index.numel() == 0, "the index is larger than the operand")
    return axis


def gather(x: Tensor, dim: int, index: Tensor, *_: Any) -> None:
    _along(x, dim, index)


def scatter_value(x: Tensor, dim: int, index: Tensor, *_: Any) -> None:
    _along(x, dim, index)


def scatter(x: Tensor, dim: int, index: Tensor, src: Any) -> None:
    _along(x, dim, index)
    require(isinstance(src, Tensor), "a tensor to write is needed")
    same_dtypes(x, src)
    require(max(src.dim(), 1) == max(index.dim(), 1), "the source has another rank than the index")
    require(
        index.numel() == 0 or all(i <= s for i, s in zip(index.shape, src.shape, strict=False)),
        "the index is larger than the source",
    )


def scatter_reduce(x: Tensor, dim: int, index: Tensor, src: Any, reduce: str, *_: Any) -> None:
    scatter(x, dim, index, src)
    require(x.dtype != torch.bool, "truth values have no sum or mean")


def index_select(x: Tensor, dim: int, index: Tensor) -> None:
    _axis(dim, x.dim())
    _index_type(index)
    require(index.dim() <= 1, "the index is a list of places")


def index_add(x: Tensor, dim: int, index: Tensor, source: Any, *_: Any) -> None:
    index_select(x, dim, index)
    require(isinstance(source, Tensor), "a tensor to add is needed")
    same_dtypes(x, source)
    require(x.dim() >= 1, "there is no dimension")
    expected = list(x.shape)
    expected[_axis(dim, x.dim())] = index.numel()
    require(list(source.shape) == expected, "the source does not match the operand and the index")


def indexed_shape(x: Tensor, indices: Sequence[Tensor | None]) -> tuple[int, ...]:
    """The shape of ``x[indices]``, as NumPy's advanced indexing has it: where the indexed dimensions are
    neighbours they are replaced in place, else what replaces them comes first."""
    present = [index for index in indices if index is not None]
    require(present and len(indices) <= x.dim(), "an index for each of the first dimensions is needed")
    for index in present:
        _index_type(index)
    ranks = [index.dim() for index in present]
    require(
        all(ranks) or not any(ranks),
        "an index without dimensions beside one that has some: give it one, index.reshape(1)",
    )
    replaced = broadcast(*(index.shape for index in present))
    places = [place for place, index in enumerate(indices) if index is not None]
    kept = [size for place, size in enumerate(x.shape) if place >= len(indices) or indices[place] is None]
    front = places[0] if places[-1] - places[0] == len(places) - 1 else 0
    return (*kept[:front], *replaced, *kept[front:])


def index_put(x: Tensor, indices: Sequence[Tensor | None], values: Any, accumulate: bool) -> None:
    shape = indexed_shape(x, indices)
    require(isinstance(values, Tensor), "a tensor to write is needed")
    same_dtypes(x, values)
    require(broadcast(values.shape, shape) == shape, "the values do not match what the indices select")


def bucketize(x: Any, boundaries: Tensor, out_int32: bool, right: bool) -> None:
    require(isinstance(x, Tensor) and boundaries.dim() == 1, "the boundaries are a list of numbers")
    same_dtypes(x, boundaries)
    require(not out_int32 or boundaries.numel() < _WINDOW, "more boundaries than i32 can count")


def topk(x: Tensor, k: int, dim: int, *_: Any) -> None:
    axis = _axis(dim, x.dim())
    require(0 <= k <= (x.shape[axis] if x.dim() else 1), "there are not so many elements")


# -- sizes and steps -----------------------------------------------------------------------------------


def slice_(x: Tensor, dim: int, start: int | None, end: int | None, step: int) -> None:
    require(x.dim() >= 1, "there is no dimension")
    _axis(dim, x.dim())
    require(1 <= step < FARTHEST, "malformed step of a slice")


def slice_scatter(x: Tensor, src: Any, dim: int, start: int | None, end: int | None, step: int) -> None:
    slice_(x, dim, start, end, step)
    require(isinstance(src, Tensor), "a tensor to write is needed")
    same_dtypes(x, src)
    same_shapes(src, torch.ops.aten.slice.Tensor(x, dim, start, end, step))


def select_scatter(x: Tensor, src: Any, dim: int, index: int) -> None:
    require(isinstance(src, Tensor), "a tensor to write is needed")
    same_dtypes(x, src)
    same_shapes(src, torch.ops.aten.select.int(x, dim, index))


def _of_sizes(grad: Tensor, sizes: Sequence[int]) -> Tensor:
    require(len(sizes) <= MAX_RANK and all(0 <= size < FARTHEST for size in sizes), "malformed sizes")
    require(math.prod(sizes) < FARTHEST, "malformed sizes")
    return grad.new_empty(list(sizes))


def slice_backward(grad: Tensor, sizes: Sequence[int], dim: int, start: int, end: int, step: int) -> None:
    whole = _of_sizes(grad, sizes)
    slice_(whole, dim, start, end, step)
    same_shapes(grad, torch.ops.aten.slice.Tensor(whole, dim, start, end, step))


def select_backward(grad: Tensor, sizes: Sequence[int], dim: int, index: int) -> None:
    same_shapes(grad, torch.ops.aten.select.int(_of_sizes(grad, sizes), dim, index))


def near_diagonal(x: Tensor, diagonal: int, *_: Any) -> None:
    require(abs(diagonal) < FARTHEST, "malformed diagonal")


def pad(x: Tensor, amounts: Sequence[int], *_: Any) -> None:
    require(len(amounts) % 2 == 0 and len(amounts) <= 2 * x.dim(), "a pair of paddings for each dimension")
    require(all(abs(amount) < FARTHEST for amount in amounts), "malformed padding")
    for place in range(len(amounts) // 2):
        before, after = amounts[2 * place : 2 * place + 2]
        size = x.shape[x.dim() - 1 - place]
        require(
            before + after + size >= 0 and before >= -size and after >= -size,
            "a padding takes more than there is",
        )


def repeat(x: Tensor, repeats: Sequence[int]) -> None:
    require(len(repeats) <= MAX_RANK and all(0 <= r < FARTHEST for r in repeats), "malformed repeats")


def arange(start: Any, end: Any, step: Any, dtype: torch.dtype | None, *_: Any) -> None:
    numbers = (start, end, step)
    require(all(math.isfinite(n) and abs(n) < 1 << 53 for n in numbers), "malformed range")
    require(step != 0 and (end - start) * step >= 0, "the step leads away from the end")
    whole = dtype is not None and not dtype.is_floating_point
    require(not whole or all(isinstance(n, int) for n in numbers), "a range of integers has integer bounds")
    require(dtype != torch.bool, "there is no range of bools")


def arange_end(end: Any, dtype: torch.dtype | None, *_: Any) -> None:
    arange(0, end, 1, dtype)
