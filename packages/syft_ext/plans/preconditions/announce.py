"""What a call will give and what it requires, found from its operands' types before its kernel runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import torch

from syft_ext.errors import InvalidPlan
from syft_ext.plans.graph.ops import ALLOWED, result_count
from syft_ext.plans.preconditions import costs
from syft_ext.plans.preconditions.declaration import Bounds, require
from syft_ext.plans.preconditions.forms import MAX_RANK
from syft_ext.plans.preconditions.table import PRECONDITIONS
from syft_ext.plans.preconditions.values import ValueRule

__all__ = ["Announced", "Check", "announce", "made_dense", "operands_of"]


# Products of these go to a library; others are plain loops.
_FAST = frozenset({torch.float32, torch.float64, torch.bfloat16})


@dataclass(frozen=True, slots=True)
class Check:
    """A rule on values, with the places of the operands that it looks at (in the order of
    :func:`operands_of`)."""

    rule: ValueRule
    operands: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Announced:
    """What one call will give and what must hold before it.

    Attributes:
        results: fake tensors; None for a result that the kernel does not compute.
        dense: places of the operands that are made contiguous before the call.
        checks: the rules on elements, for each call.
        bounds: of the elements of results, by their place; those that are known.
        flops: multiply-adds of products and convolutions, elements read and written of the rest.
        scratch: bytes that the kernel may take beside its results, copies of operands included.
    """

    results: tuple[torch.Tensor | None, ...]
    dense: tuple[int, ...]
    checks: tuple[Check, ...]
    bounds: Mapping[int, Bounds]
    flops: int
    scratch: int


def operands_of(arguments: Sequence[Any]) -> Iterator[torch.Tensor]:
    """The tensors among the arguments of a call, in order; those in lists too."""
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            yield argument
        elif isinstance(argument, list | tuple):
            yield from operands_of(argument)


def announce(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Announced:
    """What the operation ``name`` of the op set will give for fake tensors and literals.

    Must run under a ``FakeTensorMode``. Raises :class:`InvalidPlan` where a precondition does not hold, and
    whatever the meta implementation raises for operands that do not fit.
    """
    declared = PRECONDITIONS[name]
    operands = list(operands_of((*args, *kwargs.values())))
    for tensor in operands:
        require(tensor.dim() <= MAX_RANK, f"an operand has more than {MAX_RANK} dimensions")
    expected = declared.form(*_in_order(name, args, kwargs))
    dense = tuple(sorted(set(_dense_places(name, args, kwargs, operands))))
    args, kwargs = made_dense(args, kwargs, dense)
    solid = list(operands_of((*args, *kwargs.values())))
    arguments = _in_order(name, args, kwargs)
    given = ALLOWED[name](*args, **kwargs)
    results = (given,) if result_count(name) == 1 else tuple(given)
    omitted = set(declared.omitted(*arguments))
    results = tuple(None if place in omitted else result for place, result in enumerate(results))
    for result in results:
        _check_result(result)
    if expected is not None:
        require(tuple(results[0].shape) == expected, "the operands do not match")
    checks = tuple(
        Check(rule, tuple(_place(solid, looked_at) for looked_at in tensors))
        for rule, tensors in declared.values(*arguments)
    )
    present = [result for result in results if result is not None]
    flops = _flops(name, args, kwargs, given, (*operands, *present)) + declared.work(*arguments)
    scratch = (
        sum(operands[place].nbytes for place in dense)
        + costs.copied_bytes(solid, present, arguments)
        + declared.scratch(*arguments)
    )
    return Announced(results, dense, checks, declared.bounds(*arguments), flops, scratch)


def made_dense(
    args: Sequence[Any], kwargs: Mapping[str, Any], dense: Collection[int]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments with the tensors at the places ``dense`` made contiguous."""
    places = count()

    def refill(argument: Any) -> Any:
        if isinstance(argument, torch.Tensor):
            return argument.contiguous() if next(places) in dense else argument
        if isinstance(argument, list | tuple):
            return [refill(part) for part in argument]
        return argument

    return [refill(argument) for argument in args], {key: refill(each) for key, each in kwargs.items()}


def _check_result(result: Any) -> None:
    if result is None:
        return
    if not isinstance(result, torch.Tensor) or not all(type(size) is int for size in result.shape):
        raise InvalidPlan("the shape of the result depends on data")
    require(result.dim() <= MAX_RANK, f"a result of more than {MAX_RANK} dimensions")


@cache
def _parameters(name: str) -> tuple[tuple[str, Any], ...]:
    """Names and defaults of the operation's parameters, in the order of its schema."""
    return tuple((argument.name, argument.default_value) for argument in ALLOWED[name]._schema.arguments)


def _in_order(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    parameters = _parameters(name)
    return [*args, *(kwargs.get(parameter, default) for parameter, default in parameters[len(args) :])]


def _dense_places(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], operands: Sequence[torch.Tensor]
) -> Iterator[int]:
    wanted = PRECONDITIONS[name].dense
    if not wanted:
        return
    named = {parameter: value for (parameter, _), value in zip(_parameters(name), args, strict=False)}
    for parameter, value in {**named, **kwargs}.items():
        if parameter in wanted and isinstance(value, torch.Tensor):
            yield from (place for place, operand in enumerate(operands) if operand is value)


def _place(operands: Sequence[torch.Tensor], looked_at: torch.Tensor) -> int:
    return next(place for place, operand in enumerate(operands) if operand is looked_at)


def _flops(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], given: Any, tensors: Sequence[torch.Tensor]
) -> int:
    from torch.utils.flop_counter import flop_registry

    formula = flop_registry.get(ALLOWED[name].overloadpacket)
    elements = costs.touched(tensors)
    if formula is None:
        return elements
    slow = costs.SLOW if any(tensor.dtype not in _FAST for tensor in tensors) else 1
    return max(slow * int(formula(*args, **kwargs, out_val=given)), elements)
