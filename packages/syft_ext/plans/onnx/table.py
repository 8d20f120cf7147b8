"""Which function says which operation in ONNX. Each family of operations is a file that fills this table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from syft_ext.plans.onnx.types import Value

__all__ = ["TRANSLATORS", "Result", "Translator", "translates"]

Result: TypeAlias = Value | Sequence[Value | None]
"""What a translator gives: a value, or as many as the operation has results; None for one that it leaves
out."""

Translator: TypeAlias = Callable[..., Result]
"""Takes the builder, then the operation's arguments by the names of its schema: values, numbers, lists of
them, and types by their short names. Raises :class:`~syft_ext.errors.Unsupported` for what it cannot say
exactly."""

TRANSLATORS: dict[str, Translator] = {}


_Function = TypeVar("_Function", bound=Translator)


def translates(*names: str) -> Callable[[_Function], _Function]:
    """Enter a function for these operations: ``"add.Tensor"`` is ``aten.add.Tensor``."""

    def enter(function: _Function) -> _Function:
        for name in names:
            assert f"aten.{name}" not in TRANSLATORS, name
            TRANSLATORS[f"aten.{name}"] = function
        return function

    return enter


def enter_all(functions: dict[str, Any], made: Callable[[Any], Translator]) -> None:
    """Enter one function for each of ``functions``, made from what stands there."""
    for name, how in functions.items():
        translates(name)(made(how))
