"""A plan as the program of a computation on shares: its operations in order, each by its protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from syft_ext.errors import GridError, InvalidPlan, Unsupported
from syft_ext.mpc.engine import ShareEngine, Steps
from syft_ext.mpc.shares import ShareTensor
from syft_ext.mpc.table import HANDLERS
from syft_ext.plans.checking.binding import const_tensor
from syft_ext.plans.graph.document import Document, Node
from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.plans.graph.expr import evaluate
from syft_ext.plans.graph.ops import ALLOWED, result_count

__all__ = ["check_protocols", "interpret"]


def check_protocols(document: Document, shared: Sequence[bool]) -> None:
    """Raise :class:`Unsupported`, naming the operation, where one that gets shares has no protocol.

    ``shared``: which of the plan's inputs are. No values are needed, and none are made.
    """
    secret = [*shared, *(False for _ in document.consts)]
    for node in document.nodes:
        touched = any(
            secret[place] for argument in (*node.args, *node.kwargs.values()) for place in _places(argument)
        )
        name = document.ops[node.op]
        if touched and name not in HANDLERS:
            raise Unsupported(f"{name} has no protocol on shares", op=name)
        public = name.split(".")[1] in ("ones_like", "zeros_like", "full_like")
        secret += [touched and not public] * node.outs


def _places(argument: Any) -> list[int]:
    if type(argument) is not list:
        return []
    if argument[0] == "r":
        return [argument[1]]
    if argument[0] == "l":
        return [place for part in argument[1:] for place in _places(part)]
    return []


def interpret(
    engine: ShareEngine,
    document: Document,
    inputs: Sequence[ShareTensor | torch.Tensor],
    binding: Mapping[str, int],
) -> Steps[list[ShareTensor | torch.Tensor]]:
    """One run: flat inputs, shared or public, to the plan's flat outputs. ``binding``: of its sizes.

    Raises :class:`Unsupported` for an operation without a protocol. Nothing is opened but what protocols mask.
    """
    values: list[Any] = [*inputs, *(const_tensor(const) for const in document.consts)]
    last = _last_uses(document)
    first = len(values)
    for number, node in enumerate(document.nodes):
        values += yield from _results(engine, document.ops[node.op], node, values, binding)
        for place in last.get(number, ()):
            if place >= first:
                values[place] = None  # memory
    return [values[output.id] for output in document.outputs]


def _last_uses(document: Document) -> dict[int, list[int]]:
    kept = {output.id for output in document.outputs}
    last: dict[int, int] = {}
    for number, node in enumerate(document.nodes):
        for argument in (*node.args, *node.kwargs.values()):
            last.update(dict.fromkeys(_places(argument), number))
    found: dict[int, list[int]] = {}
    for place, number in last.items():
        if place not in kept:
            found.setdefault(number, []).append(place)
    return found


def _results(
    engine: ShareEngine, name: str, node: Node, values: Sequence[Any], binding: Mapping[str, int]
) -> Steps[list[Any]]:
    args = [_argument(each, values, binding) for each in node.args]
    kwargs = {key: _argument(each, values, binding) for key, each in node.kwargs.items()}
    if any(_shared(each) for each in (*args, *kwargs.values())):
        handler = HANDLERS.get(name)
        if handler is None:
            raise Unsupported(f"{name} has no protocol on shares", op=name)
        try:
            found = yield from handler(engine, *args, **kwargs)
        except GridError:
            raise
        except (
            TypeError,
            ValueError,
            AttributeError,
        ) as error:  # an argument that this protocol does not take
            raise Unsupported(f"{name} with these arguments has no protocol on shares", op=name) from error
    else:
        found = ALLOWED[name](*args, **kwargs)
    return [found] if result_count(name) == 1 else list(found)


def _shared(argument: Any) -> bool:
    if isinstance(argument, list):
        return any(map(_shared, argument))
    return isinstance(argument, ShareTensor)


def _argument(argument: Any, values: Sequence[Any], binding: Mapping[str, int]) -> Any:
    if type(argument) is not list:
        return argument
    match argument[0]:
        case "r":
            value = values[argument[1]]
            if value is None:
                raise InvalidPlan("the plan uses the place of a largest value, which is not known on shares")
            return value
        case "l":
            return [_argument(each, values, binding) for each in argument[1:]]
        case "s":
            return evaluate(argument[1], binding)
        case _:
            return DTYPES[argument[1]]
