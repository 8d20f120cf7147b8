"""Sums, extremes and orders. NaN is the largest and the smallest of all, as in torch; of equals, the first
counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from onnx import helper

from syft_ext.errors import InvalidPlan
from syft_ext.plans.onnx.builder import Builder
from syft_ext.plans.onnx.elementwise import fractions
from syft_ext.plans.onnx.table import Translator, enter_all, translates
from syft_ext.plans.onnx.types import NUMPY, ONNX, Number, Value

__all__ = ["axes_of", "axis_of", "best_places", "extreme", "ordered"]


def axis_of(value: Value, dim: int) -> int:
    """A dimension counted from the front."""
    rank = max(value.rank, 1)
    if not -rank <= dim < rank:
        raise InvalidPlan("there is no such dimension")
    return dim % rank


def axes_of(value: Value, dims: int | Sequence[int] | None) -> list[int]:
    """Dimensions counted from the front; all of them where none is named."""
    if not value.rank:
        return []
    if dims is None or (not isinstance(dims, int) and not dims):
        return list(range(value.rank))
    return sorted({axis_of(value, dim) for dim in ([dims] if isinstance(dims, int) else dims)})


def _summands(b: Builder, x: Value, dtype: str | None) -> Value:
    return b.cast(x, dtype or (x.dtype if x.floating else "i64"))


@translates("sum.default")
def _sum_all(b: Builder, x: Value, dtype: str | None = None) -> Value:
    return _sum(b, x, None, False, dtype)


@translates("sum.dim_IntList")
def _sum(
    b: Builder, x: Value, dim: Sequence[int] | None, keepdim: bool = False, dtype: str | None = None
) -> Value:
    x = _summands(b, x, dtype)
    narrow = x.dtype
    return b.cast(b.sum(b.wide(x), axes_of(x, dim), keepdim), narrow)


@translates("mean.default")
def _mean_all(b: Builder, x: Value, dtype: str | None = None) -> Value:
    return _mean(b, x, None, False, dtype)


@translates("mean.dim")
def _mean(
    b: Builder, x: Value, dim: Sequence[int] | None, keepdim: bool = False, dtype: str | None = None
) -> Value:
    return b.mean(b.cast(x, dtype or x.dtype), axes_of(x, dim), keepdim)


@translates("var.correction")
def _var(
    b: Builder,
    x: Value,
    dim: Sequence[int] | None = None,
    correction: Number | None = None,
    keepdim: bool = False,
) -> Value:
    axes = axes_of(x, dim)
    apart = b.sub(x, b.mean(x, axes, keep=True))
    count = math.prod(x.shape[axis] for axis in axes)
    free = max(0.0, count - float(1 if correction is None else correction))
    return b.div(b.sum(b.mul(apart, apart), axes, keepdim), b.number(free, x.dtype))


@translates("prod.default")
def _prod_all(b: Builder, x: Value, dtype: str | None = None) -> Value:
    return _product(b, x, axes_of(x, None), False, dtype)


@translates("prod.dim_int")
def _prod(b: Builder, x: Value, dim: int, keepdim: bool = False, dtype: str | None = None) -> Value:
    return _product(b, x, [axis_of(x, dim)] if x.rank else [], keepdim, dtype)


def _product(b: Builder, x: Value, axes: Sequence[int], keep: bool, dtype: str | None) -> Value:
    x = _summands(b, x, dtype)
    if x.floating or x.size == 0:
        return b.reduce("ReduceProd", x, axes, keep)
    return b.cast(_whole_product(b, b.cast(x, "i64"), axes, keep), x.dtype)


def _whole_product(b: Builder, x: Value, axes: Sequence[int], keep: bool) -> Value:
    """Half times half, until one is left: onnxruntime's ReduceProd of whole numbers does not wrap around,
    it stops at the largest."""
    left = [axis for axis in range(x.rank) if axis not in axes]
    shape = [x.shape[axis] for axis in left]
    made = b.reshape(b.permute(x, [*axes, *left]), [math.prod(x.shape[axis] for axis in axes), *shape])
    while (count := made.shape[0]) > 1:
        half = count // 2
        product = b.mul(b.slice(made, 0, 0, half), b.slice(made, 0, half, 2 * half))
        made = b.concat([product, b.slice(made, 0, 2 * half, count)], 0)
    return b.reshape(
        made, [1 if axis in axes else size for axis, size in enumerate(x.shape)] if keep else shape
    )


# -- extremes -----------------------------------------------------------------------------------------------


def extreme(b: Builder, x: Value, axes: Sequence[int], keep: bool, largest: bool) -> Value:
    """The largest or smallest along ``axes``; NaN where one is. onnxruntime's leaves NaN out."""
    kind = "ReduceMax" if largest else "ReduceMin"
    if not x.floating:
        return b.cast(b.reduce(kind, b.wide(x), axes, keep), x.dtype)
    missing = b.nan(x)
    filled = b.where(missing, -math.inf if largest else math.inf, x)
    found = b.reduce(kind, filled, axes, keep)
    return b.where(b.any(missing, axes, keep), math.nan, found)


