"""Structure of a decoded plan: every id defined before use, every argument of the type the operation declares.

Runs no operation and allocates no tensor; no torch. Whatever passes here can be executed on fake tensors by
:mod:`syft_ext.plans.checking.check`, which proves shapes and cost.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from syft_ext.errors import InvalidPlan
from syft_ext.plans.graph.document import Const, Document, Input, Node, check_words
from syft_ext.plans.graph.expr import check_expr
from syft_ext.plans.graph.itemsizes import ITEMSIZES
from syft_ext.plans.graph.opset import STRINGS, check_operation
from syft_ext.plans.graph.signatures import signature_of

__all__ = ["check_call", "tree_leaves", "validate"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,127}")
_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_INT64 = 1 << 63
_MAX_RANK = 16
_MAX_LIST = 4096
_MAX_TREE_DEPTH = 8
_NOISY = frozenset({"f64", "f32", "f16", "bf16"})


def validate(document: Document) -> None:
    """Raise :class:`InvalidPlan` unless the document is well-formed."""
    check_words(document)
    _check_header(document)
    for const in document.consts:
        _check_const(const)
    for item in document.inputs:
        _check_typed(item.name, item.dtype, item.shape, document.symbols)
        if item.default is not None:
            _check_const(item.default)
            if item.role == "noise":
                raise InvalidPlan(f"input {item.name}: noise has no default; whoever runs the plan draws it")
            if item.default.dtype != item.dtype or item.default.shape != item.shape:
                raise InvalidPlan(f"input {item.name}: the default has another type than the input")
        if item.role == "noise":
            _check_noise(item)
    _check_tree_cover([a.tree for a in document.arguments], len(document.inputs), "arguments")
    values = _check_nodes(document)
    for output in document.outputs:
        _check_typed(output.name, output.dtype, output.shape, document.symbols)
        if not 0 <= output.id < values:
            raise InvalidPlan(f"output {output.name}: unknown value {output.id}")
    _check_tree_cover([document.result], len(document.outputs), "result")
    _check_selftest(document)


def _check_header(document: Document) -> None:
    if not _NAME.fullmatch(document.name) or len(document.doc) > 16384:
        raise InvalidPlan("the plan's name or description is malformed")
    if len(document.provenance) > 16 or any(
        len(k) > 64 or len(v) > 256 for k, v in document.provenance.items()
    ):
        raise InvalidPlan("the plan's provenance is too long")
    for name, (low, high) in document.symbols.items():
        if not _SYMBOL.fullmatch(name) or not 1 <= low <= high < 1 << 40:
            raise InvalidPlan("a symbol has a malformed name or range")
    _check_unique([a.name for a in document.arguments], "argument")
    _check_unique([i.name for i in document.inputs], "input")
    _check_unique([o.name for o in document.outputs], "output")
    if not document.outputs:
        raise InvalidPlan("the plan returns nothing")
    for name in document.ops:
        check_operation(name, document.opset)
    if len(set(document.ops)) != len(document.ops):
        raise InvalidPlan("the op table names an operation twice")


def _check_noise(item: Input) -> None:
    if item.dtype not in _NOISY or not all(type(size) is int for size in item.shape):
        raise InvalidPlan(f"input {item.name}: noise is of floating-point numbers, and of fixed sizes")


def _check_unique(names: list[str], what: str) -> None:
    if not all(_NAME.fullmatch(name) for name in names) or len(set(names)) != len(names):
        raise InvalidPlan(f"{what} names must be unique identifiers")


def _check_const(const: Const) -> None:
    if const.dtype not in ITEMSIZES or len(const.shape) > _MAX_RANK:
        raise InvalidPlan("a constant has an unknown dtype or too many dimensions")
    if not all(0 <= size < 1 << 48 for size in const.shape):
        raise InvalidPlan("a constant has a malformed shape")
    if math.prod(const.shape) * ITEMSIZES[const.dtype] != len(const.raw):
        raise InvalidPlan("a constant's shape and bytes disagree")
    if const.dtype == "b" and const.raw.translate(None, b"\0\1"):
        raise InvalidPlan("a constant holds a bool that is neither 0 nor 1")


def _check_typed(name: str, dtype: str, shape: list[Any], symbols: Mapping[str, Any]) -> None:
    if dtype not in ITEMSIZES or len(shape) > _MAX_RANK:
        raise InvalidPlan(f"{name}: unknown dtype or too many dimensions")
    for size in shape:
        check_expr(size, symbols)


# --- trees -------------------------------------------------------------------------------------------------


def tree_leaves(tree: Any, depth: int = 0) -> Iterator[int]:
    """The indices at the leaves of a tree, in order; :class:`InvalidPlan` if it is malformed."""
    if type(tree) is int:
        yield tree
        return
    if type(tree) is not list or not tree or depth > _MAX_TREE_DEPTH or tree[0] not in ("l", "t", "d"):
        raise InvalidPlan("malformed structure of arguments or results")
    keys: set[str] = set()
    for part in tree[1:]:
        child = part
        if tree[0] == "d":
            if type(part) is not list or len(part) != 2 or type(part[0]) is not str or part[0] in keys:
                raise InvalidPlan("malformed structure of arguments or results")
            keys.add(part[0])
            child = part[1]
        yield from tree_leaves(child, depth + 1)


def _check_tree_cover(trees: list[Any], count: int, what: str) -> None:
    leaves = [leaf for tree in trees for leaf in tree_leaves(tree)]
    if leaves != list(range(count)):
        raise InvalidPlan(f"the {what} do not name each value once and in order")


# --- nodes -------------------------------------------------------------------------------------------------


def _check_nodes(document: Document) -> int:
    """Check all nodes and return the number of values."""
    defined = len(document.inputs) + len(document.consts)
    for index, node in enumerate(document.nodes):
        if not 0 <= node.op < len(document.ops):
            raise InvalidPlan(f"node {index}: no such operation in the op table")
        name = document.ops[node.op]
        try:
            check_call(name, node, defined, document.symbols)
        except InvalidPlan as error:
            raise InvalidPlan(f"node {index} ({name}): {error.detail}", node=index, op=name) from error
        defined += node.outs
    return defined


@cache
def _signature(name: str) -> tuple[list[tuple[str, str, bool]], dict[str, tuple[str, bool]]]:
    """Positional parameters and all parameters by name: (kind, required)."""
    found = signature_of(name).parameters
    positional = [(each.name, each.kind, each.required) for each in found if not each.keyword_only]
    return positional, {each.name: (each.kind, each.required) for each in found}


def check_call(name: str, node: Node, defined: int, symbols: Mapping[str, Any]) -> None:
    """Raise :class:`InvalidPlan` unless the node's arguments fit the operation ``name``, one of the op set.

    Values are known that are smaller than ``defined``.
    """
    if node.outs != signature_of(name).results:
        raise InvalidPlan("wrong number of results")
    positional, by_name = _signature(name)
    if len(node.args) > len(positional):
        raise InvalidPlan("too many arguments")
    given = {parameter[0]: value for parameter, value in zip(positional, node.args, strict=False)}
    for key, value in node.kwargs.items():
        if key not in by_name or key in given or key == "pin_memory":
            raise InvalidPlan("unknown or repeated keyword argument")
        given[key] = value
    for key, (kind, required) in by_name.items():
        if key in given:
            _check_argument(name, key, kind, given[key], defined, symbols)
        elif required:
            raise InvalidPlan(f"argument {key} is missing")


def _check_argument(
    op: str, key: str, kind: str, value: Any, defined: int, symbols: Mapping[str, Any]
) -> None:
    if kind.startswith("Optional["):
        if value is None:
            return
        kind = kind[len("Optional[") : -1]
    if kind.startswith("List["):
        if type(value) is not list or not value or value[0] != "l" or len(value) > _MAX_LIST:
            raise InvalidPlan(f"argument {key}: a list is needed")
        for part in value[1:]:
            _check_argument(op, key, kind[len("List[") : -1], part, defined, symbols)
        return
    # ATen wraps a number given for a later tensor operand (``x * 2.0``) in a 0-dim tensor.
    if kind == "Tensor" and key != "self" and (type(value) in (int, float) or _tag(value) == "s"):
        kind = "number"
    if not _fits(op, key, kind, value, defined, symbols):
        raise InvalidPlan(f"argument {key}: not a {kind}")


def _tag(value: Any) -> Any:
    return value[0] if type(value) is list and len(value) == 2 else None


def _fits(op: str, key: str, kind: str, value: Any, defined: int, symbols: Mapping[str, Any]) -> bool:
    tag = _tag(value)
    if kind == "Tensor":
        return tag == "r" and type(value[1]) is int and 0 <= value[1] < defined
    if kind == "ScalarType":
        return tag == "d" and type(value[1]) is str and value[1] in ITEMSIZES
    if kind == "str":
        return type(value) is str and value in STRINGS.get((op, key), ())
    if kind == "bool":
        return type(value) is bool
    if kind not in ("int", "float", "number"):
        return False  # Layout, Device, MemoryFormat, Generator: only the executor decides on those
    if tag == "s":
        check_expr(value[1], symbols)
        return True
    if type(value) is int:
        return -_INT64 <= value < _INT64
    return (type(value) is float and kind != "int") or (type(value) is bool and kind == "number")


def _check_selftest(document: Document) -> None:
    test = document.selftest
    if set(test.symbols) != set(document.symbols):
        raise InvalidPlan("the self-test binds other symbols than the plan")
    for name, value in test.symbols.items():
        low, high = document.symbols[name]
        if not low <= value <= min(high, 4096):
            raise InvalidPlan("the self-test binds a symbol outside its range")
    if len(test.inputs) != len(document.inputs) or len(test.outputs) != len(document.outputs):
        raise InvalidPlan("the self-test does not match the plan's inputs and outputs")
    if not 0 <= test.seed < 1 << 32 or not (0 <= test.rtol <= 0.1 and 0 <= test.atol <= 0.1):
        raise InvalidPlan("the self-test has a malformed seed or tolerance")
    for generator, item in zip(test.inputs, document.inputs, strict=True):
        finite = math.isfinite(generator.low) and math.isfinite(generator.high)
        if not finite or not -(2**53) <= generator.low <= generator.high <= 2**53:
            raise InvalidPlan("the self-test has a malformed range")
        if generator.kind == "default" and item.default is None:
            raise InvalidPlan("the self-test uses a default that the input does not have")
    if any(len(summary.first) > 8 or len(summary.shape) > _MAX_RANK for summary in test.outputs):
        raise InvalidPlan("the self-test's results are malformed")
