"""The columns of a stored table: which tensors of its file are columns, and what their owner says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syft_ext.errors import BadRequest
from syft_ext.messages.datasets import Column as Described
from syft_ext.store.content import TENSOR_KINDS
from syft_ext.tensors import DTYPES, Layout, TensorSpec

__all__ = ["Column", "Table", "bounds_of", "check_kind", "table_of"]

GROUPABLE = frozenset({"BOOL", "U8", "I8", "I16", "I32", "I64"})
MAX_COLUMNS = 10_000


@dataclass(frozen=True, slots=True)
class Column:
    """Column ``index`` of the tensor ``spec``, whose rows have ``width`` numbers (1: it is the column)."""

    name: str
    spec: TensorSpec
    index: int = 0
    width: int = 1

    @property
    def rows(self) -> int:
        """How many values it has, missing ones included."""
        return self.spec.shape[0]

    @property
    def dtype(self) -> str:
        """In torch's words: ``float32``."""
        return DTYPES[self.spec.dtype][0]


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a tensor file by name. ``offset`` is where the data section begins in the file."""

    columns: Mapping[str, Column]
    offset: int

    def take(self, names: Sequence[str]) -> list[Column]:
        """The named columns; raises :class:`BadRequest` for one that is not there, named twice or uneven."""
        found = []
        for name in names:
            column = self.columns.get(name)
            if column is None:
                raise BadRequest(f"this table has no column {name[:80]!r}", column=name[:255])
            found.append(column)
        if len(set(names)) != len(names):
            raise BadRequest("a column is named twice")
        if len({column.rows for column in found}) > 1:
            raise BadRequest("the columns do not have the same number of rows")
        return found

    def take_keys(self, names: Sequence[str]) -> list[Column]:
        """As :meth:`take`, for grouping."""
        found = self.take(names)
        for column in found:
            if column.spec.dtype not in GROUPABLE:
                kinds = "integers, truth values or categories"
                raise BadRequest(
                    f"{column.name!r} is {column.dtype}: group by columns of {kinds}", column=column.name
                )
        return found


def check_kind(kind: str) -> None:
    """Raise :class:`BadRequest` for an object that is no table."""
    if kind not in TENSOR_KINDS:
        raise BadRequest(f"an object of kind {kind[:32]} is no table")


def table_of(layout: Layout) -> Table:
    """The columns of a tensor file; raises :class:`BadRequest` where it has none."""
    columns: dict[str, Column] = {}
    for spec in layout.specs:
        if len(spec.shape) == 1:
            columns[spec.name or "0"] = Column(spec.name or "0", spec)
        elif len(spec.shape) == 2 and len(columns) + spec.shape[1] <= MAX_COLUMNS:
            for index in range(spec.shape[1]):
                name = f"{spec.name}[{index}]" if spec.name else str(index)
                columns[name] = Column(name, spec, index, spec.shape[1])
    if not columns:
        raise BadRequest("this object has no columns: no vector or matrix is among its tensors")
    return Table(columns, layout.data_offset)


def bounds_of(
    schemas: Iterable[Sequence[Described]], columns: Sequence[Column]
) -> dict[str, tuple[float, float]]:
    """The bounds that the owner gave in the first of ``schemas`` that has any for a column."""
    found: dict[str, tuple[float, float]] = {}
    for described in schemas:
        schema = {each.name: each for each in described}
        for column in columns:
            said: Any = schema.get(column.name) or schema.get(column.spec.name)
            if said is None and not column.spec.name and len(schema) == 1:
                (said,) = schema.values()  # a tensor's one column is called as the asset is
            low, high = getattr(said, "low", None), getattr(said, "high", None)
            if low is not None and high is not None and low < high:
                found.setdefault(column.name, (float(low), float(high)))
    return found
