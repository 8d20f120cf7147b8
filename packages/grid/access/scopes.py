"""The ladder of scopes, declared once: which lists and which grants allow what, and what follows from sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["LADDER", "ListName", "Rung", "Scope"]

Scope = Literal["find", "statistics", "compute", "read"]
ListName = Literal["search", "statistics", "compute", "read"]


@dataclass(frozen=True, slots=True)
class Rung:
    """What allows one scope.

    Attributes:
        lists: the lists of an object that allow it, the narrowest first.
        of_sources: what one must be allowed with *every* source of a derived object to be allowed this with the
            object; None: nothing follows from its sources.
    """

    lists: tuple[ListName, ...]
    of_sources: Scope | None

    @property
    def grants(self) -> tuple[str, ...]:
        """The scopes of grants that allow it: those of its lists, but nobody is granted to find."""
        return tuple(name for name in self.lists if name != "search")


#: Reading includes statistics and computing, and everything includes finding. (Grants of scope "plan"
#: and "intersection" are on no rung: they let one of these run, see :func:`grid.access.grants.of_request`.)
LADDER: Mapping[Scope, Rung] = MappingProxyType(
    {
        "find": Rung(("search", "statistics", "compute", "read"), None),
        # The mean of a column that repeats one row is that row: of what was computed, statistics are reading.
        "statistics": Rung(("statistics", "read"), "read"),
        "compute": Rung(("compute", "read"), "compute"),
        "read": Rung(("read",), "read"),
    }
)
