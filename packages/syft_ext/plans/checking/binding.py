"""From a call to flat tensors: arguments by position or name, nested as in the traced function; symbols bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from syft_ext.errors import InvalidPlan
from syft_ext.plans.checking.noise import drawn_noise
from syft_ext.plans.checking.validate import tree_leaves
from syft_ext.plans.graph.document import Const, Document, Input
from syft_ext.plans.graph.dtypes import DTYPES, dtype_name
from syft_ext.plans.graph.expr import eval_shape, format_expr

__all__ = ["Binder", "const_tensor", "nest"]


def const_tensor(const: Const) -> torch.Tensor:
    """A fresh tensor with the constant's values."""
    if not const.raw:
        return torch.zeros(const.shape, dtype=DTYPES[const.dtype])
    return torch.frombuffer(bytearray(const.raw), dtype=DTYPES[const.dtype]).reshape(const.shape)


def nest(tree: Any, values: Sequence[Any]) -> Any:
    """Put flat ``values`` back into the structure that ``tree`` describes."""
    if type(tree) is int:
        return values[tree]
    if tree[0] == "d":
        return {key: nest(child, values) for key, child in tree[1:]}
    parts = [nest(child, values) for child in tree[1:]]
    return tuple(parts) if tree[0] == "t" else parts


class Binder:
    """Flattens the arguments of one plan, checks their types and finds the value of every symbol."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.defaults = [None if i.default is None else const_tensor(i.default) for i in document.inputs]
        self.dtypes = [DTYPES[i.dtype] for i in document.inputs]
        self.static = [
            tuple(i.shape) if all(type(size) is int for size in i.shape) else None for i in document.inputs
        ]
        self.where = self._locate_symbols()
        # A sequence that holds exactly the inputs, in order, needs no walk.
        self.flat_trees = [a.tree if type(a.tree) is int else None for a in document.arguments]

    def _locate_symbols(self) -> dict[str, tuple[int, int]]:
        where: dict[str, tuple[int, int]] = {}
        for index, item in enumerate(self.document.inputs):
            for dim, expr in enumerate(item.shape):
                if type(expr) is list and expr[0] == "sym":
                    where.setdefault(expr[1], (index, dim))
        missing = set(self.document.symbols) - set(where)
        if missing:
            raise InvalidPlan(f"no input has the symbol {min(missing)} as a size")
        return where

    def flatten(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[torch.Tensor]:
        """The inputs in plan order. Numbers become tensors; what is left out takes its default."""
        arguments = self.document.arguments
        if len(args) > len(arguments):
            raise InvalidPlan(f"the plan takes {len(arguments)} arguments, {len(args)} were given")
        given = {argument.name: value for argument, value in zip(arguments, args, strict=False)}
        for key, value in kwargs.items():
            if key in given:
                raise InvalidPlan(f"argument {key} is given twice")
            given[key] = value
        flat: list[torch.Tensor] = []
        for argument, leaf in zip(arguments, self.flat_trees, strict=True):
            if argument.name in given:
                value = given.pop(argument.name)
                if any(self.document.inputs[each].role == "noise" for each in tree_leaves(argument.tree)):
                    raise InvalidPlan(f"argument {argument.name} is noise: it is drawn where the plan runs")
                if leaf is not None:
                    flat.append(self._leaf(leaf, value))
                else:
                    self._collect(argument.tree, value, argument.name, flat)
            else:
                flat.extend(self._default(index) for index in tree_leaves(argument.tree))
        if given:
            known = ", ".join(argument.name for argument in arguments)
            raise InvalidPlan(f"no argument {min(given)[:80]!r}; the plan takes {known}")
        return flat

    def _default(self, index: int) -> torch.Tensor:
        if self.document.inputs[index].role == "noise":
            return drawn_noise(self.document.inputs[index])
        default = self.defaults[index]
        if default is None:
            raise InvalidPlan(f"argument {self.document.inputs[index].name} is missing and has no default")
        return default

    def _collect(self, tree: Any, value: Any, name: str, flat: list[torch.Tensor]) -> None:
        if type(tree) is int:
            flat.append(self._leaf(tree, value))
        elif tree[0] == "d":
            keys = [key for key, _ in tree[1:]]
            if not isinstance(value, Mapping) or set(value) != set(keys):
                raise InvalidPlan(
                    f"argument {name}: a mapping with the keys {', '.join(keys)[:200]} is needed"
                )
            for key, child in tree[1:]:
                self._collect(child, value[key], f"{name}.{key}", flat)
        else:
            if isinstance(value, torch.Tensor) or not isinstance(value, Sequence):
                value = list(value) if hasattr(value, "__next__") else value
            if not isinstance(value, Sequence) or len(value) != len(tree) - 1:
                raise InvalidPlan(f"argument {name}: a list of {len(tree) - 1} is needed")
            for position, (child, part) in enumerate(zip(tree[1:], value, strict=True)):
                self._collect(child, part, f"{name}.{position}", flat)

    def _leaf(self, index: int, value: Any) -> torch.Tensor:
        if isinstance(value, torch.Tensor):
            return value
        item = self.document.inputs[index]
        if isinstance(value, int | float) and eval_numel(item) == 1:
            if isinstance(value, float) and not self.dtypes[index].is_floating_point:
                raise InvalidPlan(f"argument {item.name}: {item.dtype} is needed, not a float")
            return torch.full([1] * len(item.shape), value, dtype=self.dtypes[index])
        raise InvalidPlan(f"argument {item.name}: a tensor is needed, not {type(value).__name__}")

    def bind(self, flat: Sequence[torch.Tensor]) -> dict[str, int]:
        """Symbol -> size; :class:`InvalidPlan` names the first input that does not fit."""
        binding: dict[str, int] = {}
        for symbol, (index, dim) in self.where.items():
            shape = flat[index].shape
            if len(shape) != len(self.document.inputs[index].shape):
                raise self._mismatch(index, flat[index])
            size = shape[dim]
            low, high = self.document.symbols[symbol]
            if not low <= size <= high:
                name = self.document.inputs[index].name
                raise InvalidPlan(f"argument {name}: {symbol} = {size} is outside [{low}, {high}]")
            binding[symbol] = size
        for index, (tensor, dtype, static) in enumerate(zip(flat, self.dtypes, self.static, strict=True)):
            wanted = static
            if wanted is None:
                wanted = eval_shape(self.document.inputs[index].shape, binding)
            if tensor.dtype != dtype or tensor.shape != wanted:
                raise self._mismatch(index, tensor)
        return binding

    def _mismatch(self, index: int, tensor: torch.Tensor) -> InvalidPlan:
        item = self.document.inputs[index]
        wanted = f"{item.dtype}[{', '.join(format_expr(e) for e in item.shape)}]"
        found = f"{dtype_name(tensor.dtype) or tensor.dtype}{list(tensor.shape)}"
        return InvalidPlan(f"argument {item.name}: the plan takes {wanted}, this is {found}")


def eval_numel(item: Input) -> int:
    """Elements of an input of static shape; 0 if its shape is symbolic."""
    numel = 1
    for size in item.shape:
        if type(size) is not int:
            return 0
        numel *= size
    return numel
