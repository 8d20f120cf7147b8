"""Why a value is not what was declared: msgspec says what is wrong, here also what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import inspect

__all__ = ["misfit_in_words"]

_MISFIT = re.compile(
    r"(?s)(?P<what>Invalid enum value (?P<value>.*?)|Object contains unknown field `(?P<field>.*?)`)"
    r"(?: - at `\$(?P<path>[^`]*)`)?"
)
_STEP = re.compile(r"\.(\w+)|\[(?:\d+|\.\.\.)\]")


def misfit_in_words(error: Exception, kind: Any) -> str:
    """msgspec's reason; where a choice or field is not known, with those that are.

    Args:
        error: what converting or decoding to ``kind`` raised.
    """
    found = _MISFIT.fullmatch(str(error))
    if found is None:
        return str(error)
    path = found["path"] or ""
    at = _at([inspect.type_info(kind)], path)
    known = [name for each in at for name in _known(each, fields=found["field"] is not None)]
    if not known:
        return str(error)
    listed = ", ".join(dict.fromkeys(known))
    if found["field"] is not None:
        of = f" in {path.lstrip('.')}" if path else ""
        return f"there is no field {found['field']!r}{of}; there are: {listed}"
    return f"{path.lstrip('.') or 'it'} cannot be {found['value']}; it can be: {listed}"


def _at(kinds: list[inspect.Type], path: str) -> list[inspect.Type]:
    """What may stand at a path of the error: of a union, in any of its kinds."""
    for step in _STEP.finditer(path):
        kinds = [below for kind in kinds for bare in _bare(kind) for below in _below(bare, step[1])]
    return [bare for kind in kinds for bare in _bare(kind)]


def _bare(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        yield from _bare(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from _bare(each)
    else:
        yield kind


def _below(kind: inspect.Type, name: str | None) -> list[inspect.Type]:
    if isinstance(kind, inspect.StructType):
        return [field.type for field in kind.fields if name is not None and field.encode_name == name]
    if name is None and isinstance(kind, inspect.DictType):
        return [kind.value_type]
    if name is None and isinstance(kind, inspect.ListType | inspect.VarTupleType | inspect.SetType):
        return [kind.item_type]
    return []


def _known(kind: inspect.Type, *, fields: bool) -> list[str]:
    if fields:
        return [field.encode_name for field in kind.fields] if isinstance(kind, inspect.StructType) else []
    return (
        [repr(value) for value in kind.values if value != ""] if isinstance(kind, inspect.LiteralType) else []
    )
