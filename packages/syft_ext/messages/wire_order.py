"""Messages that derive from shared options, with their fields in the order that their bytes have always had."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import takewhile
from typing import Any, TypeVar, get_type_hints

import msgspec

from syft_ext.messages.operation import Message

__all__ = ["wire_order"]

M = TypeVar("M", bound=Message)


def wire_order(*first: str) -> Callable[[type[M]], type[M]]:
    """Put the fields ``first`` first in the decorated message; the others follow in the order of derivation.

    In a derived struct the fields of its base come first, in msgpack too. Nodes read them in any order; but what
    is remembered by its bytes or compared with a recording should not change because a declaration moved.
    """

    def reorder(message: type[M]) -> type[M]:
        hints = get_type_hints(message, include_extras=True)
        fields = {each.name: each for each in msgspec.structs.fields(message)}
        names = [*first, *(name for name in fields if name not in first)]
        parameters = inspect.signature(message).parameters
        by_position = list(
            takewhile(lambda name: parameters[name].kind is not inspect.Parameter.KEYWORD_ONLY, names)
        )

        def declared(name: str) -> tuple[Any, ...]:
            field = fields[name]
            if field.default_factory is not msgspec.NODEFAULT:
                return name, hints[name], msgspec.field(default_factory=field.default_factory)
            return (name, hints[name]) if field.required else (name, hints[name], field.default)

        base = msgspec.defstruct(
            message.__name__,
            [declared(name) for name in by_position],
            bases=(Message,),
            module=message.__module__,
        )
        ordered: Any = msgspec.defstruct(
            message.__name__,
            [declared(name) for name in names if name not in by_position],
            bases=(base,),
            module=message.__module__,
            namespace={"__doc__": message.__doc__, "__qualname__": message.__qualname__},
            kw_only=True,
        )
        return ordered  # type: ignore[no-any-return]  # the same fields, so the same to whoever uses it

    return reorder
