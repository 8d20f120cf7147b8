"""An ONNX graph in the making. Every result has its type and sizes at once: nothing is inferred later.

Whatever a translator needs is a method here that emits the fewest operations whose onnxruntime kernel gives
what torch gives. Integers of fewer than 64 bits are computed in 64 and cut off afterwards, which is what
wrapping around is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from syft_ext.errors import InvalidPlan, Unsupported
from syft_ext.plans.graph.limits import Limits, refusal
from syft_ext.plans.onnx.types import INTEGERS, NUMPY, ONNX, Number, Operand, Shape, Value, common

__all__ = ["Builder", "broadcast"]

_WIDE = ("f32", "f64", "i64")
_SMALL = 64
_LAST = (1 << 63) - 1


def broadcast(*shapes: Sequence[int]) -> Shape:
    """The shape that these have together. Raises :class:`InvalidPlan` where they have none."""
    rank = max((len(shape) for shape in shapes), default=0)
    found = [1] * rank
    for shape in shapes:
        for place, size in enumerate(shape, rank - len(shape)):
            if size != 1:
                if found[place] not in (1, size):
                    raise InvalidPlan(f"shapes {[list(each) for each in shapes]} do not fit each other")
                found[place] = size
    return tuple(found)


class Builder:
    """Collects nodes and constants. ``limits``: no value may have more elements than they allow."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.sizes: dict[str, int] = {}
        """Bytes of each value that a node gives."""
        self.flops = 0
        self._known: dict[tuple[str, Shape, bytes], Value] = {}
        self._made = 0

    # -- the ground -----------------------------------------------------------------------------------------

    def fresh(self) -> str:
        """A name that no input or output of a plan has: those are identifiers."""
        self._made += 1
        return f"/{self._made}"

    def emit(
        self, kind: str, inputs: Sequence[Value | None], *results: tuple[str, Shape], **attributes: Any
    ) -> list[Value]:
        """One node, with results of these types. A result without elements is a constant, and the node is
        left out where all are: kernels differ most on what holds nothing."""
        made = [self._result(dtype, shape) for dtype, shape in results]
        if all(value.size == 0 for value in made):
            return [self.const(np.empty(value.shape, NUMPY[value.dtype])) for value in made]
        names = ["" if each is None else each.name for each in inputs]
        self.nodes.append(helper.make_node(kind, names, [value.name for value in made], **attributes))
        self.flops += sum(value.size for value in (*made, *(each for each in inputs if each is not None)))
        return made

    def _result(self, dtype: str, shape: Shape) -> Value:
        if dtype not in ONNX:
            raise Unsupported(f"{dtype} cannot be said exactly in ONNX", dtype=dtype)
        value = Value(self.fresh(), dtype, tuple(int(size) for size in shape))
        if value.size > self.limits.max_numel:
            raise refusal("max_numel", value.size, self.limits)
        self.sizes[value.name] = value.size * NUMPY[dtype].itemsize
        return value

    def op(
        self, kind: str, inputs: Sequence[Value | None], dtype: str, shape: Sequence[int], **attributes: Any
    ) -> Value:
        """One node with one result."""
        (result,) = self.emit(kind, inputs, (dtype, tuple(shape)), **attributes)
        return result

    def const(self, array: NDArray[Any]) -> Value:
        """A constant; small ones that are equal are one."""
        dtype = next(name for name, each in NUMPY.items() if each == array.dtype)
        key = (dtype, array.shape, array.tobytes()) if array.size <= _SMALL else None
        if key is not None and key in self._known:
            return self._known[key]
        value = Value(self.fresh(), dtype, array.shape)
        self.constants.append(numpy_helper.from_array(np.asarray(array, order="C"), value.name))
        if key is not None:
            self._known[key] = value
        return value

    def number(self, value: Number, dtype: str) -> Value:
        """A number as a tensor without dimensions. Raises :class:`InvalidPlan` for one that the type cannot
        hold."""
        if dtype in INTEGERS:
            info = np.iinfo(NUMPY[dtype])
            if dtype == "u8" and -255 <= value < 0:
                value += 256  # as torch, which lets them wrap around
            if not math.isfinite(value) or not info.min <= int(value) <= info.max:
                raise InvalidPlan(f"{value} is no {dtype}")
            return self.const(np.array(int(value), NUMPY[dtype]))
        with np.errstate(over="ignore"):
            return self.const(np.array(value, NUMPY[dtype]))

    def ints(self, values: Sequence[int]) -> Value:
        """A list of whole numbers: sizes, axes, places."""
        return self.const(np.array(list(values), np.int64).reshape(-1))

    def full(self, shape: Sequence[int], value: Number, dtype: str) -> Value:
        """A tensor of one number."""
        return self.expand(self.number(value, dtype), shape)

    # -- types ----------------------------------------------------------------------------------------------

    def cast(self, value: Value, dtype: str) -> Value:
        """In another type, as C++ converts: whole numbers are cut off, fractions lose what is behind the
        point."""
        if value.dtype == dtype:
            return value
        return replace(self.op("Cast", [value], dtype, value.shape, to=ONNX[dtype]), bounds=value.bounds)

    def tensor(self, operand: Operand, dtype: str) -> Value:
        """A tensor or a number, in ``dtype``."""
        return self.cast(operand, dtype) if isinstance(operand, Value) else self.number(operand, dtype)

    def wide(self, value: Value) -> Value:
        """As a type that kernels know: f32, f64 or i64."""
        return value if value.dtype in _WIDE else self.cast(value, "i64")

    def elementwise(
        self, kind: str, *operands: Operand, dtype: str, result: str = "", **attributes: Any
    ) -> Value:
        """A kernel that broadcasts, on operands of ``dtype``; of narrow integers in 64 bits, cut off
        afterwards."""
        work = dtype if dtype in _WIDE else "i64"
        values = [self.tensor(self.tensor(each, dtype), work) for each in operands]
        shape = broadcast(*(each.shape for each in values))
        made = self.op(kind, values, result or work, shape, **attributes)
        return made if result else self.cast(made, dtype)

    # -- arithmetic (floats and i64; operands are brought to the first one's type)
    # -----------------------------

    def _pair(self, kind: str, one: Operand, other: Operand) -> Value:
        dtype = one.dtype if isinstance(one, Value) else other.dtype if isinstance(other, Value) else "f32"
        return self.elementwise(kind, one, other, dtype=dtype)

    def add(self, one: Operand, other: Operand) -> Value:
        return self._pair("Add", one, other)

    def sub(self, one: Operand, other: Operand) -> Value:
        return self._pair("Sub", one, other)

    def mul(self, one: Operand, other: Operand) -> Value:
        return self._pair("Mul", one, other)

    def div(self, one: Operand, other: Operand) -> Value:
        """A true division of fractions; of whole numbers, towards zero: the divisor must be known not to be
        0."""
        return self._pair("Div", one, other)

    def unary(self, kind: str, value: Value, **attributes: Any) -> Value:
        return self.op(kind, [value], value.dtype, value.shape, **attributes)

    def compare(self, kind: str, one: Operand, other: Operand) -> Value:
        """Equal, Less, LessOrEqual, Greater, GreaterOrEqual."""
        return self.elementwise(kind, one, other, dtype=common(one, other), result="b")

    def flag(self, kind: str, *values: Value) -> Value:
        """And, Or, Not of truth values."""
        return self.op(kind, values, "b", broadcast(*(each.shape for each in values)))

    def where(self, condition: Value, one: Operand, other: Operand, dtype: str = "") -> Value:
        """One where the condition holds, else the other."""
        dtype = dtype or (
            one.dtype if isinstance(one, Value) else other.dtype if isinstance(other, Value) else "f32"
        )
        work = dtype if dtype in _WIDE else "i64"
        values = [self.tensor(self.tensor(each, dtype), work) for each in (one, other)]
        shape = broadcast(condition.shape, *(each.shape for each in values))
        return self.cast(self.op("Where", [condition, *values], work, shape), dtype)

    def nan(self, value: Value) -> Value:
        """Where it is not a number."""
        return self.op("IsNaN", [value], "b", value.shape)

    # -- reductions -----------------------------------------------------------------------------------------

    def reduce(self, kind: str, value: Value, axes: Sequence[int], keep: bool = False) -> Value:
        """ReduceSum, ReduceMax, ReduceMin, ReduceProd along ``axes``, which are counted from the front."""
        if not axes:
            return value
        shape = [1 if place in axes else size for place, size in enumerate(value.shape)]
        left = shape if keep else [size for place, size in enumerate(value.shape) if place not in axes]
        if value.size == 0:
            if kind not in ("ReduceSum", "ReduceProd"):
                raise InvalidPlan("an extreme of no elements")
            return self.full(left, int(kind == "ReduceProd"), value.dtype)
        if kind == "ReduceSum" and value.dtype == "i64":
            return self._whole_sum(value, axes, left)
        return self.op(kind, [value, self.ints(axes)], value.dtype, left, keepdims=int(keep))

    def _whole_sum(self, value: Value, axes: Sequence[int], shape: Sequence[int]) -> Value:
        """A product with ones, which wraps around: onnxruntime's ReduceSum goes through fractions."""
        rest = [axis for axis in range(value.rank) if axis not in axes]
        count = math.prod(value.shape[axis] for axis in axes)
        rows = self.reshape(self.permute(value, [*rest, *axes]), (value.size // count, count))
        total = self.op("MatMul", [rows, self.full((count, 1), 1, "i64")], "i64", (rows.shape[0], 1))
        return self.reshape(total, shape)

    def sum(self, value: Value, axes: Sequence[int], keep: bool = False) -> Value:
        return self.reduce("ReduceSum", value, axes, keep)

    def mean(self, value: Value, axes: Sequence[int], keep: bool = False) -> Value:
        """Of no elements: not a number."""
        count = math.prod(value.shape[axis] for axis in axes)
        return self.div(self.sum(value, axes, keep), self.number(count, value.dtype))

    def any(self, flags: Value, axes: Sequence[int], keep: bool = False) -> Value:
        """Whether one of the truth values along ``axes`` holds."""
        if flags.size == 0:
            return self.cast(self.sum(self.cast(flags, "i64"), axes, keep), "b")
        return self.cast(self.reduce("ReduceMax", self.cast(flags, "i32"), axes, keep), "b")

    # -- shapes ---------------------------------------------------------------------------------------------

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        shape = tuple(shape)
        if shape == value.shape:
            return value
        return self._kept("Reshape", [value, self.ints(shape)], value, shape, allowzero=1)

    def permute(self, value: Value, order: Sequence[int]) -> Value:
        """The i-th dimension becomes the one that was ``order[i]``. Identities are never emitted:
        onnxruntime has folded them into products wrongly (microsoft/onnxruntime#32228)."""
        if list(order) == list(range(value.rank)):
            return value
        shape = tuple(value.shape[axis] for axis in order)
        return self._kept("Transpose", [value], value, shape, perm=list(order))

    def expand(self, value: Value, shape: Sequence[int]) -> Value:
        shape = tuple(shape)
        if shape == value.shape:
            return value
        return self._kept("Expand", [value, self.ints(shape)], value, shape)

    def unsqueeze(self, value: Value, axis: int) -> Value:
        return self.reshape(value, (*value.shape[:axis], 1, *value.shape[axis:]))

    def slice(self, value: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
        """Of whole places from the front: 0 <= start, stop <= size, step >= 1."""
        size = max(0, -(-(stop - start) // step))
        if (start, step, size) == (0, 1, value.shape[axis]):
            return value
        shape = (*value.shape[:axis], size, *value.shape[axis + 1 :])
        bounds = [self.ints([each]) for each in (start, stop, axis, step)]
        return self._kept("Slice", [value, *bounds], value, shape)

    def flip(self, value: Value, axes: Sequence[int]) -> Value:
        if not axes:
            return value
        places = [self.ints([each] * len(axes)) for each in (-1, -_LAST)]
        return self._kept(
            "Slice", [value, *places, self.ints(axes), self.ints([-1] * len(axes))], value, value.shape
        )

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        filled = [each for each in values if each.shape[axis]]
        if len(filled) == 1:
            return filled[0]
        first = values[0].shape
        shape = (*first[:axis], sum(each.shape[axis] for each in values), *first[axis + 1 :])
        return self.op("Concat", filled or values[:1], values[0].dtype, shape, axis=axis)

    def pad(self, value: Value, before: Sequence[int], after: Sequence[int], number: Number) -> Value:
        """Every dimension gets so many of ``number`` before and after it."""
        if not any(before) and not any(after):
            return value
        work = self.wide(value)
        shape = tuple(b + size + a for b, size, a in zip(before, value.shape, after, strict=True))
        if value.size == 0:
            return self.full(shape, number, value.dtype)
        amounts = self.ints([*before, *after])
        made = self.op("Pad", [work, amounts, self.number(number, work.dtype)], work.dtype, shape)
        return self.cast(made, value.dtype)

    def _kept(
        self, kind: str, inputs: Sequence[Value], of: Value, shape: Sequence[int], **more: Any
    ) -> Value:
        """A result that has no element which ``of`` has not."""
        return replace(self.op(kind, inputs, of.dtype, shape, **more), bounds=of.bounds)

    # -- places ---------------------------------------------------------------------------------------------

    def range(self, size: int) -> Value:
        """0, 1, …, size - 1."""
        if size <= _SMALL:
            return self.const(np.arange(size, dtype=np.int64))
        inputs = [self.number(each, "i64") for each in (0, size, 1)]
        return self.op("Range", inputs, "i64", (size,))

    def require(self, bad: Value) -> Value:
        """Zero, as i64; where one of the truth values ``bad`` holds, the run ends with an error instead.
        What must not be computed then gets the zero added, so that it waits for it."""
        found = self.cast(self.any(bad, range(bad.rank)), "i64")
        return self.op("Gather", [self.ints([0]), found], "i64", (), axis=0)

    def places(self, index: Value, low: int, high: int) -> Value:
        """The index, whose elements are in [low, high), or the run ends with an error: a kernel would count
        negative ones from the end, and nobody says what others do with those that are too large."""
        index = self.cast(index, "i64")
        if index.size == 0 or (
            index.bounds is not None and low <= index.bounds[0] and index.bounds[1] <= high
        ):
            return index
        bad = self.flag("Or", self.compare("Less", index, low), self.compare("GreaterOrEqual", index, high))
        return replace(self.add(index, self.require(bad)), bounds=(low, high))

    def take(self, value: Value, axis: int, index: Value) -> Value:
        """``value`` at these places of one dimension; the index may have any shape."""
        shape = (*value.shape[:axis], *index.shape, *value.shape[axis + 1 :])
        return self._kept("Gather", [value, index], value, shape, axis=axis)

    def pick(self, value: Value, axis: int, index: Value) -> Value:
        """As torch's gather: an element of ``value`` for each place of ``index``."""
        for other, size in enumerate(index.shape):
            if other != axis:
                value = self.slice(value, other, 0, size)
        return self._kept("GatherElements", [value, index], value, index.shape, axis=axis)

    def put(self, value: Value, axis: int, index: Value, source: Value, reduction: str = "none") -> Value:
        """As torch's scatter: elements of ``source`` at the places of ``index``."""
        for other, size in enumerate(index.shape):
            source = self.slice(source, other, 0, size)
        if index.size == 0:
            return value
        dtype, work = value.dtype, self.wide(value)
        source = self.cast(source, work.dtype)
        made = self.op(
            "ScatterElements", [work, index, source], work.dtype, value.shape, axis=axis, reduction=reduction
        )
        return self.cast(made, dtype)
