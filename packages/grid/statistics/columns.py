"""The columns of a stored table: which tensors of its file are columns, and what their owner says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from syft_ext.errors import BadRequest, TooLarge
from syft_ext.messages.datasets import Column as Described
from syft_ext.messages.statistics import Begin, Levels
from syft_ext.store.content import TENSOR_KINDS
from syft_ext.tensors import DTYPES, Layout, TensorSpec

__all__ = [
    "GROUPABLE",
    "NUMBERED",
    "Column",
    "Table",
    "bounds_of",
    "check_kind",
    "place_of",
    "said_of_column",
    "table_of",
    "target_of",
]

GROUPABLE = frozenset({"BOOL", "U8", "I8", "I16", "I32", "I64"})
NUMBERED = GROUPABLE | {"F16", "F32", "F64"}
"""What the numbers of words are kept in; where some are missing, in floats, which have NaN."""
MAX_COLUMNS = 10_000
MAX_TERMS = 256
"""Of a regression, indicators counted one by one: what is told of it grows with their square."""


@dataclass(frozen=True, slots=True)
class Column:
    """Column ``index`` of the tensor ``spec``, whose rows have ``width`` numbers (1: it is the column).

    With ``levels``, an indicator: 1 where the column holds ``levels[level]``, 0 where it holds another of them,
    and missing elsewhere. None among the levels stands for one that this table has no number for.
    """

    name: str
    spec: TensorSpec
    index: int = 0
    width: int = 1
    levels: tuple[int | None, ...] = ()
    level: int = 0

    @property
    def rows(self) -> int:
        """How many values it has, missing ones included."""
        return self.spec.shape[0]

    @property
    def code(self) -> str:
        """Of its type, in the words of tensor files; an indicator's values are truth values."""
        return "BOOL" if self.levels else self.spec.dtype

    @property
    def dtype(self) -> str:
        """In torch's words: ``float32``."""
        return DTYPES[self.code][0]

    @property
    def key(self) -> Any:
        """What it is, in measurements: no other column of the table has the same, whatever names are like."""
        if not self.levels:
            return self.name
        return {"column": self.label, "levels": list(self.levels), "level": self.level}

    @property
    def label(self) -> str:
        """As people call it: an indicator as its column."""
        return self.name.partition("\0")[0]

    def indicators(self, levels: Levels) -> list[Column]:
        """One for each level; without the first where that is the reference."""
        if self.spec.dtype not in NUMBERED:
            raise BadRequest(f"{self.name!r} is {self.dtype}, which numbers no words", column=self.name)
        codes = tuple(levels.codes)
        first = 1 if levels.reference else 0
        # No column can be asked for by a name with U+0000 in it.
        return [
            replace(self, name=f"{self.name}\0{place}", levels=codes, level=place)
            for place in range(first, len(codes))
        ]


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

    def take_terms(self, names: Sequence[str], levels: Mapping[str, Levels]) -> list[Column]:
        """As :meth:`take`; columns that ``levels`` names become indicators."""
        terms: list[Column] = []
        for column in self.take(names):
            given = levels.get(column.name)
            terms += [column] if given is None else column.indicators(given)
        if len(terms) > MAX_TERMS:
            raise TooLarge("a regression of so many columns and categories", limit=MAX_TERMS)
        return terms

    def take_keys(self, names: Sequence[str]) -> list[Column]:
        """As :meth:`take`, for grouping."""
        found = self.take(names)
        for column in found:
            if column.spec.dtype not in GROUPABLE:
                kinds = "integers, truth values or categories"
                raise BadRequest(
                    f"{column.name!r} is {column.dtype}: group by columns of {kinds} (of words of which some "
                    'are missing, if "" is one of the categories: then these are a group)',
                    column=column.name,
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
        for column in columns:
            said = said_of_column(described, column)
            if said is not None and said.low is not None and said.high is not None and said.low < said.high:
                found.setdefault(column.name, (float(said.low), float(said.high)))
    return found


def said_of_column(described: Sequence[Described], column: Column) -> Described | None:
    """What one schema says of a column: under its own name, or that of the matrix that it is of."""
    schema = {each.name: each for each in described}
    said = schema.get(column.name) or schema.get(column.spec.name)
    if said is None and not column.spec.name and len(schema) == 1:
        (said,) = schema.values()  # a tensor's one column is called as the asset is
    return said


def place_of(column: Column) -> tuple[int, int, int]:
    """Where a column stands in its table: the canonical order of columns, indicators included."""
    return column.spec.start, column.index, column.level


def target_of(message: Begin, table: Table) -> Column | None:
    """The column that a regression explains; raises :class:`BadRequest` for words that are not two."""
    if not message.target:
        return None
    terms = table.take_terms([message.target], message.levels)
    if len(terms) != 1:
        raise BadRequest(
            "a target of words has two of them, one of which is the reference", column=message.target
        )
    return terms[0]
