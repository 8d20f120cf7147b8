"""One action on a session's values: check, run the kernel, take its results. Used in host processes only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from grid.compute.checking import Announced, Checker
from grid.compute.encrypted_values import operands_of
from grid.compute.values import OVERHEAD, Opaque, Poison, SessionMemory, Storage, Value
from syft_ext.errors import BadRequest, NotFound
from syft_ext.messages.compute import Call
from syft_ext.plans.checking.check import checked
from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.plans.graph.expr import eval_shape
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.graph.ops import ALLOWED, result_count
from syft_ext.plans.ir import Plan
from syft_ext.plans.preconditions.announce import made_dense
from syft_ext.plans.preconditions.results import TensorType, as_announced, blank

__all__ = ["Held", "Outcome", "Poisoned", "apply", "apply_plan", "own"]

Held: TypeAlias = Mapping[int, Value | Opaque | Poison]
Outcome: TypeAlias = list["Value | Opaque | Poison"]
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


def _absent(number: int, value: Poison | Value | Opaque | None) -> Exception:
    if isinstance(value, Poison):
        return Poisoned(value)
    if isinstance(value, Opaque):
        return BadRequest(
            f"value {number} is encrypted, or a context: operations he.… take it, and no others"
        )
    return NotFound(f"there is no value {number} in this session")


def apply(call: Call, held: Held, checker: Checker, memory: SessionMemory) -> Outcome:
    """The results of a call. Raises :class:`Poisoned`, or a :class:`GridError` that depends on no element."""
    name = call.op
    if name.startswith("he."):
        return [_encrypted(call, held, memory)]
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
    memory.check(announced.nbytes + announced.scratch + OVERHEAD * len(call.outs))
    failure = operands.failure
    tensors: Sequence[torch.Tensor | None]
    try:
        for check in announced.checks:
            check.rule(*(operands.values[place].tensor for place in check.operands))
        if announced.dense:
            args, kwargs = made_dense(args, kwargs, announced.dense)
        given = kernel(*args, **kwargs)
        tensors = [
            None if expected is None else as_announced(tensor, expected.layout)
            for expected, tensor in zip(
                announced.results, (given,) if len(call.outs) == 1 else given, strict=True
            )
        ]
    except Exception as error:  # the operands fitted, so it is their elements that do not
        failure = failure or f"{name}: {(str(error).splitlines() or [repr(error)])[0][:200]}"
        tensors = ()
    return _outcome(announced, tensors, operands, failure)


def _encrypted(call: Call, held: Held, memory: SessionMemory) -> Opaque:
    try:
        operands = operands_of(call, held)
    except KeyError as error:
        (number,) = error.args
        raise _absent(number, held.get(number)) from None
    return operands.apply(memory)


def _outcome(
    announced: Announced, tensors: Sequence[torch.Tensor | None], operands: _Operands, failure: str
) -> Outcome:
    storages = [value.storage for value in operands.values]
    outcome: Outcome = []
    for index, expected in enumerate(announced.results):
        if expected is None:
            storages.append(Storage(0))
            outcome.append(_UNCOMPUTED)
            continue
        storage = storages[expected.shares] if expected.shares >= 0 else Storage(expected.nbytes)
        storages.append(storage)
        tensor = tensors[index] if tensors else None
        if tensor is None:
            tensor = blank(expected.layout)
        outcome.append(Value(tensor, expected.layout, storage, operands.label, failure))
    return outcome


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
    run: Callable[[], Sequence[torch.Tensor]], layouts: Sequence[TensorType], label: int, failure: str
) -> Outcome:
    results: Sequence[torch.Tensor] = ()
    try:
        given = [tensor.contiguous() for tensor in run()]
        results = [as_announced(tensor, layout) for tensor, layout in zip(given, layouts, strict=True)]
    except Exception as error:
        failure = failure or f"the plan: {(str(error).splitlines() or [repr(error)])[0][:200]}"
    return [
        own(results[index] if results else blank(layout), label, failure)
        for index, layout in enumerate(layouts)
    ]


def _contiguous(dtype: torch.dtype, shape: Sequence[int]) -> TensorType:
    strides, stride = [], 1
    for size in reversed(shape):
        strides.append(stride)
        stride *= max(size, 1)
    return TensorType(dtype, tuple(shape), tuple(reversed(strides)))


def own(tensor: torch.Tensor, label: int, failure: str = "") -> Value:
    """A value on memory of its own."""
    layout = _contiguous(tensor.dtype, tensor.shape)
    return Value(tensor, layout, Storage(tensor.numel() * tensor.element_size()), label, failure)
