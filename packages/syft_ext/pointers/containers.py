"""Several remote tensors as one: lists, mappings, and tables whose columns are remote tensors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import TYPE_CHECKING, Any

import torch

from syft_ext.client.requestable import Requestable
from syft_ext.display.table import Table
from syft_ext.errors import BadRequest, NotFound
from syft_ext.plans.graph.dtypes import dtype_name
from syft_ext.pointers import fetching
from syft_ext.pointers.cells import Stored
from syft_ext.pointers.tensor import RemoteTensor

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.pointers.location import Location

__all__ = ["RemoteContainer", "RemoteDict", "RemoteList", "RemoteTable", "is_table"]


def is_table(value: Any) -> bool:
    """Whether it is a data frame (pandas or Polars)."""
    return hasattr(value, "columns") and hasattr(value, "dtypes")


class RemoteContainer(Requestable):
    """What lists, mappings and tables of pointers have in common. The parts are pointers, or containers."""

    title = ""
    ordered = False

    def __init__(self) -> None:
        self._stored: Stored | None = None

    @abstractmethod
    def _pairs(self) -> list[tuple[str, Any]]:
        """Names and parts, in order."""

    @abstractmethod
    def _rebuild(self, parts: list[Any]) -> Any:
        """The same structure of other parts."""

    def leaves(self) -> list[RemoteTensor]:
        """All tensors in it, in order."""
        found: list[RemoteTensor] = []
        for _, part in self._pairs():
            found += part.leaves()
        return found

    @property
    def location(self) -> Location:
        """Where its first tensor is. Raises :class:`~syft_ext.errors.NotFound` when it is empty."""
        leaves = self.leaves()
        if not leaves:
            raise NotFound("it is empty, and so nowhere")
        return leaves[0].location

    def get(
        self,
        request_block: bool = False,
        timeout_secs: float = 600.0,
        reason: str = "",
        delete_obj: bool = True,
    ) -> Any:
        """Fetch everything in one answer; as :meth:`RemoteTensor.get`."""
        values = fetching.get_all(self, request_block, timeout_secs, reason, delete_obj)
        return self._filled(iter(values))

    def get_copy(self, request_block: bool = False, timeout_secs: float = 600.0, reason: str = "") -> Any:
        """Fetch everything, and leave it there too."""
        return self.get(request_block, timeout_secs, reason, delete_obj=False)

    def _filled(self, values: Iterator[torch.Tensor]) -> Any:
        return self._rebuild(
            [
                part._filled(values) if isinstance(part, RemoteContainer) else next(values)
                for _, part in self._pairs()
            ]
        )

    def _object_to_request(self, reason: str) -> tuple[Caller, str]:
        return fetching.object_to_request(self, reason)

    def names(self, prefix: str = "") -> list[str]:
        """Names of the leaves, dotted where containers are nested."""
        found: list[str] = []
        for name, part in self._pairs():
            path = f"{prefix}.{name}" if prefix else name
            found += part.names(path) if isinstance(part, RemoteContainer) else [path]
        return found

    def stored_names(self) -> list[str] | None:
        """What its leaves are called in the store; None where their order says it."""
        names = self.names()
        flat = self.ordered and all("." not in name for name in names)
        return None if flat and len(names) > 1 else names

    def __len__(self) -> int:
        return len(self._pairs())

    def table(self) -> Table:
        """Names, types and shapes of its tensors, without fetching anything."""
        rows = [
            (name, f"{dtype_name(leaf.dtype)}{list(leaf.shape)}")
            for name, leaf in zip(self.names(), self.leaves(), strict=True)
        ]
        where = self.location.name if rows else "–"
        return Table(f"{self.title} at {where}", ("name", "type"), rows)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class RemoteList(RemoteContainer):
    """Pointers in order. ``get()`` gives a list."""

    title = "Remote list"
    ordered = True

    def __init__(self, parts: Sequence[Any]) -> None:
        super().__init__()
        self._parts = list(parts)

    def _pairs(self) -> list[tuple[str, Any]]:
        return [(str(index), part) for index, part in enumerate(self._parts)]

    def _rebuild(self, parts: list[Any]) -> Any:
        return parts

    def append(self, part: RemoteTensor | RemoteContainer) -> None:
        """Add a pointer at the end: nothing moves, and each part keeps its own sources."""
        if not isinstance(part, RemoteTensor | RemoteContainer):
            raise BadRequest("a pointer is needed: send the value first")
        self._parts.append(part)

    def __getitem__(self, index: int) -> Any:
        return self._parts[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts)


class RemoteDict(RemoteContainer):
    """Pointers by name. ``get()`` gives a dict."""

    title = "Remote mapping"

    def __init__(self, parts: Mapping[str, Any]) -> None:
        super().__init__()
        self._parts = dict(parts)

    def _pairs(self) -> list[tuple[str, Any]]:
        return list(self._parts.items())

    def _rebuild(self, parts: list[Any]) -> Any:
        return dict(zip(self._parts, parts, strict=True))

    def __getitem__(self, name: str) -> Any:
        if name not in self._parts:
            raise NotFound(f"no {name!r} here; there are: {', '.join(self._parts) or 'none'}")
        return self._parts[name]

    def __setitem__(self, name: str, part: RemoteTensor | RemoteContainer) -> None:
        if not isinstance(part, RemoteTensor | RemoteContainer):
            raise BadRequest("a pointer is needed: send the value first")
        self._parts[name] = part

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._parts)

    def keys(self) -> KeysView[str]:
        return self._parts.keys()

    def values(self) -> ValuesView[Any]:
        """Its pointers; nothing is fetched."""
        return self._parts.values()

    def items(self) -> ItemsView[str, Any]:
        return self._parts.items()


class RemoteTable(RemoteDict):
    """Columns of equal length. ``table["age"]`` is a column, ``table[["age", "bmi"]]`` a matrix of two."""

    title = "Remote table"

    def __init__(self, parts: Mapping[str, RemoteTensor]) -> None:
        lengths = {len(column) for column in parts.values()}
        if len(lengths) > 1:
            raise BadRequest("the columns of a table have one length")
        super().__init__(parts)

    @property
    def columns(self) -> list[str]:
        return list(self._parts)

    @property
    def rows(self) -> int:
        """How long its columns are; 0 without columns."""
        return len(next(iter(self._parts.values()))) if self._parts else 0

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns), as pandas has it."""
        return self.rows, len(self._parts)

    def __getitem__(self, name: str | Sequence[str]) -> Any:
        if isinstance(name, str):
            return super().__getitem__(name)
        if not isinstance(name, Iterable):
            raise TypeError(
                "a table is taken by columns: table['age'][5], table[['age', 'bmi']][5], matrix()[5]"
            )
        return self.matrix(name)

    def matrix(
        self, columns: Sequence[str] | None = None, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Some columns (all by default) side by side, as numbers of one type: rows × columns."""
        chosen = [super(RemoteTable, self).__getitem__(name) for name in (columns or self.columns)]
        return torch.stack([column.to(dtype) for column in chosen], 1)

    def table(self) -> Table:
        """As of all containers, with the number of rows."""
        table = super().table()
        table.title += f": {self.rows:,} rows"
        return table
