"""Names that are nearly equal: never taken for one another, always named where one of them is missing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches

__all__ = ["nearly", "not_there"]

_BRACKETS = re.compile(r"[\[(].*?[\])]")
_SHOWN = 20


def nearly(name: str, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that were probably meant by ``name``, the likeliest first."""
    folded = _folded(name)
    same = [each for each in names if _folded(each) == folded]
    return same or get_close_matches(name, names, 3, 0.6)


def not_there(name: str, names: Sequence[str], what: str = "column") -> str:
    """That there is no ``name``, and what there is: nearly equal names, else all."""
    likely = nearly(name, names)
    if likely:
        same = ", ".join(map(repr, likely))
        return f"there is no {what} {name!r}; nearly equal: {same} (the same? then rename it)"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"there is no {what} {name!r}; there are: {', '.join(map(repr, names[:_SHOWN])) or 'none'}{more}"


def _folded(name: str) -> str:
    """Without case, accents, spaces, signs, and a unit in brackets."""
    plain = unicodedata.normalize("NFKD", _BRACKETS.sub("", name)).casefold()
    return "".join(each for each in plain if each.isalnum()) or name
