"""Implementations by name: those that come with Grid, and those that installed packages bring.

A package brings one with an entry point (setup.cfg, for the group ``grid.report_formats``):

    [options.entry_points]
    grid.report_formats =
        masked = my_package.masked:MaskedFormat

Only what is asked for by name is imported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from typing import Any, Generic, TypeVar

from syft_ext.errors import GridError, InvalidConfig
from syft_ext.installed import entry_points_of

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Args:
    what: what is registered, for errors ("report format").
    group: the entry points' group.
    builtin: those that come with Grid, by name: what an entry point would refer to.
    error: makes what is raised for a name that cannot be had.
    make: makes a ``T`` of what an entry point refers to; by default it is called.
    keep: make each once; else what is installed is looked at each time.
    """

    def __init__(
        self,
        what: str,
        group: str,
        builtin: Mapping[str, Any],
        error: Callable[[str], GridError] = InvalidConfig,
        make: Callable[[Any], T] = lambda found: found(),
        keep: bool = True,
    ) -> None:
        self._what, self._group, self._builtin = what, group, builtin
        self._error, self._maker, self._keep = error, make, keep
        self._lock = threading.Lock()
        self._made: dict[str, T] = {}

    def names(self) -> list[str]:
        """All names that there are now: Grid's own first."""
        return list(dict.fromkeys([*self._builtin, *(point.name for point in entry_points_of(self._group))]))

    def find(self, name: str) -> T:
        """The implementation of this name.

        Raises ``error`` when there is none (naming those there are), when more than one has the name, or when
        a package's cannot be loaded.
        """
        found = self._made.get(name) if self._keep else self._make(name)
        if found is None:
            with self._lock:
                found = self._made.get(name)
                if found is None:
                    found = self._made[name] = self._make(name)
        return found

    def _make(self, name: str) -> T:
        points = [point for point in entry_points_of(self._group) if point.name == name]
        if len(points) + (name in self._builtin) > 1:
            told = ", ".join(f"{point.name} = {point.value}" for point in points)
            raise self._error(f"more than one {self._what} is called {name[:80]!r}: {told}")
        if name in self._builtin:
            return self._maker(self._builtin[name])
        if not points:
            raise self._error(f"no {self._what} {name[:80]!r}, there are: {', '.join(self.names())}")
        return self._load(points[0])

    def _load(self, point: EntryPoint) -> T:
        try:
            made = self._maker(point.load())
        except Exception as error:
            raise self._error(
                f"the {self._what} {point.name!r} ({point.value}) cannot be loaded: {error}"
            ) from error
        return made
