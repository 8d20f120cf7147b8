"""No text of a message holds U+0000: PostgreSQL cannot store it, and nobody means it.

Field types may say so too (:mod:`syft_ext.messages.fields`); this holds for every field of every operation.
"""

from __future__ import annotations

from typing import Any

import msgspec

from syft_ext.errors import BadRequest

__all__ = ["refuse_nul"]

_NO_TEXT = frozenset((int, float, bool, bytes, type(None)))


def refuse_nul(message: msgspec.Struct, operation: str) -> None:
    """Raise :class:`BadRequest`, naming the field, when a text in ``message`` holds U+0000. Bytes may."""
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if type(value) not in _NO_TEXT and _holds_nul(value):
            raise BadRequest(f"{operation}: text must not hold U+0000 - at `$.{name}`")


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(key) or _holds_nul(item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds_nul, value))
    if isinstance(value, msgspec.Struct):
        return any(_holds_nul(getattr(value, name)) for name in value.__struct_fields__)
    return False
