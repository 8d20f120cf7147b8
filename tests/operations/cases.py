"""Cases for every operation: calls that fit, and such that nearly fit. Equal seeds give equal cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .maker import LARGEST, Argument, Maker
from .operands import Operand
from .templates import TEMPLATES


@dataclass
class Case:
    """One call. ``args`` and ``kwargs`` as the wire has them, references counting ``operands``."""

    op: str
    seed: int
    args: list[Any]
    kwargs: dict[str, Any]
    operands: list[Operand]

    def __str__(self) -> str:
        shown = [f"{o.dtype}{o.shape}{o.strides or ''}+{o.offset} {o.fill}<{o.bound}" for o in self.operands]
        return f"{self.op} --seed {self.seed}: {self.args} {self.kwargs} on {shown}"


def make_case(op: str, seed: int) -> Case | None:
    """The case of this number; None where the template of the operation gives none."""
    maker = Maker(op, seed)
    try:
        args, kwargs = maker.call(TEMPLATES.get(op.removeprefix("aten.")))
    except (IndexError, ValueError, TypeError, OverflowError, RuntimeError, ZeroDivisionError):
        return None
    operands: list[Operand] = []
    wired = [_wire(argument, operands) for argument in args]
    named = {name: _wire(argument, operands) for name, argument in kwargs.items()}
    if sum(operand.room for operand in operands) > LARGEST:
        return None
    return Case(op, seed, wired, named, operands)


def _wire(argument: Argument, operands: list[Operand]) -> Any:
    if isinstance(argument, Operand):
        operands.append(argument)
        return ["r", len(operands) - 1]
    if isinstance(argument, tuple):
        return ["l", *(_wire(part, operands) for part in argument)]
    return argument
