"""Other shapes of the same elements, parts of them, and tensors made of nothing but sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from syft_ext.errors import InvalidPlan
from syft_ext.plans.onnx.builder import Builder
from syft_ext.plans.onnx.reductions import axis_of
from syft_ext.plans.onnx.table import Translator, enter_all, translates
from syft_ext.plans.onnx.types import FLOATS, Number, Value, common, default_of

__all__: list[str] = []


@translates("reshape.default")
def _reshape(b: Builder, x: Value, shape: Sequence[int]) -> Value:
    known = math.prod(size for size in shape if size != -1)
    if list(shape).count(-1) > 1 or any(size < -1 for size in shape):
        raise InvalidPlan("malformed shape")
    if -1 in shape:
        if known == 0 or x.size % known:
            raise InvalidPlan(f"{x.size} elements do not fit the shape {list(shape)}")
        shape = [x.size // known if size == -1 else size for size in shape]
    if math.prod(shape) != x.size:
        raise InvalidPlan(f"{x.size} elements do not fit the shape {list(shape)}")
    return b.reshape(x, shape)


@translates("permute.default")
def _permute(b: Builder, x: Value, dims: Sequence[int]) -> Value:
    order = [axis_of(x, dim) for dim in dims]
    if sorted(order) != list(range(x.rank)):
        raise InvalidPlan("an order names each dimension once")
    return b.permute(x, order)


@translates("transpose.int")
def _transpose(b: Builder, x: Value, dim0: int, dim1: int) -> Value:
    one, other = axis_of(x, dim0), axis_of(x, dim1)
    order = list(range(x.rank))
    if order:
        order[one], order[other] = order[other], order[one]
    return b.permute(x, order)


@translates("t.default")
def _t(b: Builder, x: Value) -> Value:
    if x.rank > 2:
        raise InvalidPlan("a matrix is needed")
    return b.permute(x, list(range(x.rank))[::-1])


@translates("unsqueeze.default")
def _unsqueeze(b: Builder, x: Value, dim: int) -> Value:
    if not -x.rank - 1 <= dim <= x.rank:
        raise InvalidPlan("there is no such dimension")
    return b.unsqueeze(x, dim % (x.rank + 1))


@translates("squeeze.dim", "squeeze.dims")
def _squeeze(b: Builder, x: Value, dim: int | Sequence[int]) -> Value:
    axes = {axis_of(x, each) for each in ([dim] if isinstance(dim, int) else dim)}
    return b.reshape(x, [size for place, size in enumerate(x.shape) if place not in axes or size != 1])


@translates("expand.default")
def _expand(b: Builder, x: Value, size: Sequence[int], implicit: bool = False) -> Value:
    shape = list(size)
    lead = len(shape) - x.rank
    for place, own in enumerate(x.shape, lead):
        if place < 0 or (shape[place] not in (-1, own) and own != 1):
            raise InvalidPlan("the shape is not one that the tensor expands to")
        shape[place] = own if shape[place] == -1 else shape[place]
    return b.expand(x, shape)


def bounds_of(size: int, start: int | None, end: int | None) -> tuple[int, int]:
    """The bounds of a slice in places from the front, as Python has them."""
    low, high = (0 if start is None else start), (size if end is None else end)
    low, high = (each + size if each < 0 else each for each in (low, high))
    low = min(max(low, 0), size)
    return low, min(max(high, low), size)


@translates("slice.Tensor")
def _slice(
    b: Builder, x: Value, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Value:
    axis = axis_of(x, dim)
    return b.slice(x, axis, *bounds_of(x.shape[axis], start, end), step)


def _place(x: Value, dim: int, index: int) -> tuple[int, int]:
    if not x.rank:
        raise InvalidPlan("there is no dimension")
    axis = axis_of(x, dim)
    if not -x.shape[axis] <= index < x.shape[axis]:
        raise InvalidPlan("there is no such place")
    return axis, index % x.shape[axis]


@translates("select.int")
def _select(b: Builder, x: Value, dim: int, index: int) -> Value:
    axis, place = _place(x, dim, index)
    return b.reshape(b.slice(x, axis, place, place + 1), (*x.shape[:axis], *x.shape[axis + 1 :]))


def overwritten(b: Builder, x: Value, src: Value, axis: int, start: int, stop: int, step: int) -> Value:
    """``x`` with ``src`` at the places start, start + step, … before stop."""
    if src.size == 0:
        return x
    if step == 1:
        parts = [b.slice(x, axis, 0, start), src, b.slice(x, axis, stop, x.shape[axis])]
        return b.concat([part for part in parts if part.shape[axis]], axis)
    places = b.const(np.arange(start, stop, step, dtype=np.int64))
    lined = b.reshape(places, [places.size if place == axis else 1 for place in range(x.rank)])
    return b.put(x, axis, b.expand(lined, src.shape), src)


@translates("slice_scatter.default")
def _slice_scatter(
    b: Builder,
    x: Value,
    src: Value,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Value:
    axis = axis_of(x, dim)
    return overwritten(b, x, src, axis, *bounds_of(x.shape[axis], start, end), step)


@translates("select_scatter.default")
def _select_scatter(b: Builder, x: Value, src: Value, dim: int, index: int) -> Value:
    axis, place = _place(x, dim, index)
    return overwritten(b, x, b.unsqueeze(src, axis), axis, place, place + 1, 1)


@translates("slice_backward.default")
def _slice_backward(
    b: Builder, grad_output: Value, input_sizes: Sequence[int], dim: int, start: int, end: int, step: int
) -> Value:
    zeros = b.full(input_sizes, 0, grad_output.dtype)
    return _slice_scatter(b, zeros, grad_output, dim, start, end, step)


@translates("select_backward.default")
def _select_backward(
    b: Builder, grad_output: Value, input_sizes: Sequence[int], dim: int, index: int
) -> Value:
    return _select_scatter(b, b.full(input_sizes, 0, grad_output.dtype), grad_output, dim, index)


@translates("cat.default")
def _cat(b: Builder, tensors: Sequence[Value], dim: int = 0) -> Value:
    dtype = common(*tensors)
    parts = [
        b.cast(each, dtype) for each in tensors if each.shape != (0,)
    ]  # torch leaves those out, of any rank
    if not parts:
        return b.cast(tensors[0], dtype)
    axis = axis_of(parts[0], dim)
    rest = {(*part.shape[:axis], *part.shape[axis + 1 :]) for part in parts}
    if len(rest) > 1 or len({part.rank for part in parts}) > 1:
        raise InvalidPlan("the tensors do not fit each other")
    return b.concat(parts, axis)


@translates("stack.default")
def _stack(b: Builder, tensors: Sequence[Value], dim: int = 0) -> Value:
    if len({each.shape for each in tensors}) > 1:
        raise InvalidPlan("the tensors do not fit each other")
    dtype, axis = common(*tensors), dim % (tensors[0].rank + 1)
    return b.concat([b.unsqueeze(b.cast(each, dtype), axis) for each in tensors], axis)


@translates("flip.default")
def _flip(b: Builder, x: Value, dims: Sequence[int]) -> Value:
    return b.flip(x, sorted({axis_of(x, dim) for dim in dims}) if x.rank else [])


@translates("repeat.default")
def _repeat(b: Builder, x: Value, repeats: Sequence[int]) -> Value:
    lead = len(repeats) - x.rank
    if lead < 0:
        raise InvalidPlan("a number for each dimension is needed")
    x = b.reshape(x, [1] * lead + list(x.shape))
    shape = [size * times for size, times in zip(x.shape, repeats, strict=True)]
    if list(x.shape) == shape:
        return x
    return b.op("Tile", [x, b.ints(repeats)], x.dtype, shape)


@translates("constant_pad_nd.default")
def _pad(b: Builder, x: Value, pad: Sequence[int], value: Number = 0) -> Value:
    before, after = [0] * x.rank, [0] * x.rank
    for place in range(len(pad) // 2):
        axis = x.rank - 1 - place
        low, high = pad[2 * place : 2 * place + 2]
        x = b.slice(x, axis, max(0, -low), x.shape[axis] - max(0, -high))
        before[axis], after[axis] = max(0, low), max(0, high)
    return b.pad(x, before, after, value)


@translates("clone.default")
def _clone(b: Builder, x: Value) -> Value:
    return x


@translates("_to_copy.default")
def _to_copy(b: Builder, x: Value, dtype: str | None = None, non_blocking: bool = False) -> Value:
    return b.cast(x, dtype or x.dtype)


# -- triangles, diagonals
# -------------------------------------------------------------------------------------


def _triangle(lower: object) -> Translator:
    def translate(b: Builder, x: Value, diagonal: int = 0) -> Value:
        if x.rank < 2:
            raise InvalidPlan("a matrix is needed")
        rows = b.reshape(b.range(x.shape[-2]), (x.shape[-2], 1))
        ends = b.add(rows, diagonal)
        kept = b.compare("LessOrEqual" if lower else "GreaterOrEqual", b.range(x.shape[-1]), ends)
        return b.where(kept, x, 0, x.dtype)

    return translate


enter_all({"tril.default": True, "triu.default": False}, _triangle)


@translates("diagonal.default")
def _diagonal(b: Builder, x: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value:
    """Becomes the last dimension."""
    one, other = axis_of(x, dim1), axis_of(x, dim2)
    if one == other:
        raise InvalidPlan("a diagonal is one of two dimensions")
    rest = [axis for axis in range(x.rank) if axis not in (one, other)]
    rows, columns = x.shape[one], x.shape[other]
    down, right = max(0, -offset), max(0, offset)
    count = max(0, min(rows - down, columns - right))
    flat = b.reshape(b.permute(x, [*rest, one, other]), [*(x.shape[axis] for axis in rest), rows * columns])
    places = (np.arange(count, dtype=np.int64) + down) * columns + np.arange(count, dtype=np.int64) + right
    return b.take(flat, len(rest), b.const(places))


# -- made of sizes ------------------------------------------------------------------------------------------


@translates("full.default")
def _full(b: Builder, size: Sequence[int], fill_value: Number, dtype: str | None = None) -> Value:
    return b.full(size, fill_value, dtype or default_of(fill_value))


@translates("full_like.default")
def _full_like(b: Builder, x: Value, fill_value: Number, dtype: str | None = None) -> Value:
    return b.full(x.shape, fill_value, dtype or x.dtype)


def _filled(number: int) -> Translator:
    return lambda b, size, dtype=None: b.full(size, number, dtype or "f32")


def _filled_like(number: int) -> Translator:
    return lambda b, x, dtype=None: b.full(x.shape, number, dtype or x.dtype)


enter_all({"zeros.default": 0, "ones.default": 1}, _filled)
enter_all({"zeros_like.default": 0, "ones_like.default": 1}, _filled_like)


@translates("scalar_tensor.default")
def _scalar(b: Builder, s: Number, dtype: str | None = None) -> Value:
    return b.number(s, dtype or "f32")


@translates("arange.start_step")
def _arange(b: Builder, start: Number, end: Number, step: Number = 1, dtype: str | None = None) -> Value:
    """Fractions are computed in double precision, as torch does."""
    whole = not any(isinstance(each, float) for each in (start, end, step))
    dtype = dtype or ("i64" if whole else "f32")
    count = math.ceil((end - start) / step)
    if whole:
        count = -(-(int(end) - int(start)) // int(step))
    places = b.range(max(count, 0))
    if dtype in FLOATS:
        made = b.add(b.mul(b.cast(places, "f64"), float(step)), float(start))
    else:
        made = b.add(b.mul(places, int(step)), int(start))
    return b.cast(made, dtype)


@translates("arange.default")
def _arange_end(b: Builder, end: Number, dtype: str | None = None) -> Value:
    return _arange(b, 0, end, 1, dtype)
