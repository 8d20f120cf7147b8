"""What ``client.users``, ``client.datasets``, ``client.trainings`` … have in common.

Uniform verbs: ``all()``, ``get(id)``, ``create(…)``, ``update(id, …)``, ``delete(id)`` where the node offers
them; iteration, ``len`` and subscripts by position or by name; a table for the notebook.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from syft_ext.display.table import Table, short_ids
from syft_ext.errors import Ambiguous, GridError, NotFound
from syft_ext.ids import is_id

if TYPE_CHECKING:
    import pandas

    from syft_ext.client.caller import Caller

__all__ = ["Collection"]

T = TypeVar("T")
_BEGINNING = re.compile(r"[0-9a-f]{4,63}")
_ID = re.compile(r"[0-9a-f]{32}(?:[0-9a-f]{32})?")


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

    def named(self, which: str) -> T | None:
        """The item of that id or name, where the node can be asked for just that one; None: look at all."""
        return None

    def __iter__(self) -> Iterator[T]:
        return iter(self.all())

    def __len__(self) -> int:
        return len(self.all())

    def __getitem__(self, which: int | str) -> T:
        """By position (``[0]``, ``[-1]``), by name, by id or by how an id begins (4 digits or more).

        Raises :class:`~syft_ext.errors.Ambiguous`, listing them, where several are called so.
        """
        if isinstance(which, str) and (one := self.named(which)) is not None:
            return one
        items = self.all()
        return items[which] if isinstance(which, int) else self.choose(items, which)

    def choose(self, items: Sequence[T], which: str) -> T:
        """The one of ``items`` that ``which`` names; a whole id of its own counts before all names."""
        which = which.strip()
        for item in items:
            if which == self.key(item)[0]:
                return item
        found = [item for item in items if self._is_called(item, which)]
        if len(found) == 1:
            return found[0]
        if not found:
            known = ", ".join(repr(self.key(item)[-1]) for item in items[:10])
            one = self.title.lower().removesuffix("s")
            raise NotFound(
                f"no {one} {which!r} here; {f'there are: {known}' if known else 'you may see none'}"
            )
        ids = [self.key(item)[0] for item in found]
        listed = "; ".join(f"{self.key(item)[0]} ({self.told_apart(item)})" for item in found[:10])
        raise Ambiguous(
            f"{len(found)} {self.title.lower()} are called {which!r}: give the id of one: {listed}", ids=ids
        )

    def id_of(self, which: str) -> str:
        """The id of what ``which`` names; a whole id is taken as it is."""
        return which if is_id(which) else self.key(self[which])[0]

    def told_apart(self, item: T) -> str:
        """What tells it from namesakes, in a few words."""
        return ", ".join(str(cell) for cell in self.row(item)[:5] if cell not in (None, "", []))

    def _is_called(self, item: T, which: str) -> bool:
        names, start = self.key(item), which.removesuffix("…").lower()
        if which in names or which.casefold() in names[1:]:
            return True
        return _BEGINNING.fullmatch(start) is not None and any(
            _ID.fullmatch(name) and name.startswith(start) for name in names
        )

    def _ipython_key_completions_(self) -> list[str]:
        """What IPython offers after ``[``: names, and ids where there are none."""
        try:
            return sorted({self.key(item)[-1] for item in self.all()})
        except GridError:  # nobody wants to read of it while they type
            return []

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