def _extremes(largest: object) -> Translator:
    def translate(b: Builder, x: Value, dim: Sequence[int] = (), keepdim: bool = False) -> Value:
        return extreme(b, x, axes_of(x, dim), keepdim, bool(largest))

    return translate


enter_all({"amax.default": True, "amin.default": False, "max.default": True, "min.default": False}, _extremes)


def best_places(b: Builder, x: Value, axis: int, largest: bool) -> Value:
    """Where along ``axis`` the extreme is, the first of equals; the dimension stays. The first NaN is
    before all."""
    kind = "ArgMax" if largest else "ArgMin"
    shape = [1 if place == axis else size for place, size in enumerate(x.shape)]
    work = b.wide(x)
    if (
        work.dtype == "i64"
    ):  # onnxruntime has no kernel for 64 bits: the place of the first that is the extreme
        best = b.compare("Equal", work, b.reduce("ReduceMax" if largest else "ReduceMin", work, [axis], True))
        return _first(b, best, axis, shape)
    missing = b.nan(work)
    filled = b.where(missing, -math.inf if largest else math.inf, work)
    found = b.op(kind, [filled], "i64", shape, axis=axis, keepdims=1, select_last_index=0)
    return b.where(b.any(missing, [axis], True), _first(b, missing, axis, shape), found)


def _first(b: Builder, flags: Value, axis: int, shape: Sequence[int]) -> Value:
    return b.op("ArgMax", [b.cast(flags, "i32")], "i64", shape, axis=axis, keepdims=1, select_last_index=0)


def _with_places(largest: object) -> Translator:
    def translate(b: Builder, x: Value, dim: int, keepdim: bool = False) -> tuple[Value, Value]:
        if not x.rank:
            return x, b.number(0, "i64")
        axis = axis_of(x, dim)
        places = _bounded(best_places(b, x, axis, bool(largest)), x.shape[axis])
        values = b.pick(x, axis, places)
        if keepdim:
            return values, places
        left = [size for place, size in enumerate(x.shape) if place != axis]
        return b.reshape(values, left), b.reshape(places, left)

    return translate


enter_all({"max.dim": True, "min.dim": False}, _with_places)


def _bounded(places: Value, size: int) -> Value:
    return Value(places.name, places.dtype, places.shape, (0, max(size, 1)))


