"""Finds an implementation by its name: Grid's own, or that of an installed package's entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint
from typing import Any, TypeVar

from grid.extensions.parameters import Parameters
from syft_ext.errors import InvalidConfig
from syft_ext.registry import Registry

__all__ = ["Extensions"]

T = TypeVar("T")


class Extensions(Registry[T]):
    """Implementations of one kind, each with a ``name`` and the type of its ``parameters``.

    A package's entry point has that name, and refers to a class that is made without arguments.

    Args:
        group: of the entry points.
        kind: what one is called in errors ("strategy").
        base: the class that all derive from.
        own: those that come with Grid.
        refused: makes the error of a reason.
    """

    def __init__(
        self,
        group: str,
        kind: str,
        base: type[T],
        own: Iterable[T],
        refused: Callable[[str], InvalidConfig],
    ) -> None:
        builtin = {_name(each): each for each in own}
        super().__init__(kind, group, builtin, refused, make=lambda found: found, keep=False)
        self._base = base

    def get(self, name: str) -> T:
        """As :meth:`find`, for what was chosen before: nothing is looked for where it is Grid's own."""
        own: T | None = self._builtin.get(name)
        return self.find(name) if own is None else own

    def _load(self, point: EntryPoint) -> T:
        told = f"the {self._what} {point.name!r} ({point.value})"
        try:
            found = point.load()()
        except Exception as error:
            raise self._error(f"{told} cannot be loaded: {error}") from error
        if not isinstance(found, self._base):
            raise self._error(f"{told} is no {self._base.__name__}")
        if _name(found) != point.name:
            raise self._error(f"{told} calls itself {_name(found)!r}")
        kind = getattr(found, "parameters", None)
        if not (isinstance(kind, type) and issubclass(kind, Parameters)):
            raise self._error(f"the parameters of {told} are no Parameters")
        return found


def _name(found: Any) -> str:
    return str(getattr(found, "name", ""))
