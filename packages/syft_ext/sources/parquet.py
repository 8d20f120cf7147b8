"""Parquet, a column and a row group at a time. Needs the extra ``data`` (pyarrow)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from syft_ext.errors import BadRequest, Unsupported
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.sources.arrow import ArrowColumns, cells_of_arrow, counted_cells, words_of
from syft_ext.sources.content import PartsContent
from syft_ext.sources.rule.cells import CellsProblem
from syft_ext.sources.rule.columns import ColumnRule
from syft_ext.sources.rule.problems import Problems
from syft_ext.sources.table import ROWS, Stretch, spooled_table

__all__ = ["parquet_names", "read_parquet"]


def read_parquet(
    path: Path, metadata: ColumnMetadata, *, columns: Sequence[str] | None, spool: Path | None
) -> PartsContent:
    """The flat columns, and lists of a fixed length of numbers.

    Raises :class:`Unsupported`, naming the extra, without pyarrow, and :class:`BadRequest` naming what is wrong
    with each column.
    """
    pyarrow = _pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            return spooled_table(_Parquet(path, file), metadata, columns, spool)
    except (pyarrow.ArrowException, OSError) as error:
        raise BadRequest(f"{path.name}: {error}") from error


def parquet_names(path: Path) -> list[str]:
    """The names of its columns."""
    pyarrow = _pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            return ArrowColumns(file.schema_arrow, file.metadata.num_rows).names
    except (pyarrow.ArrowException, OSError) as error:
        raise BadRequest(f"{path.name}: {error}") from error


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise Unsupported('reading Parquet needs pyarrow: pip install "grid-platform[data]"') from error
    return pyarrow


class _Parquet:
    def __init__(self, path: Path, file: Any) -> None:
        self.where, self._file, self._path = path.name, file, path
        leaves = [file.schema.column(place) for place in range(len(file.schema))]
        self._int96 = {leaf.path for leaf in leaves if leaf.physical_type == "INT96"}
        self._columns = ArrowColumns(file.schema_arrow, file.metadata.num_rows)
        self.names, self.notes = self._columns.names, self._columns.notes

    def declared(self, place: int) -> Sequence[str]:
        return () if self.names[place] in self._columns.counted else words_of(self._arrays(self.names[place]))

    def keeps(self, place: int) -> str:
        return ""

    def _arrays(self, name: str) -> Iterator[Any]:
        if not self._file.metadata.num_rows:
            yield _empty(self._file.schema_arrow.field(name).type)
            return
        if name in self._int96:
            yield from self._times(name)
            return
        for batch in self._file.iter_batches(batch_size=ROWS, columns=[name]):
            # Asked for "a", pyarrow also gives "a.b".
            yield batch.column(batch.schema.names.index(name))

    def _times(self, name: str) -> Iterator[Any]:
        """Of INT96, which has nanoseconds over all years: pyarrow's int64 of nanoseconds runs over beyond 2262,
        and its microseconds drop the rest. Both together are exact, or it is refused."""
        import pyarrow

        with pyarrow.parquet.ParquetFile(self._path, coerce_int96_timestamp_unit="us") as coarse:
            batches = [file.iter_batches(batch_size=ROWS, columns=[name]) for file in (self._file, coarse)]
            for fine, micro in zip(*batches, strict=True):
                found = micro.column(0)
                counts = [
                    each.column(0).cast(pyarrow.int64()).fill_null(0).to_numpy() for each in (fine, micro)
                ]
                if (counts[0] != counts[1] * 1000).any():  # which runs over as the other does
                    found = fine.column(0)
                    if (np.abs(counts[1].astype(np.float64)) * 1000 >= 2.0**63).any():
                        raise BadRequest(
                            f"{self.where}, column {name!r}: too far from 1970 beside times in nanoseconds"
                        )
                yield found

    def stretches(self, columns: Mapping[int, ColumnRule], problems: Problems) -> Iterator[Stretch]:
        for place, column in columns.items():
            first, counted = 0, self._columns.counted.get(self.names[place])
            if counted is not None:
                for first in range(0, len(counted), ROWS):
                    yield Stretch(place, first, counted_cells(counted[first : first + ROWS]))
                continue
            for array in self._arrays(self.names[place]):
                if column.name in problems:
                    break
                try:
                    yield Stretch(place, first, cells_of_arrow(array))
                except CellsProblem as problem:
                    yield Stretch(place, first, problem)
                first += len(array)


def _empty(kind: Any) -> Any:
    import pyarrow

    return pyarrow.array([], type=kind)
