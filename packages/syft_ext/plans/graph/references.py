"""Which values an argument of a node reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["references"]


def references(argument: Any) -> Iterator[int]:
    """Ids of the values that a checked argument reads."""
    if type(argument) is list:
        if argument[0] == "r":
            yield argument[1]
        elif argument[0] == "l":
            for part in argument[1:]:
                yield from references(part)
