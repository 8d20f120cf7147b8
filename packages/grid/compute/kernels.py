"""One action on a session's values: check, run the kernel, take its results. Used in host processes only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from grid.compute.checking import Announced, AnnouncedResult, Checker
from grid.compute.values import OVERHEAD, Layout, Poison, SessionMemory, Storage, Value, blank
from syft_ext.errors import BadRequest, NotFound
from syft_ext.messages.compute import Call
from syft_ext.plans.checking.check import checked
from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.plans.graph.expr import eval_shape
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.graph.ops import ALLOWED, result_count
from syft_ext.plans.ir import Plan

__all__ = ["Held", "Outcome", "Poisoned", "apply", "apply_plan", "own"]

Held: TypeAlias = Mapping[int, Value | Poison]
Outcome: TypeAlias = list["Value | Poison"]
_UNCOMPUTED = Poison("bad-request", "this is a result that the kernel does not compute")


class Poisoned(Exception):
    """An operand is no value: the results share its fate."""

    def __init__(self, poison: Poison) -> None:
        super().__init__(poison.detail)
        self.poison = poison


class _Operands:
    """Arguments with tensors in place of references, and everything that the check depends on."""

    __slots__ = ("failure", "held", "key", "label", "values")

    def __init__(self, held: Held) -> None:
        self.held = held
        self.values: list[Value] = []
        self.key: list[Any] = []
        self.label = 0
        self.failure = ""

    def take(self, argument: Any) -> Any:
        key = self.key
        if type(argument) is not list:
            key.append(type(argument))  # 1, 1.0 and True are equal, and not the same argument
            key.append(argument)
            return argument
        if argument[0] == "r":
            value = self.held.get(argument[1])
            if type(value) is not Value:
                raise _absent(argument[1], value)
            self.values.append(value)
            self.label |= value.label
            self.failure = self.failure or value.failure
            key.append(value.layout)
            return value.tensor
        key.append(argument[0])
        if argument[0] == "l":
            key.append(len(argument))
            return [self.take(part) for part in argument[1:]]
        dtype = DTYPES.get(argument[1])
        key.append(argument[1])
        return dtype


def _absent(number: int, value: Poison | Value | None) -> Exception:
    if isinstance(value, Poison):
        return Poisoned(value)
    return NotFound(f"there is no value {number} in this session")


def apply(call: Call, held: Held, checker: Checker, memory: SessionMemory) -> Outcome:
    """The results of a call. Raises :class:`Poisoned`, or a :class:`GridError` that depends on no element."""
    name = call.op
    kernel = ALLOWED.get(name)
    if kernel is None:
        raise BadRequest(f"{name[:80]!r} is not an operation of the allow-list")
    if len(call.outs) != result_count(name):
        raise BadRequest(f"{name} has {result_count(name)} results, not {len(call.outs)}")
    operands = _Operands(held)
    take = operands.take
    args = [take(argument) for argument in call.args]
    kwargs = {}
    for key, argument in call.kwargs.items():
        operands.key.append(key)
        kwargs[key] = take(argument)
    announced = checker.check(
        (name, len(args), *operands.key),
        name,
        call.args,
        call.kwargs,
        [value.layout for value in operands.values],
    )
    memory.check(announced.nbytes + OVERHEAD * len(call.outs))
    failure = operands.failure
    try:
        given = kernel(*args, **kwargs)
        tensors: Sequence[Any] = (given,) if len(call.outs) == 1 else given
        failure = failure or _unlike(announced, tensors)
    except Exception as error:  # the operands fitted, so it is their elements that do not
        failure = failure or f"{name}: {(str(error).splitlines() or [repr(error)])[0][:200]}"
        tensors = ()
    return _outcome(announced, tensors, operands, failure)


def _unlike(announced: Announced, tensors: Sequence[Any]) -> str:
    """A kernel whose result has another size than announced would tell something by that size."""
    for expected, tensor in zip(announced.results, tensors, strict=True):
        if expected is not None:
            dtype, shape, _ = expected.layout
            if tensor.dtype is not dtype or tensor.shape != shape:
                return "the operation gave a result of another shape than announced"
    return ""


def _outcome(announced: Announced, tensors: Sequence[Any], operands: _Operands, failure: str) -> Outcome:
    broken = not tensors or (failure and bool(_unlike(announced, tensors)))
    storages = [value.storage for value in operands.values]
    outcome: Outcome = []
    for index, expected in enumerate(announced.results):
        if expected is None:
            storages.append(Storage(0))
            outcome.append(_UNCOMPUTED)
            continue
        storage = storages[expected.shares] if expected.shares >= 0 else Storage(expected.nbytes)
        storages.append(storage)
        tensor = blank(expected.layout) if broken else _as_announced(tensors[index], expected)
        outcome.append(Value(tensor, expected.layout, storage, operands.label, failure))
    return outcome


def _as_announced(tensor: torch.Tensor, expected: AnnouncedResult) -> torch.Tensor:
    """With the strides that were announced: what comes after must not depend on which kernel ran."""
    if tensor.stride() == expected.layout[2]:
        return tensor
    same: torch.Tensor = blank(expected.layout).copy_(tensor)
    return same


def apply_plan(
    plan: Plan, inputs: Sequence[int], held: Held, limits: Limits, memory: SessionMemory
) -> Outcome:
    """The results of a plan, in its order; as :func:`apply`."""
    values = []
    for number in inputs:
        value = held.get(number)
        if type(value) is not Value:
            raise _absent(number, value)
        values.append(value)
    if len(values) != len(plan.inputs):
        raise BadRequest(f"the plan takes {len(plan.inputs)} tensors, {len(values)} were given")
    tensors = [value.tensor for value in values]
    binding = plan.bind(tensors)
    cost = checked(plan.id, plan.document, binding, limits).cost
    memory.check(cost.peak_bytes + OVERHEAD * len(plan.outputs))
    layouts = [_contiguous(DTYPES[o.dtype], eval_shape(o.shape, binding)) for o in plan.outputs]
    label, failure = 0, ""
    for value in values:
        label, failure = label | value.label, failure or value.failure
    return _planned(lambda: plan.run(tensors), layouts, label, failure)


def _planned(
    run: Callable[[], Sequence[torch.Tensor]], layouts: Sequence[Layout], label: int, failure: str
) -> Outcome:
    results: Sequence[torch.Tensor] = ()
    try:
        given = [tensor.contiguous() for tensor in run()]
        if [(t.dtype, tuple(t.shape)) for t in given] == [layout[:2] for layout in layouts]:
            results = given
        else:
            failure = failure or "the plan gave results of other shapes than announced"
    except Exception as error:
        failure = failure or f"the plan: {(str(error).splitlines() or [repr(error)])[0][:200]}"
    return [
        own(results[index] if results else blank(layout), label, failure)
        for index, layout in enumerate(layouts)
    ]


def _contiguous(dtype: torch.dtype, shape: Sequence[int]) -> Layout:
    strides, stride = [], 1
    for size in reversed(shape):
        strides.append(stride)
        stride *= max(size, 1)
    return dtype, tuple(shape), tuple(reversed(strides))


def own(tensor: torch.Tensor, label: int, failure: str = "") -> Value:
    """A value on memory of its own."""
    layout = _contiguous(tensor.dtype, tensor.shape)
    return Value(tensor, layout, Storage(tensor.numel() * tensor.element_size()), label, failure)
