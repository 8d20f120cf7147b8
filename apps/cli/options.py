"""Options of commands, made from the declarations that messages and the SDK are made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec
from msgspec import inspect

from syft_ext.messages.parameters import described

__all__ = ["options_of"]

F = TypeVar("F", bound=Callable[..., Any])
_UNBOUNDED = 1 << 62  # what fits into a database; nobody needs to be told


def options_of(declaration: type[msgspec.Struct], *, skip: tuple[str, ...] = ()) -> Callable[[F], F]:
    """One option for each field of the struct but those to ``skip``, under the field's name, with its description.

    Bounds and choices are checked as the node will check them. A field of several values (``tags``) is an option
    that can be repeated (``--tag``).
    """
    info = inspect.type_info(declaration)
    assert isinstance(info, inspect.StructType)
    help_of = described(declaration)
    fields = [field for field in info.fields if field.name not in skip]

    def decorate(command: F) -> F:
        for field in reversed(fields):  # click lists the last one that was added first
            command = _option(field, help_of.get(field.name, ""))(command)
        return command

    return decorate


def _option(field: inspect.Field, text: str) -> Callable[[F], F]:
    kind, several = _bare(field.type), False
    if isinstance(kind, inspect.ListType):
        kind, several = _bare(kind.item_type), True
        text += " Can be repeated."
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    flag = "--" + field.name.replace("_", "-")
    return click.option(
        flag.removesuffix("s") if several else flag,
        field.name,
        type=_parameter(kind),
        multiple=several,
        # "" is among no choices: it stands for none of them.
        default=None if isinstance(kind, inspect.LiteralType) and default == "" else default,
        show_default=default not in (None, "", []),
        callback=lambda context, parameter, value: _given(value, default),
        help=text,
    )


def _given(value: Any, default: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return default if value is None else value


def _bare(kind: inspect.Type) -> inspect.Type:
    """The type without its description, and without None."""
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            kind = kind.type
        else:
            (kind,) = (each for each in kind.types if not isinstance(each, inspect.NoneType))
    return kind


def _parameter(kind: inspect.Type) -> click.ParamType[Any]:
    """How click reads one value of it."""
    if isinstance(kind, inspect.LiteralType):
        return click.Choice([str(each) for each in kind.values if each != ""])
    if isinstance(kind, inspect.IntType):
        least = kind.ge if kind.gt is None else kind.gt + 1
        most = kind.le if kind.lt is None else kind.lt - 1
        return click.IntRange(least, None if most == _UNBOUNDED else most)
    if isinstance(kind, inspect.FloatType):
        low, high = (kind.ge if kind.gt is None else kind.gt), (kind.le if kind.lt is None else kind.lt)
        return click.FloatRange(low, high, min_open=kind.gt is not None, max_open=kind.lt is not None)
    if isinstance(kind, inspect.BoolType):
        return click.BOOL
    if isinstance(kind, inspect.StrType):
        return click.STRING
    raise TypeError(f"no option is made of {kind}")
