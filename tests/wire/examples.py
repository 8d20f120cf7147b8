"""Example values of message types: each field filled, whatever its type, the same each time."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec import inspect

__all__ = ["example"]

#: Text for each pattern that a field may have; a pattern that is not here fits the field's name, or is added.
PATTERNS = {
    r"^[0-9a-f]{32}$(?!\n)": "0123456789abcdef" * 2,
    r"^([0-9a-f]{32})?$(?!\n)": "fedcba9876543210" * 2,
    r"^[a-z][a-z_]{0,15}$(?!\n)": "domain",
    r"^[0-9a-f]{64}$(?!\n)": "0123456789abcdef" * 4,
    r"^([0-9a-f]{64})?$(?!\n)": "fedcba9876543210" * 4,
    r"^(\*|[0-9a-f]{32}|group:[0-9a-f]{32})$(?!\n)": "group:" + "0123456789abcdef" * 2,
    r"^[A-Za-z_][A-Za-z0-9_.]{0,127}=[0-9a-f]{32}(:[^\x00]{0,255})?$(?!\n)": "xs="
    + "0123456789abcdef" * 2
    + ":age",
}


def example(kind: type[Any]) -> Any:
    """A value of ``kind`` in which every field says something."""
    return msgspec.convert(_value(inspect.type_info(kind), ""), kind)


def _value(info: inspect.Type, name: str) -> Any:
    match info:
        case inspect.Metadata():
            return _value(info.type, name)
        case inspect.StructType():
            fields = {field.encode_name: _value(field.type, field.name) for field in info.fields}
            return list(fields.values()) if info.array_like else _tagged(info, fields)
        case inspect.UnionType():
            return _value(next(each for each in info.types if not isinstance(each, inspect.NoneType)), name)
        case inspect.LiteralType():
            return info.values[-1]
        case inspect.BoolType():
            return True
        case inspect.IntType() | inspect.FloatType():
            return _number(info, name)
        case inspect.StrType():
            return _text(info, name)
        case inspect.BytesType():
            return (name.encode() * 64)[: info.min_length or info.max_length or 8][:64]
        case inspect.ListType() | inspect.VarTupleType():
            return [_value(info.item_type, name)] * max(info.min_length or 0, 1)
        case inspect.TupleType():
            return [_value(item, name) for item in info.item_types]
        case inspect.DictType():
            return {_value(info.key_type, f"{name} key"): _value(info.value_type, name)}
        case inspect.AnyType():
            return f"any {name}"
    raise TypeError(f"{name}: no example for {info}")


def _tagged(info: inspect.StructType, fields: dict[str, Any]) -> dict[str, Any]:
    return fields if info.tag_field is None else {info.tag_field: info.tag, **fields}


def _number(info: inspect.IntType | inspect.FloatType, name: str) -> float:
    """One that depends on the name and keeps to the limits: neighbours are told apart."""
    low = next((each for each in (info.ge, info.gt) if each is not None), 0)
    high = next((each for each in (info.le, info.lt) if each is not None), math.inf)
    value = low + min(len(name), max(high - low - 1, 0))
    if isinstance(info, inspect.IntType):
        return int(value)
    return float(value) + (0.5 if value + 0.5 < high else 0.0)


def _text(info: inspect.StrType, name: str) -> str:
    text = PATTERNS.get(info.pattern or "", f"a {name}")
    return text[: info.max_length] if info.max_length else text
