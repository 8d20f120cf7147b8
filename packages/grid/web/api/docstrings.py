"""What the docstrings of messages and replies say, taken apart for the API's description."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

__all__ = ["Described", "describe"]

_SECTION = "Attributes:"
_ENTRY = re.compile(r" {4}(\w+(?:, \w+)*): (.*)")


@dataclass(frozen=True, slots=True)
class Described:
    """``summary`` is the first line, ``description`` the prose after it, ``fields`` the attributes' texts."""

    summary: str
    description: str
    fields: dict[str, str]


def describe(kind: type) -> Described:
    """Read the docstring of a message or reply (Google style)."""
    prose, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition(f"\n{_SECTION}\n")
    summary, _, description = prose.strip().partition("\n")
    fields: dict[str, str] = {}
    names: list[str] = []
    for line in attributes.splitlines():
        entry = _ENTRY.fullmatch(line)
        if entry is not None:
            names = entry[1].split(", ")
        for name in names:
            text = entry[2] if entry is not None else line.strip()
            fields[name] = f"{fields.get(name, '')} {text}".strip()
    return Described(summary, description.strip(), fields)
