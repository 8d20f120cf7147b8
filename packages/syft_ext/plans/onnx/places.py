"""Elements at places that the data name. A place that is none ends the run, as it does in torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from syft_ext.errors import InvalidPlan
from syft_ext.plans.onnx.builder import Builder, broadcast
from syft_ext.plans.onnx.reductions import axis_of
from syft_ext.plans.onnx.table import translates
from syft_ext.plans.onnx.types import Number, Value

__all__: list[str] = []


def _lined(b: Builder, x: Value) -> Value:
    """A tensor without dimensions counts as one with one."""
    return b.reshape(x, (1,)) if not x.rank else x


def _along(b: Builder, x: Value, dim: int, index: Value) -> tuple[Value, int, Value]:
    """Operand, dimension and index with at least one dimension; every place is one of the operand."""
    axis, whole, places = axis_of(x, dim), _lined(b, x), _lined(b, index)
    return whole, axis, b.places(places, 0, whole.shape[axis])


@translates("gather.default")
def _gather(b: Builder, x: Value, dim: int, index: Value, sparse_grad: bool = False) -> Value:
    whole, axis, places = _along(b, x, dim, index)
    return b.reshape(b.pick(whole, axis, places), index.shape)


@translates("scatter.value")
def _scatter_value(b: Builder, x: Value, dim: int, index: Value, value: Number) -> Value:
    return _scatter(b, x, dim, index, b.full(index.shape, value, x.dtype))


@translates("scatter.src")
def _scatter(b: Builder, x: Value, dim: int, index: Value, src: Value) -> Value:
    whole, axis, places = _along(b, x, dim, index)
    return b.reshape(b.put(whole, axis, places, _lined(b, src)), x.shape)


@translates("scatter_add.default")
def _scatter_add(b: Builder, x: Value, dim: int, index: Value, src: Value) -> Value:
    whole, axis, places = _along(b, x, dim, index)
    if x.dtype == "b":
        made = b.put(b.cast(whole, "i64"), axis, places, b.cast(_lined(b, src), "i64"), "add")
        return b.reshape(b.cast(made, "b"), x.shape)
    return b.reshape(b.put(whole, axis, places, _lined(b, src), "add"), x.shape)


_REDUCTIONS = {"sum": "add", "mean": "add", "prod": "mul", "amax": "max", "amin": "min"}


@translates("scatter_reduce.two")
def _scatter_reduce(
    b: Builder, x: Value, dim: int, index: Value, src: Value, reduce: str, include_self: bool = True
) -> Value:
    whole, axis, places = _along(b, x, dim, index)
    source, dtype = _lined(b, src), x.dtype
    for other, size in enumerate(places.shape):
        source = b.slice(source, other, 0, size)
    if places.size == 0:
        return x
    own, source = b.wide(whole), b.wide(source)
    ones = b.full(places.shape, 1, "i64")
    count = b.put(b.full(own.shape, 0, "i64"), axis, places, ones, "add")
    touched = b.compare("Greater", count, 0)
    base = own if include_self else b.where(touched, _neutral(reduce, own), own)
    if reduce in ("amax", "amin") and own.floating:
        made = _scattered_extreme(b, base, axis, places, source, reduce)
    else:
        made = b.put(base, axis, places, source, _REDUCTIONS[reduce])
    if reduce == "mean":
        share = b.where(touched, b.add(count, int(include_self)), 1)
        made = b.div(made, b.cast(share, own.dtype)) if own.floating else _floored(b, made, share)
    return b.reshape(b.cast(made, dtype), x.shape)


def _neutral(reduce: str, x: Value) -> Number:
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    if x.floating:
        return -math.inf if reduce == "amax" else math.inf
    return -(1 << 63) if reduce == "amax" else (1 << 63) - 1


def _scattered_extreme(
    b: Builder, base: Value, axis: int, places: Value, source: Value, reduce: str
) -> Value:
    """NaN wins everywhere: where one came, or was."""
    missing = b.nan(source)
    filled = b.where(missing, -math.inf if reduce == "amax" else math.inf, source)
    made = b.put(base, axis, places, filled, "max" if reduce == "amax" else "min")
    came = b.put(b.full(base.shape, 0, "i64"), axis, places, b.cast(missing, "i64"), "add")
    lost = b.flag("Or", b.nan(base), b.compare("Greater", came, 0))
    return b.where(lost, math.nan, made)


def _floored(b: Builder, x: Value, divisor: Value) -> Value:
    quotient = b.div(x, divisor)
    rest = b.sub(x, b.mul(quotient, divisor))
    return b.sub(quotient, b.cast(b.compare("Less", rest, 0), "i64"))


@translates("index_select.default")
def _index_select(b: Builder, x: Value, dim: int, index: Value) -> Value:
    whole, axis, places = _along(b, x, dim, index)
    made = b.take(whole, axis, places)
    return b.reshape(made, ()) if not x.rank else made


@translates("index_add.default")
def _index_add(b: Builder, x: Value, dim: int, index: Value, source: Value, alpha: Number = 1) -> Value:
    whole, axis, places = _along(b, x, dim, index)
    if alpha != 1:
        source = b.elementwise("Mul", source, b.number(alpha, x.dtype), dtype=x.dtype)
    lined = b.reshape(places, [places.size if place == axis else 1 for place in range(whole.rank)])
    return b.put(whole, axis, b.expand(lined, source.shape), source, "add")


@translates("embedding.default")
def _embedding(
    b: Builder,
    weight: Value,
    indices: Value,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Value:
    return b.take(weight, 0, b.places(indices, 0, weight.shape[0]))


# -- several indices at once
# ----------------------------------------------------------------------------------


def _indexed(
    b: Builder, x: Value, indices: Sequence[Value | None]
) -> tuple[Value, Value, list[int], list[int]]:
    """The operand with the indexed dimensions in front; the places in them, as the last dimension of one
    tensor; which dimensions are in front; and the shape of what the indices are together."""
    found = {axis: index for axis, index in enumerate(indices) if index is not None}
    shape = broadcast(*(index.shape for index in found.values()))
    columns = []
    for axis, index in found.items():
        size = x.shape[axis]
        index = b.places(index, -size, size)
        positive = b.where(b.compare("Less", index, 0), b.add(index, size), index)
        columns.append(b.unsqueeze(b.expand(positive, shape), len(shape)))
    front = list(found)
    order = front + [axis for axis in range(x.rank) if axis not in front]
    return b.permute(x, order), b.concat(columns, len(shape)), front, list(shape)


def _position(front: list[int]) -> int:
    """Where in the result the indexed dimensions stand: where they were if they are neighbours, else in
    front."""
    return front[0] if front[-1] - front[0] == len(front) - 1 else 0


def _moved(rank: int, replaced: int, to: int) -> list[int]:
    """The order that brings the first ``replaced`` dimensions behind the next ``to``."""
    rest = list(range(replaced, rank))
    return rest[:to] + list(range(replaced)) + rest[to:]


@translates("index.Tensor")
def _index(b: Builder, x: Value, indices: Sequence[Value | None]) -> Value:
    turned, places, front, shape = _indexed(b, x, indices)
    made = b.op("GatherND", [turned, places], x.dtype, [*shape, *turned.shape[len(front) :]], batch_dims=0)
    return b.permute(made, _moved(made.rank, len(shape), _position(front)))


@translates("index_put.default")
def _index_put(
    b: Builder, x: Value, indices: Sequence[Value | None], values: Value, accumulate: bool = False
) -> Value:
    turned, places, front, shape = _indexed(b, x, indices)
    rest, at = list(turned.shape[len(front) :]), _position(front)
    whole = b.expand(values, [*rest[:at], *shape, *rest[at:]])
    back = [*range(at, at + len(shape)), *range(at), *range(at + len(shape), whole.rank)]
    source = b.permute(whole, back)
    if source.size == 0:
        return x
    work = b.wide(turned)
    made = b.op(
        "ScatterND",
        [work, places, b.cast(source, work.dtype)],
        work.dtype,
        turned.shape,
        reduction="add" if accumulate else "none",
    )
    order = front + [axis for axis in range(x.rank) if axis not in front]
    inverse = [order.index(axis) for axis in range(x.rank)]
    return b.permute(b.cast(made, x.dtype), inverse)


@translates("bucketize.Tensor")
def _bucketize(
    b: Builder, x: Value | Number, boundaries: Value, out_int32: bool = False, right: bool = False
) -> Value:
    """How many boundaries are not at or beyond a value; NaN is beyond all."""
    if not isinstance(x, Value):
        raise InvalidPlan("the boundaries are a list of numbers")
    beyond = b.compare("Greater" if right else "GreaterOrEqual", boundaries, b.unsqueeze(x, x.rank))
    before = b.cast(b.flag("Not", beyond), "i64")
    made = b.cast(b.sum(before, [x.rank]), "i32" if out_int32 else "i64")
    return Value(made.name, made.dtype, made.shape, (0, boundaries.size + 1))
