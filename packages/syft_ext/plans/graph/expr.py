"""Size expressions: ``int | float | ["sym", name] | [operator, expr, expr]``.

A plan traced with a symbolic batch stores sizes such as ``B * 392`` in this form, so that its graph holds
tensor operations only. Everything here is total: a hostile expression raises :class:`InvalidPlan`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from syft_ext.errors import InvalidPlan

__all__ = ["Expr", "Number", "check_expr", "eval_shape", "evaluate", "format_expr", "symbols_in"]

Expr: TypeAlias = Any  # recursive; check_expr is what proves the form
Number: TypeAlias = int | float

_MAX_DEPTH = 16
_LIMIT = 1 << 62
_BINARY: dict[str, Callable[[Any, Any], Number]] = {
    "+": lambda a, b: a + b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "/": lambda a, b: a / b,
    "max": max,
    "min": min,
}


def check_expr(expr: Expr, symbols: Mapping[str, Any], depth: int = 0) -> None:
    """Prove that ``expr`` has the form above and names known symbols only."""
    if type(expr) in (int, float):
        return
    if type(expr) is not list or len(expr) < 2 or depth > _MAX_DEPTH or type(expr[0]) is not str:
        raise InvalidPlan("malformed size expression")
    operator = expr[0]
    if operator == "sym":
        if len(expr) != 2 or type(expr[1]) is not str or expr[1] not in symbols:
            raise InvalidPlan("a size expression names an unknown symbol")
        return
    arity = 1 if operator == "float" else 2 if operator in _BINARY else 0
    if arity == 0 or len(expr) != arity + 1:
        raise InvalidPlan("malformed size expression")
    for part in expr[1:]:
        check_expr(part, symbols, depth + 1)


def evaluate(expr: Expr, binding: Mapping[str, int]) -> Number:
    """The value of a checked expression; every intermediate value must be finite and below 2**62."""
    if type(expr) is list:
        operator = expr[0]
        if operator == "sym":
            return binding[expr[1]]
        parts = [evaluate(part, binding) for part in expr[1:]]
        try:
            value = float(parts[0]) if operator == "float" else _BINARY[operator](*parts)
        except (ZeroDivisionError, OverflowError) as error:
            raise InvalidPlan("a size expression divides by zero or overflows") from error
    else:
        value = expr
    if not math.isfinite(value) or abs(value) >= _LIMIT:
        raise InvalidPlan("a size expression leaves the range of sizes", value=str(value)[:40])
    return value


def eval_shape(shape: list[Expr], binding: Mapping[str, int]) -> tuple[int, ...]:
    """Evaluate a shape; every size must be a non-negative integer."""
    sizes = tuple(evaluate(expr, binding) for expr in shape)
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise InvalidPlan("a shape has a size that is not a non-negative integer")
    return sizes  # type: ignore[return-value]  # all() above proves that they are ints


def symbols_in(expr: Expr) -> set[str]:
    """Names of the symbols that a checked expression uses."""
    if type(expr) is not list:
        return set()
    if expr[0] == "sym":
        return {expr[1]}
    return {name for part in expr[1:] for name in symbols_in(part)}


def format_expr(expr: Expr) -> str:
    """Readable text, e.g. ``(B*392)``."""
    if type(expr) is not list:
        return str(expr)
    if expr[0] == "sym":
        return str(expr[1])
    if expr[0] in ("float", "max", "min"):
        return f"{expr[0]}({', '.join(format_expr(part) for part in expr[1:])})"
    return f"({format_expr(expr[1])}{expr[0]}{format_expr(expr[2])})"
