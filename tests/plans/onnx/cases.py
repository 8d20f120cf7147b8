"""Calls of every operation of the op set, drawn at random: views, broadcasting, nothing in a dimension,
negative dimensions, NaN and infinities, equals, whole numbers that wrap around, places that are none.

Many do not fit their operation; torch's side says which, and those are not counted.
"""

from __future__ import annotations

from typing import Any

import torch

from syft_ext.plans.graph.ops import ALLOWED, STRINGS

from . import calls_of_numbers, calls_of_places
from .drawing import Call, Draw, name_of

__all__ = ["Call", "draw"]

_MAKERS = {**calls_of_numbers.MAKERS, **calls_of_places.MAKERS}


def draw(name: str, number: int) -> Call:
    """Call ``number`` of the operation ``name``."""
    d = Draw(f"{name} {number}")
    short = name.removeprefix("aten.")
    maker = _MAKERS.get(short)
    return maker(d) if maker is not None else _generic(d, name)


def _generic(d: Draw, name: str) -> Call:
    """From the schema: operands that broadcast, dimensions of the first, numbers, choices."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    first: torch.Tensor | None = None
    for argument in ALLOWED[name]._schema.arguments:
        kind, key = str(argument.real_type), argument.name
        optional = kind.startswith("Optional[")
        kind = kind.removeprefix("Optional[").rstrip("]") if optional else kind
        if argument.has_default_value() and d.chance(0.4):
            if argument.kwarg_only:
                continue
            break
        value: Any
        if kind == "Tensor":
            dtype = None if first is None or d.chance(0.25) else name_of(first)
            shape = d.shape() if first is None else d.broadcast(first.shape)
            value = d.tensor(shape, dtype)
            first = value if first is None else first
        elif kind == "number":
            value = d.number()
        elif kind == "bool":
            value = d.chance(0.5)
        elif kind == "ScalarType":
            value = ("d", d.dtype("f32", "f64", "i64", "i32"))
        elif kind == "str":
            value = d.one(*sorted(STRINGS[(name, key)]))
        elif kind == "int" and key == "dim":
            assert first is not None
            value = d.axis(first)
        elif key in ("dim", "dims"):
            assert first is not None
            value = d.axes(first)
        else:
            continue
        if argument.kwarg_only:
            kwargs[key] = value
        else:
            args.append(value)
    return args, kwargs
