"""Finds an implementation by its name: Grid's own, or that of an installed package's entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from grid.extensions.parameters import Parameters
from syft_ext.errors import InvalidConfig

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Implementations of one kind. Each has a ``name``, and the type of its ``parameters``.

    A package's entry point has that name, and refers to a class that is made without arguments.

    Args:
        group: of the entry points.
        kind: what one is called in errors ("strategy").
        base: the class that all derive from.
        own: those that come with Grid.
        unknown: how an unknown name is introduced ("no aggregator").
        refused: makes the error of a reason.
    """

    def __init__(
        self,
        group: str,
        kind: str,
        base: type[T],
        own: Iterable[T],
        unknown: str,
        refused: Callable[[str], InvalidConfig],
    ) -> None:
        self._group, self._kind, self._base = group, kind, base
        self._own: dict[str, T] = {_name(each): each for each in own}
        self._unknown, self._refused = unknown, refused

    def names(self) -> list[str]:
        """All names that there are now, in alphabetical order."""
        return sorted({*self._own, *(point.name for point in entry_points(group=self._group))})

    def find(self, name: str) -> T:
        """The implementation of this name, after a look at what is installed: for what is chosen anew.

        Raises :class:`InvalidConfig` when there is none, when more than one has the name, or when a package's
        cannot be loaded.
        """
        points = list(entry_points(group=self._group, name=name))
        if len(points) + (name in self._own) > 1:
            told = ", ".join(f"{point.name} = {point.value}" for point in points)
            raise self._refused(f"more than one {self._kind} is called {name!r}: {told}")
        if name in self._own:
            return self._own[name]
        if not points:
            raise self._refused(f"{self._unknown} {name[:80]!r}, there are: {', '.join(self.names())}")
        return self._loaded(points[0])

    def get(self, name: str) -> T:
        """As :meth:`find`, for what was chosen before: nothing is looked for where it is Grid's own."""
        own = self._own.get(name)
        return self.find(name) if own is None else own

    def _loaded(self, point: EntryPoint) -> T:
        told = f"the {self._kind} {point.name!r} ({point.value})"
        try:
            found = point.load()()
        except Exception as error:
            raise self._refused(f"{told} cannot be loaded: {error}") from error
        if not isinstance(found, self._base):
            raise self._refused(f"{told} is no {self._base.__name__}")
        if _name(found) != point.name:
            raise self._refused(f"{told} calls itself {_name(found)!r}")
        kind = getattr(found, "parameters", None)
        if not (isinstance(kind, type) and issubclass(kind, Parameters)):
            raise self._refused(f"the parameters of {told} are no Parameters")
        return found


def _name(found: Any) -> str:
    return str(getattr(found, "name", ""))
