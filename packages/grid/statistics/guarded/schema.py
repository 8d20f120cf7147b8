"""What is public of a column: its type and what its owner wrote. Nothing here depends on a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, floor

from grid.statistics.columns import GROUPABLE, NUMBERED, Column, Table, bounds_of, said_of_column
from syft_ext.errors import Conflict
from syft_ext.messages.datasets import Column as Described
from syft_ext.messages.statistics import TableColumn

__all__ = ["FEW_VALUES", "Person", "PublicColumn", "Said", "said_of"]

_OWN_RANGE = {"BOOL": (0, 1), "I8": (-128, 127), "U8": (0, 255)}
SMALL_RANGE = 512
"""Whole numbers of at most so many values are cells of their own."""
FEW_VALUES = 16
"""Whole numbers of at most so many values need no measurement to find the bounds of moments."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who a row is about: the value of ``column``. The first ``most`` rows of each person count, others do not.
    ``words``: what its numbers stand for, if for words."""

    column: Column
    most: int
    words: tuple[str, ...] = ()

    def called(self, number: int) -> str:
        """What stands for a person in all tables: a word, whose number is another one in each of them, or the
        number."""
        return f"word {self.words[number]}" if 0 <= number < len(self.words) else str(number)


@dataclass(frozen=True, slots=True)
class Said:
    """What the owner said: bounds by column (for categories: of their numbers), and who a row belongs to.

    ``described``: by column, what the schema that counts most says of it.
    """

    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    person: Person | None = None
    described: dict[str, Described] = field(default_factory=dict)

    def view(self, column: Column) -> TableColumn:
        """A column with all that is said of it, for whoever may have statistics of the table."""
        low, high = self.bounds.get(column.name, (None, None))
        said = self.described.get(column.name)
        view = TableColumn(name=column.name, dtype=column.dtype, low=low, high=high)
        if said is not None:
            view.unit = said.unit
            view.categories = said.categories if column.spec.dtype in NUMBERED else []
        return view

    def column(self, column: Column) -> PublicColumn:
        """What is public of a column of the table."""
        said = self.described.get(column.name)
        if said is not None and said.categories and column.spec.dtype in NUMBERED:
            # One more at either end: a number without a word is not taken for the nearest that has one.
            return PublicColumn(column, (-1.0, float(len(said.categories))))
        return PublicColumn(column, self.bounds.get(column.name))


@dataclass(frozen=True, slots=True)
class PublicColumn:
    """A column as everybody may know it."""

    column: Column
    bounds: tuple[float, float] | None

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.column.code in GROUPABLE

    @property
    def said(self) -> tuple[float, float] | None:
        """The least and largest value that it is cut off at; None where nothing is said of it."""
        if not self.whole:
            return self.bounds
        if self.column.code == "BOOL":
            return (0.0, 1.0)
        if self.bounds is None:
            return None
        low, high = ceil(self.bounds[0]), floor(self.bounds[1])
        return (float(low), float(high)) if low <= high else None

    @property
    def cells(self) -> tuple[int, int] | None:
        """Least and largest of its values, where each is a cell of its own without any measurement."""
        if not self.whole:
            return None
        found = self.said or _OWN_RANGE.get(self.column.code)
        if found is None or found[1] - found[0] >= SMALL_RANGE:
            return None
        return int(found[0]), int(found[1])

    @property
    def few(self) -> tuple[float, float] | None:
        """The bounds of its moments, where these need no measurement."""
        cells = self.cells
        return (float(cells[0]), float(cells[1])) if cells and cells[1] - cells[0] < FEW_VALUES else None


def said_of(
    schemas: Iterable[Sequence[Described]], table: Table, columns: Sequence[Column], *, guarded: bool = True
) -> Said:
    """What the schemas of a table say, the one that counts most first; of persons only where it is ``guarded``.

    Raises :class:`Conflict` where one names a column by which rows would belong to persons, that is not there or
    holds no whole numbers: without it nobody knows how many rows of a person noise has to cover.
    """
    given = [list(each) for each in schemas]
    bounds = bounds_of(given, columns)
    found: dict[str, Described] = {}
    for schema in given:
        for column in columns:
            said = said_of_column(schema, column)
            if said is None:
                continue
            found.setdefault(column.name, said)
            if said.categories and column.spec.dtype in NUMBERED:
                bounds.setdefault(column.name, (0.0, float(len(said.categories) - 1)))
    named = [each for described in given for each in described if each.rows_per_person]
    if not named or not guarded:
        return Said(bounds, described=found)
    who = table.columns.get(named[0].name)
    if who is None or who.spec.dtype not in GROUPABLE or len({who.rows, *(c.rows for c in columns)}) != 1:
        raise Conflict(
            f"the schema says that {named[0].name!r} names the person of each row, and the table has no such "
            "column of whole numbers: its owner must say who the rows belong to",
            column=named[0].name,
        )
    person = Person(who, named[0].rows_per_person, tuple(named[0].categories))
    return Said(bounds, person, found)
