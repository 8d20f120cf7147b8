"""What a traced function decided on sizes: a plan holds one branch, so it holds only where that branch is taken.

Torch notes every decision on a symbolic size as a guard. Those that fix a size are errors. Those that code outside
torch asked for, the user's or a library's, narrow the bounds of the symbol (``if x.shape[0] >= 5``) or, where
bounds cannot say it, are errors too. Those of torch itself mostly choose among kernels for the same operation, and
then mean nothing for the plan: on the other side of each, the plan is held against the function
(:mod:`syft_ext.plans.tracing.claims`). Sizes 0 and 1 leave no guard: 0 is never claimed, 1 is tried so, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from syft_ext.plans.tracing.errors import SourceLine, TraceError, user_line
from syft_ext.source_roots import PACKAGE

__all__ = ["MAX_SIZE", "Branch", "check_fixed", "doubtful_sizes", "size_bounds", "watch"]

MAX_SIZE = 1 << 16
_TORCH = (str(Path(torch.__file__).parent), str(PACKAGE), "<")
# Where torch turns ``a < b`` on sizes into a bool, on the way from the caller to the guard.
_MACHINERY = (
    "symbolic_shapes.py",
    "sym_node.py",
    "recording.py",
    "proxy_tensor.py",
    "torch/__init__.py",
    "_stats.py",
)


@dataclass(frozen=True, slots=True)
class Branch:
    """A decision on sizes (a sympy relation), the user's line where it was taken, and whether torch asked."""

    expr: Any
    line: SourceLine
    by_torch: bool


class _Guards(list[Any]):
    def __init__(self, branches: list[Branch]) -> None:
        super().__init__()
        self.branches = branches

    def append(self, guard: Any) -> None:
        super().append(guard)
        self.branches.append(Branch(guard.expr, user_line(), _asked_by_torch(sys._getframe(1))))


def _asked_by_torch(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename.endswith(_MACHINERY):
        frame = frame.f_back
    return frame is None or frame.f_code.co_filename.startswith(_TORCH)


def watch(env: ShapeEnv) -> list[Branch]:
    """The decisions taken on sizes of ``env`` from now on, as they come."""
    branches: list[Branch] = []
    env.guards = _Guards(branches)
    return branches


def check_fixed(branches: list[Branch], symbols: Mapping[Any, str]) -> None:
    """Raise :class:`TraceError` if a size that should vary was fixed, or bounds cannot express a user's branch."""
    for branch in branches:
        names = sorted(symbols[s] for s in branch.expr.free_symbols if s in symbols)
        kind = type(branch.expr).__name__
        if not names:
            continue
        facts: dict[str, Any] = {"symbol": names[0], "file": branch.line.file, "line": branch.line.number}
        if kind == "Equality":
            raise TraceError(
                f"{branch.line} fixes the size {names[0]} that should vary ({_named(branch.expr, symbols)})",
                hint=f"use x.shape[0] or -1 where the code has a number, or declare {names[0]} a fixed size",
                **facts,
            )
        if not branch.by_torch and (len(names) > 1 or kind == "Unequality"):
            raise TraceError(
                f"{branch.line} takes another way depending on {' and '.join(names)}"
                f" ({_named(branch.expr, symbols)} here), and a plan has one way only",
                hint="torch.where for a choice, or one plan for each case",
                **facts,
            )


def _named(expr: Any, symbols: Mapping[Any, str]) -> str:
    text = str(expr)
    for symbol, name in symbols.items():
        text = text.replace(str(symbol), name)
    return text


def size_bounds(
    branches: list[Branch], symbols: Mapping[Any, str], hints: Mapping[str, int]
) -> dict[str, tuple[int, int]]:
    """Inclusive bounds of every symbol within which branches outside torch go the recorded way.

    ``hints`` are the sizes of the trace: inside the bounds by definition.
    """
    bounds = {}
    for symbol, name in symbols.items():
        holds = _holds(
            [b.expr for b in branches if not b.by_torch and b.expr.free_symbols == {symbol}], symbol
        )
        bounds[name] = (_edge(holds, hints[name], 1), _edge(holds, hints[name], MAX_SIZE))
    return bounds


def doubtful_sizes(
    branches: list[Branch], symbols: Mapping[Any, str], hints: Mapping[str, int]
) -> dict[str, set[int]]:
    """Of every symbol, the sizes next to those at which torch's own branches go the recorded way."""
    doubtful: dict[str, set[int]] = {}
    for symbol, name in symbols.items():
        found = doubtful.setdefault(name, set())
        for branch in branches:
            if branch.by_torch and branch.expr.free_symbols == {symbol}:
                holds = _holds([branch.expr], symbol)
                low, high = _edge(holds, hints[name], 1), _edge(holds, hints[name], MAX_SIZE)
                found |= {low - 1, high + 1}
                if type(branch.expr).__name__ == "Unequality":
                    found |= {size for size in range(1, 65) if not holds(size)}
        found -= {0, MAX_SIZE + 1}
    return doubtful


def _holds(relations: list[Any], symbol: Any) -> Callable[[int], bool]:
    return lambda size: all(bool(relation.subs(symbol, size)) for relation in relations)


def _edge(holds: Callable[[int], bool], inside: int, end: int) -> int:
    """The last size from ``inside`` towards ``end`` that holds, by bisection."""
    if holds(end):
        return end
    outside = end
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return inside
