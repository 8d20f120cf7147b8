"""The arguments of an action as the wire has them: literals, ``["r", value]``, ``["l", …]``, ``["d", dtype]``."""

from __future__ import annotations

from typing import Any

from syft_ext.errors import BadRequest
from syft_ext.messages.compute import Call

__all__ = ["MAX_VALUE", "references"]

MAX_VALUE = 1 << 53
_MAX_DEPTH = 3  # a list of a list of values is more than any operation takes
_LITERALS = frozenset({bool, int, float, str, type(None)})


def references(call: Call) -> list[int]:
    """The values that the call names, in order. Raises :class:`BadRequest` for what is no argument at all."""
    found: list[int] = []
    for argument in call.args:
        _walk(argument, found, 0)
    for argument in call.kwargs.values():
        _walk(argument, found, 0)
    return found


def _walk(argument: Any, found: list[int], depth: int) -> None:
    if type(argument) in _LITERALS:
        return
    if type(argument) is not list or not argument or depth > _MAX_DEPTH:
        raise BadRequest("malformed argument")
    tag = argument[0]
    if tag == "r":
        if len(argument) != 2 or type(argument[1]) is not int or not 0 <= argument[1] <= MAX_VALUE:
            raise BadRequest("malformed reference to a value")
        found.append(argument[1])
    elif tag == "l":
        for part in argument[1:]:
            _walk(part, found, depth + 1)
    elif tag != "d" or len(argument) != 2 or type(argument[1]) is not str:
        raise BadRequest("malformed argument")
