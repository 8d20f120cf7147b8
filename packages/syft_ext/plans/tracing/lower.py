"""From a traced graph to a plan document: tensors become value ids, size arithmetic becomes expressions."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Node as FxNode

from syft_ext.plans.graph.document import Const, Node
from syft_ext.plans.graph.dtypes import dtype_name
from syft_ext.plans.graph.ops import ALLOWED, result_count
from syft_ext.plans.tracing.errors import TraceError, hint_for_op
from syft_ext.plans.tracing.graph import Traced
from syft_ext.tensors import raw_bytes

__all__ = ["STORAGE", "Lowered", "const_of", "lower", "shape_of"]

# Keywords that only say where and how a tensor is stored; the executor decides on those.
STORAGE = frozenset({"device", "layout", "pin_memory", "memory_format", "non_blocking"})
_OPERATORS = {
    "Add": "+",
    "Mul": "*",
    "FloorDiv": "//",
    "CleanDiv": "//",
    "Mod": "%",
    "PythonMod": "%",
    "Max": "max",
    "Min": "min",
    "IntTrueDiv": "/",
    "FloatTrueDiv": "/",
}


@dataclass
class Lowered:
    """The parts of a document that come from the graph."""

    consts: list[Const] = field(default_factory=list)
    ops: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    outputs: list[tuple[int, str, list[Any]]] = field(default_factory=list)


def const_of(tensor: torch.Tensor, name: str = "a constant") -> Const:
    """The tensor's values as plan data."""
    dtype = dtype_name(tensor.dtype)
    if dtype is None:
        raise TraceError(f"{name} is a {tensor.dtype}", hint="a real, integer or boolean dtype")
    return Const(dtype, list(tensor.shape), raw_bytes(tensor).numpy().tobytes())


def shape_of(tensor: torch.Tensor, symbols: Mapping[Any, str]) -> list[Any]:
    """A traced tensor's shape as size expressions."""
    return [
        _expression(size.node.expr, symbols) if isinstance(size, torch.SymInt) else int(size)
        for size in tensor.shape
    ]


def lower(traced: Traced) -> Lowered:
    """Raises :class:`TraceError` for what the op set or the format cannot hold."""
    return _Lowering(traced).run()


def _expression(expr: Any, symbols: Mapping[Any, str]) -> Any:
    if isinstance(expr, int | float):
        return expr
    if expr.is_Integer:
        return int(expr)
    if expr.is_Float or expr.is_Rational:
        return float(expr)
    if expr.is_Symbol:
        if expr not in symbols:
            raise TraceError(
                "a size depends on data", hint="results of fixed size: torch.where instead of selection"
            )
        return ["sym", symbols[expr]]
    kind = type(expr).__name__
    parts = [_expression(part, symbols) for part in expr.args]
    if kind == "ToFloat":
        return ["float", parts[0]]
    if kind == "Pow" and isinstance(parts[1], int) and 1 <= parts[1] <= 8:
        kind, parts = "Mul", [parts[0]] * parts[1]
    if kind not in _OPERATORS:
        raise TraceError(f"the size {expr} cannot be recorded", hint="sizes built with + - * // %")
    result = parts[0]
    for part in parts[1:]:
        result = [_OPERATORS[kind], result, part]
    return result


class _Lowering:
    def __init__(self, traced: Traced) -> None:
        self.traced, self.symbols = traced, traced.symbols
        self.ids: dict[FxNode, int] = {}
        self.first_result: dict[FxNode, int] = {}  # of operations with several results
        self.lowered = Lowered()
        self.op_index: dict[str, int] = {}

    def run(self) -> Lowered:
        graph = self.traced.graph.graph
        placeholders = [node for node in graph.nodes if node.op == "placeholder"]
        inputs = len(placeholders) - len(self.traced.constants)
        for node in placeholders[:inputs]:
            self.ids[node] = len(self.ids)
        for node, constant in zip(placeholders[inputs:], self.traced.constants, strict=True):
            if node.users:
                self.ids[node] = len(self.ids)
                self.lowered.consts.append(const_of(constant))
        self.next_id = len(self.ids)
        for node in graph.nodes:
            if node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                self.lowered.outputs = [self._output(result) for result in node.args[0]]
        return self.lowered

    def _output(self, node: FxNode) -> tuple[int, str, list[Any]]:
        value = node.meta["val"]
        dtype = dtype_name(value.dtype)
        if dtype is None:
            raise TraceError(f"the function returns a {value.dtype}", hint="a real, integer or boolean dtype")
        return self.ids[node], dtype, shape_of(value, self.symbols)

    def _call(self, node: FxNode) -> None:
        value = node.meta.get("val")
        if node.target is operator.getitem:
            source, index = node.args
            assert isinstance(source, FxNode) and isinstance(index, int)
            self.ids[node] = self.first_result[source] + index
            return
        if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
            return  # folded into the expressions of whoever uses it
        name = str(node.target)
        if name not in ALLOWED:
            raise TraceError(
                f"{self.traced.recorder.line_of(name)} uses {name}, which a plan cannot hold",
                hint=hint_for_op(name),
                op=name,
            )
        kwargs = {
            key: self._argument(argument, name)
            for key, argument in node.kwargs.items()
            if key not in STORAGE and argument is not None
        }
        outs = result_count(name)
        index = self.op_index.setdefault(name, len(self.op_index))
        if index == len(self.lowered.ops):
            self.lowered.ops.append(name)
        args = [self._argument(argument, name) for argument in node.args]
        self.lowered.nodes.append(Node(index, args, kwargs, outs))
        (self.ids if outs == 1 else self.first_result)[node] = self.next_id
        self.next_id += outs

    def _argument(self, argument: Any, op: str) -> Any:
        if isinstance(argument, FxNode):
            value = argument.meta.get("val")
            if isinstance(value, torch.SymInt | torch.SymFloat):
                return self._size(value)
            return ["r", self.ids[argument]]
        if isinstance(argument, torch.SymInt | torch.SymFloat):
            return self._size(argument)
        if isinstance(argument, torch.dtype):
            dtype = dtype_name(argument)
            if dtype is not None:
                return ["d", dtype]
        elif argument is None or isinstance(argument, bool | int | float | str):
            return argument
        elif isinstance(argument, list | tuple):
            return ["l", *(self._argument(part, op) for part in argument)]
        elif isinstance(argument, torch.device | torch.layout | torch.memory_format):
            return None
        raise TraceError(
            f"{self.traced.recorder.line_of(op)} passes {argument} to {op}", hint="real dtypes, plain numbers"
        )

    def _size(self, value: torch.SymInt | torch.SymFloat) -> Any:
        expression = _expression(value.node.expr, self.symbols)
        return ["s", expression] if type(expression) is list else expression
