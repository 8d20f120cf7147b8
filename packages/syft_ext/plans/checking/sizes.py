"""The size of every symbol of a plan, from the types of flat inputs. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from syft_ext.errors import InvalidPlan
from syft_ext.plans.graph.document import Document
from syft_ext.plans.graph.expr import eval_shape

__all__ = ["bind"]


def bind(document: Document, inputs: Sequence[tuple[str, Sequence[int]]]) -> dict[str, int]:
    """Symbol -> size, from the inputs' shapes; the child checks everything again on the tensors."""
    if len(inputs) != len(document.inputs):
        raise InvalidPlan(f"the plan takes {len(document.inputs)} tensors, {len(inputs)} were given")
    binding: dict[str, int] = {}
    for item, (dtype, shape) in zip(document.inputs, inputs, strict=True):
        if item.dtype != dtype or len(item.shape) != len(shape):
            raise InvalidPlan(f"argument {item.name}: the plan takes another type of tensor")
        for expr, size in zip(item.shape, shape, strict=True):
            if type(expr) is list and expr[0] == "sym":
                binding.setdefault(expr[1], size)
    for symbol, (low, high) in document.symbols.items():
        if symbol not in binding:
            raise InvalidPlan(f"no input has the symbol {symbol} as a size")
        if not low <= binding[symbol] <= high:
            raise InvalidPlan(f"{symbol} = {binding[symbol]} is outside [{low}, {high}]")
    for item, (_, shape) in zip(document.inputs, inputs, strict=True):
        if tuple(eval_shape(item.shape, binding)) != tuple(shape):
            raise InvalidPlan(f"argument {item.name}: the plan takes another shape")
    return binding
