"""What ``client.users``, ``client.datasets``, ``client.trainings`` … have in common.

Uniform verbs: ``all()``, ``get(id)``, ``create(…)``, ``update(id, …)``, ``delete(id)`` where the node offers
them; iteration, ``len`` and subscripts by position or by name; a table for the notebook.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from syft_ext.display.table import Table, short_ids
from syft_ext.errors import NotFound

if TYPE_CHECKING:
    import pandas

    from syft_ext.client.caller import Caller

__all__ = ["Collection"]

T = TypeVar("T")


class Collection(Generic[T]):
    """Things of one kind at one node. Every look asks the node; nothing is cached."""

    title = ""
    headings: tuple[str, ...] = ()
    #: Headings of what is shown with shortened ids, for want of room; :meth:`to_pandas` has them whole.
    shortened: tuple[str, ...] = ()

    def __init__(self, client: Caller) -> None:
        self.client = client

    @abstractmethod
    def all(self) -> list[T]:
        """All of them that you may see."""

    @abstractmethod
    def row(self, item: T) -> tuple[Any, ...]:
        """The cells of one item's table row."""

    @abstractmethod
    def key(self, item: T) -> tuple[str, ...]:
        """What a subscript may name an item by: ids first, then names."""

    def __iter__(self) -> Iterator[T]:
        return iter(self.all())

    def __len__(self) -> int:
        return len(self.all())

    def __getitem__(self, which: int | str) -> T:
        """By position (``[0]``, ``[-1]``) or by id or name."""
        items = self.all()
        if isinstance(which, int):
            return items[which]
        for item in items:
            if which in self.key(item):
                return item
        known = ", ".join(repr(self.key(item)[-1]) for item in items[:10])
        raise NotFound(f"no {self.title.lower()} {which!r} here; there are: {known or 'none'}")

    def table(self, items: list[T] | None = None) -> Table:
        """Some of its items as a table, by default all: then the node is asked."""
        rows = [self._shown(item) for item in (self.all() if items is None else items)]
        return Table(f"{self.title} at {self.client.name}", self.headings, rows)

    def _shown(self, item: T) -> list[Any]:
        cells = zip(self.headings, self.row(item), strict=True)
        return [short_ids(cell) if heading in self.shortened else cell for heading, cell in cells]

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a pandas DataFrame (pandas must be installed)."""
        import pandas

        return pandas.DataFrame([self.row(item) for item in self.all()], columns=list(self.headings))

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()
