"""CSV with a header, read twice: once to find rows and types, once to write the columns.

A column is int64 where all of it is whole numbers, else float64: nothing is rounded to fewer digits than the
file has. An empty cell of a float column is NaN; one in a column of whole numbers makes it a column of floats.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.sources.content import PartsContent
from syft_ext.sources.parts import NOT_NUMBERS, codes, metadata_of
from syft_ext.sources.spool import PlannedColumn, Spool

__all__ = ["read_csv"]

ROWS = 4096  # of a CSV at a time
MAX_LINE = 16 << 20
_MISSING = ("", "nan", "na", "null")


def read_csv(
    path: Path, metadata: ColumnMetadata, *, columns: Sequence[str] | None, spool: Path, delimiter: str = ""
) -> PartsContent:
    """The table in a file.

    Args:
        metadata: what the owner says of columns; categories for those that hold text.
        columns: only these, in this order.
        delimiter: "," unless the name ends in .tsv or the header has only semicolons.

    Raises :class:`BadRequest` naming line and column of what is no number.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = _Table(path, file, metadata, columns, delimiter)
            planned, rows = table.plan()
            written = Spool(planned, rows, spool)
            table.write(written)
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadRequest(f"{path.name}: {error}") from error
    return written.content(path.name)


class _Table:
    def __init__(
        self,
        path: Path,
        file: IO[str],
        metadata: ColumnMetadata,
        columns: Sequence[str] | None,
        delimiter: str,
    ) -> None:
        self._path, self._file, self._metadata = path, file, metadata
        first = file.readline(MAX_LINE)
        if not delimiter:
            tabs = path.suffix.lower() == ".tsv"
            delimiter = "\t" if tabs else ";" if ";" in first and "," not in first else ","
        self._delimiter = delimiter
        self.names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
        if not self.names or not all(self.names) or len(set(self.names)) != len(self.names):
            raise BadRequest(f"{path.name}: the first line must name the columns, each differently")
        unknown = set(columns or ()) - set(self.names)
        if unknown:
            known = ", ".join(self.names[:20])
            raise BadRequest(f"{path.name} has no column {sorted(unknown)[0]!r}; there are: {known}")
        self._taken = [self.names.index(name) for name in columns or self.names]

    def chunks(self) -> Iterator[tuple[int, list[list[str]]]]:
        """The line that each stretch begins with, and its rows."""
        self._file.seek(0)
        reader = csv.reader(_lines(self._file, self._path), delimiter=self._delimiter, strict=True)
        next(reader, None)
        while True:
            line = reader.line_num + 1
            read = list(islice(reader, ROWS))
            if not read:
                return
            rows = [row for row in read if row]  # empty lines are none
            for row in rows:
                if len(row) != len(self.names):
                    raise BadRequest(
                        f"{self._path.name}, line {line} or after: {len(row)} of {len(self.names)} columns"
                    )
            if rows:
                yield line, rows

    def plan(self) -> tuple[list[PlannedColumn], int]:
        whole = {
            place: not metadata_of(self._metadata, self.names[place]).get("categories")
            for place in self._taken
        }
        rows = 0
        for _, chunk in self.chunks():
            rows += len(chunk)
            for place in [place for place, still in whole.items() if still]:
                whole[place] = _all_whole([row[place] for row in chunk])
        return [self._planned_column(place, whole[place]) for place in self._taken], rows

    def _planned_column(self, place: int, whole: bool) -> PlannedColumn:
        name = self.names[place]
        metadata = metadata_of(self._metadata, name)
        return PlannedColumn(name, "I64" if whole or metadata.get("categories") else "F64", metadata=metadata)

    def write(self, spool: Spool) -> None:
        first = 0
        for line, chunk in self.chunks():
            for index, place in enumerate(self._taken):
                cells = [row[place] for row in chunk]
                spool.write(index, first, self._numbers(spool.columns[index], cells, line, first))
            first += len(chunk)

    def _numbers(self, column: PlannedColumn, cells: list[str], line: int, first: int) -> NDArray[Any]:
        where = f"{self._path.name}, column {column.name!r}"
        categories = (column.metadata or {}).get("categories")
        if categories:
            return codes([cell.strip() for cell in cells], categories, where, first)
        if column.dtype == "I64":
            return np.fromiter(map(int, cells), dtype=np.int64, count=len(cells))
        try:
            return np.fromiter(map(_float, cells), dtype=np.float64, count=len(cells))
        except ValueError:
            bad = next(i for i, cell in enumerate(cells) if not _is_number(cell))
            raise BadRequest(
                f"{where}, row {first + bad + 1} (line {line + bad}): {cells[bad][:40]!r} is {NOT_NUMBERS}"
            ) from None


def _all_whole(cells: list[str]) -> bool:
    if "_" in "".join(cells):  # which Python would take as a separator of digits
        return False
    try:
        np.fromiter(map(int, cells), dtype=np.int64, count=len(cells))
    except (ValueError, OverflowError):
        return False
    return True


def _float(cell: str) -> float:
    try:
        if "_" not in cell:
            return float(cell)
    except ValueError:
        if cell.strip().lower() in _MISSING:
            return np.nan
    raise ValueError(cell)


def _is_number(cell: str) -> bool:
    try:
        _float(cell)
    except ValueError:
        return False
    return True


def _lines(file: IO[str], path: Path) -> Iterator[str]:
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE and not line.endswith("\n"):
            raise BadRequest(f"{path.name}: a line of more than {MAX_LINE} characters")
        yield line