def _arg(largest: object) -> Translator:
    def translate(b: Builder, x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
        flat = b.reshape(x, (x.size,)) if dim is None or not x.rank else x
        axis = 0 if dim is None or not x.rank else axis_of(x, dim)
        places = _bounded(best_places(b, flat, axis, bool(largest)), flat.shape[axis])
        if dim is None or not x.rank:
            return b.reshape(places, [1] * x.rank if keepdim else ())
        left = [1 if place == axis else size for place, size in enumerate(x.shape)]
        return b.reshape(places, left if keepdim else left[:axis] + left[axis + 1 :])

    return translate


enter_all({"argmax.default": True, "argmin.default": False}, _arg)


@translates("logsumexp.default")
def _logsumexp(b: Builder, x: Value, dim: Sequence[int], keepdim: bool = False) -> Value:
    x, axes = fractions(b, x), axes_of(x, dim)
    top = extreme(b, x, axes, True, largest=True)
    top = b.where(b.op("IsInf", [top], "b", top.shape), 0.0, top)
    total = b.sum(b.unary("Exp", b.sub(x, top)), axes, True)
    made = b.add(b.unary("Log", total), top)
    made = b.where(b.nan(top), top, made)
    left = [size for place, size in enumerate(x.shape) if place not in axes]
    return made if keepdim else b.reshape(made, left)


# -- truth values -------------------------------------------------------------------------------------------


def _truth(b: Builder, x: Value) -> Value:
    return b.cast(x, "b")


@translates("any.default", "any.dim", "any.dims")
def _any(b: Builder, x: Value, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Value:
    axes = (
        [] if dim is not None and not isinstance(dim, int) and not dim else axes_of(x, dim)
    )  # [] is none here
    found = b.any(_truth(b, x), axes, keepdim)
    return b.cast(found, "u8") if x.dtype == "u8" else found


@translates("all.default", "all.dim")
def _all(b: Builder, x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    none = b.flag("Not", b.any(b.flag("Not", _truth(b, x)), axes_of(x, dim), keepdim))
    return b.cast(none, "u8") if x.dtype == "u8" else none


# -- running sums and products
# --------------------------------------------------------------------------------


@translates("cumsum.default")
def _cumsum(b: Builder, x: Value, dim: int, dtype: str | None = None) -> Value:
    """Of fractions in double precision, as torch does it on a CPU."""
    x = _summands(b, x, dtype)
    if not x.rank:
        return x
    work = b.cast(x, "f64" if x.floating else "i64")
    made = b.op("CumSum", [work, b.number(axis_of(x, dim), "i64")], work.dtype, x.shape)
    return b.cast(made, x.dtype)


@translates("cumprod.default")
def _cumprod(b: Builder, x: Value, dim: int, dtype: str | None = None) -> Value:
    """ONNX has no such operation here: a Scan along the dimension."""
    x = _summands(b, x, dtype)
    if not x.rank or x.size == 0:
        return x
    axis, work = axis_of(x, dim), b.cast(x, "f64" if x.floating else "i64")
    slice_shape = [size for place, size in enumerate(x.shape) if place != axis]
    kind = ONNX[work.dtype]
    before, each, after, out = (b.fresh() for _ in range(4))
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Mul", [before, each], [after]), helper.make_node("Identity", [after], [out])],
        "product",
        [info(before, kind, slice_shape), info(each, kind, slice_shape)],
        [info(after, kind, slice_shape), info(out, kind, slice_shape)],
    )
    start = b.const(np.ones(slice_shape, NUMPY[work.dtype]))
    _, made = b.emit(
        "Scan",
        [start, work],
        (work.dtype, tuple(slice_shape)),
        (work.dtype, x.shape),
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[axis],
        scan_output_axes=[axis],
    )
    return b.cast(made, x.dtype)


# -- orders -------------------------------------------------------------------------------------------------


def ordered(b: Builder, x: Value, axis: int, count: int, largest: bool) -> tuple[Value, Value]:
    """The first ``count`` in order and their places, equals in the order in which they stand; NaN is the
    largest.

    Two stable sorts: by value, with NaN as infinity, then by being NaN. onnxruntime's comparison of NaN
    gives an order that is none.
    """
    n, work = x.shape[axis], b.wide(x)
    if not x.floating:
        values, places = _top(b, work, axis, count, largest)
        return b.cast(values, x.dtype), _bounded(places, n)
    missing = b.nan(work)
    _, by_value = _top(b, b.where(missing, math.inf, work), axis, n, largest)
    among = b.pick(b.cast(missing, "i64"), axis, by_value)
    _, by_missing = _top(b, among, axis, count, largest)
    places = _bounded(b.pick(by_value, axis, by_missing), n)
    return b.pick(x, axis, places), places


def _top(b: Builder, x: Value, axis: int, count: int, largest: bool) -> tuple[Value, Value]:
    shape = tuple(count if place == axis else size for place, size in enumerate(x.shape))
    if math.prod(shape) == 0:
        return b.const(np.empty(shape, NUMPY[x.dtype])), b.const(np.empty(shape, np.int64))
    values, places = b.emit(
        "TopK",
        [x, b.ints([count])],
        (x.dtype, shape),
        ("i64", shape),
        axis=axis,
        largest=int(largest),
        sorted=1,
    )
    return values, places


@translates("sort.default")
def _sort(b: Builder, x: Value, dim: int = -1, descending: bool = False) -> tuple[Value, Value]:
    if not x.rank:
        return x, b.number(0, "i64")
    axis = axis_of(x, dim)
    return ordered(b, x, axis, x.shape[axis], descending)


@translates("topk.default")
def _topk(
    b: Builder, x: Value, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Value, Value]:
    if not x.rank:
        values, places = _topk(b, b.reshape(x, (1,)), 1, 0, largest, sorted)  # torch gives it for k = 0 too
        return b.reshape(values, ()), b.reshape(places, ())
    return ordered(b, x, axis_of(x, dim), k, largest)
