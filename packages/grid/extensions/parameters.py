"""What may be set of an implementation: declared as a type with ranges, refused by name where it does not fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from syft_ext.errors import InvalidConfig

__all__ = ["NoParameters", "Parameters", "parse_parameters"]

P = TypeVar("P", bound="Parameters")


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields with ranges (``msgspec.Meta``), as a rule with defaults."""


class NoParameters(Parameters, frozen=True):
    """There is nothing to set."""


def parse_parameters(
    kind: type[P], values: Mapping[str, Any], who: str, refused: Callable[[str, str], InvalidConfig]
) -> P:
    """Parameters from what came from outside. Raises what ``refused`` makes of a reason and a parameter's name.

    Args:
        who: whose they are ("the strategy fedadam"), for the reason.
    """
    known = kind.__struct_fields__
    for name in values:
        if name not in known:
            told = f"they are: {', '.join(known)}" if known else "it has none"
            raise refused(f"{who} has no parameter {str(name)[:80]!r}, {told}", str(name)[:80])
    try:
        parsed = msgspec.convert(dict(values), kind)
    except msgspec.ValidationError as error:
        told, _, place = str(error).partition(" - at `$.")
        raise refused(told, place.rstrip("`")) from error
    for name in known:
        value = getattr(parsed, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise refused("Expected a finite number", name)
    return parsed
