"""What needs a value that is elsewhere, and what to write instead."""

from __future__ import annotations

from typing import Any

from syft_ext.errors import GridError, Unsupported
from syft_ext.pointers.lines import line_at, place

__all__ = ["needs_value"]

_GET = "x.get() brings it here (x.get_copy() leaves it there too); torch.where(condition, a, b) chooses there"


def needs_value(tensor: Any, what: str = "") -> GridError:
    """The error for code that decides on, prints or converts values."""
    line = line_at(place())
    name = tensor.location.name if hasattr(tensor, "location") else "another place"
    what = what or "needs the value of a tensor"
    return Unsupported(
        f"{line} {what} that is at {name}\n  Instead: {_GET}", file=line.file, line=line.number
    )
