"""From what has columns to a tensor file: looked through once, refused with all its problems, then written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from syft_ext.errors import BadRequest
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.sources.content import PartsContent
from syft_ext.sources.parts import metadata_of
from syft_ext.sources.rule.cells import Cells, CellsProblem
from syft_ext.sources.rule.columns import ColumnRule
from syft_ext.sources.rule.problems import Problems
from syft_ext.sources.spool import PlannedColumn, Spool

__all__ = ["ROWS", "Check", "Stretch", "TableSource", "chosen", "looked_through", "spooled_table"]

ROWS = 1 << 16  # looked at at a time, of what is in memory

_NAMES = "the table must name the columns, each differently"

Check = Callable[[str, Mapping[str, Any], Problems], None]
"""Takes the name, what is said of it, and what takes its problems."""


class Stretch(NamedTuple):
    """Rows of one column, from row ``first`` on; or why they cannot be read."""

    place: int
    first: int
    cells: Cells | CellsProblem


class TableSource(Protocol):
    """Attributes:
    where: what errors call it. names: of all columns, as they are there.
    notes: what of it is not kept, for who reads the schema.
    """

    @property
    def where(self) -> str: ...

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def notes(self) -> Sequence[str]: ...

    def declared(self, place: int) -> Sequence[str]:
        """The words that it numbers itself (a categorical's, in order); empty for every other column."""

    def keeps(self, place: int) -> str:
        """The type that an array's numbers keep; empty for a column of a table."""

    def stretches(self, columns: Mapping[int, ColumnRule], problems: Problems) -> Iterator[Stretch]:
        """All rows of these columns, each column's from the first on. Every time the same."""


def spooled_table(
    source: TableSource, metadata: ColumnMetadata, columns: Sequence[str] | None, spool: Path | None
) -> PartsContent:
    """The table of a file, written again column by column.

    Raises :class:`BadRequest` naming what is wrong with each column, with its row.
    """
    taken, _ = looked_through(source, metadata, columns)
    rows = max((column.rows for column in taken.values()), default=0)
    planned = [
        PlannedColumn(column.name, column.dtype, column.shape, column.metadata, column.found)
        for column in taken.values()
    ]
    index = {place: number for number, place in enumerate(taken)}
    written = Spool(planned, rows, spool)
    for place, first, cells in source.stretches(taken, Problems(source.where)):
        assert isinstance(cells, Cells)
        written.write(index[place], first, taken[place].encode(cells))
    return written.content(source.where, source.notes)


def looked_through(
    source: TableSource,
    metadata: ColumnMetadata,
    columns: Sequence[str] | None,
    *,
    check: Mapping[int, Check] = MappingProxyType({}),
) -> tuple[dict[int, ColumnRule], dict[int, str]]:
    """The columns by place, each looked at from its first row to its last; and the names of all that is taken.

    Args:
        check: by place, what holds against the schema what is no column but a tensor.

    Raises :class:`BadRequest` with the problems of all of them.
    """
    problems = Problems(source.where)
    metadata = {name.strip(): said for name, said in metadata.items()}
    names = chosen(source, columns, problems)
    problems.refuse()
    taken = {}
    for place, name in names.items():
        said = metadata_of(metadata, name)
        if place in check:
            check[place](name, said, problems)
        else:
            declared = () if said.get("categories") else source.declared(place)
            taken[place] = ColumnRule(name, said, problems, declared, source.keeps(place))
    for place, first, cells in source.stretches(taken, problems):
        if isinstance(cells, CellsProblem):
            taken[place].refuse(cells, first)
        else:
            taken[place].look(cells, first)
    for column in taken.values():
        column.close()
    problems.refuse()
    return taken, names


def chosen(source: TableSource, columns: Sequence[str] | None, problems: Problems) -> dict[int, str]:
    """Place → name of the columns to take: all, or those that are named, in this order.

    Blanks around a name are no part of it. What has no name, or one that another column has, is refused, unless
    other columns were asked for.
    """
    names = [str(name).strip() for name in source.names]
    columns = None if columns is None else [name.strip() for name in columns]
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    for name in columns or ():
        if name not in places:
            known = ", ".join(each for each in list(places)[:20] if each)
            raise BadRequest(f"{source.where} has no column {name!r}; there are: {known}")
    if not names:
        raise BadRequest(f"{source.where}: there are no columns")
    found: dict[int, str] = {}
    for name in dict.fromkeys(names if columns is None else columns):
        where = [place + 1 for place in places[name]]
        if not name:
            problems.add(
                "", f"column {where[0]} has no name", hint=_NAMES
            )  # fmt: skip
        elif len(where) > 1:
            problems.add(
                name, f"{len(where)} columns have this name (columns {', '.join(map(str, where))})",
                hint=_NAMES,
            )  # fmt: skip
        found[places[name][0]] = name
    return found
