"""One table in every format that can carry it: what the importers are held against each other with."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest

polars = pytest.importorskip("polars")

UTC = datetime.UTC


@dataclass(frozen=True)
class Column:
    """Attributes:
    values: as Python has them; None where missing.
    arrow: Arrow's type; polars: Polars'; nullable: pandas' own with gaps ("" where it has none).
    """

    values: list[Any]
    arrow: Any
    polars: Any
    nullable: str = ""


Table = Mapping[str, Column]


def text_of(value: Any) -> str:
    """A cell of a CSV."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    return str(value)


def csv_text(table: Table) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(table)
    for row in zip(*(column.values for column in table.values()), strict=True):
        cells = [text_of(value) for value in row]
        # A row of one empty cell would be an empty line, which is no row.
        out.write('""\r\n') if cells == [""] else writer.writerow(cells)
    return out.getvalue()


def _csv(table: Table, folder: Path) -> Path:
    (folder / "t.csv").write_text(csv_text(table), newline="")
    return folder / "t.csv"


def _arrow(table: Table, folder: Path) -> Any:
    return pyarrow.table({name: pyarrow.array(c.values, type=c.arrow) for name, c in table.items()})


def _parquet(table: Table, folder: Path) -> Path:
    pyarrow.parquet.write_table(_arrow(table, folder), folder / "t.parquet", row_group_size=3)
    return folder / "t.parquet"


def _polars(table: Table, folder: Path) -> Any:
    return polars.DataFrame([polars.Series(name, c.values, dtype=c.polars) for name, c in table.items()])


def _pandas(table: Table, folder: Path) -> Any:
    """Pandas' own types where it has one with gaps, else objects."""
    return pandas.DataFrame(
        {
            name: pandas.array(c.values, dtype=c.nullable) if c.nullable else pandas.Series(c.values, dtype=object)
            for name, c in table.items()
        }
    )  # fmt: skip


def _objects(table: Table, folder: Path) -> Any:
    return pandas.DataFrame({name: pandas.Series(c.values, dtype=object) for name, c in table.items()})


def _arrow_pandas(table: Table, folder: Path) -> Any:
    return pandas.DataFrame(
        {name: pandas.array(c.values, dtype=pandas.ArrowDtype(c.arrow)) for name, c in table.items()}
    )


def _lists(table: Table, folder: Path) -> Any:
    return {name: list(c.values) for name, c in table.items()}


def _npz(table: Table, folder: Path) -> Any:
    """Only what NumPy has whole: the others as Python's objects, in memory."""
    return {name: np.array(c.values, dtype=object) for name, c in table.items()}


FORMATS: dict[str, Callable[[Table, Path], Any]] = {
    "csv": _csv,
    "arrow": _arrow,
    "parquet": _parquet,
    "polars": _polars,
    "pandas": _pandas,
    "objects": _objects,
    "pandas on arrow": _arrow_pandas,
    "lists": _lists,
    "numpy objects": _npz,
}


def expected(values: Sequence[Any], words: Sequence[str] = ()) -> tuple[str, list[Any]]:
    """The type and the numbers that the rule has for values, told a second time."""
    present = [value for value in values if value is not None]
    gaps = len(present) < len(values)
    if words:
        place = {word: number for number, word in enumerate(words)}
        codes = [place.get("" if value is None else value) for value in values]
        return ("float64" if None in codes else "int64"), codes
    if not present:
        return "float64", list(values)
    kind = type(present[0])
    if kind is bool:
        return ("float64" if gaps else "bool"), list(values)
    if kind is datetime.datetime:
        start = datetime.datetime(1970, 1, 1, tzinfo=present[0].tzinfo and UTC)
        micro = datetime.timedelta(microseconds=1)
        return ("float64" if gaps else "int64"), [None if v is None else (v - start) // micro for v in values]
    if kind is datetime.date:
        days = [None if v is None else (v - datetime.date(1970, 1, 1)).days * 86400 * 10**6 for v in values]
        return ("float64" if gaps else "int64"), days
    if kind is Decimal and all(value.as_tuple().exponent == 0 for value in present):
        return ("float64" if gaps else "int64"), [None if v is None else int(v) for v in values]
    if kind in (float, Decimal):
        return "float64", [None if value is None else float(value) for value in values]
    return ("float64" if gaps else "int64"), list(values)
