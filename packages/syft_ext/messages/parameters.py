"""Methods whose parameters are the fields of a declared value: written once, completed and checked everywhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, get_type_hints

import msgspec

from syft_ext.messages.operation import Message, operation_of

__all__ = ["checked", "described", "parameters_of"]

P = ParamSpec("P")
Value = TypeVar("Value")
Owner = TypeVar("Owner")
Result = TypeVar("Result")
M = TypeVar("M", bound=Message)


def parameters_of(
    declaration: Callable[P, Value],
) -> Callable[[Callable[[Owner, Value], Result]], Callable[Concatenate[Owner, P], Result]]:
    """Let a method take the fields of ``declaration``, a struct; it is given the struct that they make.

    Type checkers and editors see each field as a parameter; so do ``help()`` and notebooks, with its description.
    An option that there is not is a TypeError, as of any function.
    """

    def decorate(method: Callable[[Owner, Value], Result]) -> Callable[Concatenate[Owner, P], Result]:
        @wraps(method)
        def called(self: Owner, /, *args: P.args, **options: P.kwargs) -> Result:
            return method(self, declaration(*args, **options))

        called.__signature__ = _signature(declaration, inspect.signature(method))  # type: ignore[attr-defined]
        lines = [f"    {name}: {text}" for name, text in described(declaration).items()]
        called.__doc__ = f"{inspect.cleandoc(method.__doc__ or '')}\n\nOptions:\n" + "\n".join(lines)
        return called

    return decorate


def _signature(declaration: Any, method: inspect.Signature) -> inspect.Signature:
    """``self``, then the fields with their plain types: bounds and descriptions would hide what they are."""
    hints = get_type_hints(declaration)
    itself = next(iter(method.parameters.values()))
    made = {each.name: each.default_factory for each in msgspec.structs.fields(declaration)}
    fields = [
        each.replace(
            annotation=hints[each.name],
            default=each.default if (make := made[each.name]) is msgspec.NODEFAULT else make(),
        )
        for each in _parameters(declaration)
    ]
    return method.replace(parameters=[itself, *fields])


def _parameters(declaration: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(declaration).parameters.values())


def described(declaration: Any) -> dict[str, str]:
    """Field → what its declaration says of it, for those of which it says something."""
    hints = get_type_hints(declaration, include_extras=True)
    found = {each.name: _description(hints[each.name]) for each in _parameters(declaration)}
    return {name: text for name, text in found.items() if text}


def _description(hint: Any) -> str:
    """The outermost one of an annotated type."""
    metas = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, msgspec.Meta)]
    said = [each.description for each in metas if each.description]
    return said[-1] if said else ""


def checked(message: M) -> M:
    """The message as the node will read it; raises :class:`~syft_ext.errors.BadRequest`, naming the field.

    What holds several values may be anything that can be gone through: a tuple, a set, the columns of a frame.
    """
    fields = {name: _plain(getattr(message, name)) for name in message.__struct_fields__}
    found = operation_of(message).convert(fields)
    assert isinstance(found, type(message))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, str | bytes | Mapping | msgspec.Struct) or not isinstance(value, Iterable):
        return value
    return list(value)
