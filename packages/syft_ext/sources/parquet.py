"""Parquet, a column and a row group at a time. Needs the extra ``data`` (pyarrow)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest, Unsupported
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.sources.content import PartsContent
from syft_ext.sources.parts import NOT_NUMBERS, code_of_dtype, codes, metadata_of
from syft_ext.sources.spool import PlannedColumn, Spool

__all__ = ["read_parquet"]

ROWS = 1 << 16


def read_parquet(
    path: Path, metadata: ColumnMetadata, *, columns: Sequence[str] | None, spool: Path
) -> PartsContent:
    """The flat columns of numbers, truth values, named categories, and lists of a fixed length of numbers.

    Whole numbers with gaps become float64 with NaN. Raises :class:`Unsupported`, naming the extra, without
    pyarrow, and :class:`BadRequest` for a column that is no numbers.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise Unsupported('reading Parquet needs pyarrow: pip install "grid-platform[data]"') from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            return _convert(file, path, metadata, columns, spool)
    except pyarrow.ArrowException as error:
        raise BadRequest(f"{path.name}: {error}") from error


def _convert(
    file: Any, path: Path, metadata: ColumnMetadata, columns: Sequence[str] | None, spool: Path
) -> PartsContent:
    fields = {field.name: field for field in file.schema_arrow}
    for name in columns or ():
        if name not in fields:
            raise BadRequest(f"{path.name} has no column {name!r}; there are: {', '.join(list(fields)[:20])}")
    names = list(fields) if columns is None else list(columns)
    planned = [_planned_column(file, path, fields[name], metadata_of(metadata, name)) for name in names]
    written = Spool(planned, file.metadata.num_rows, spool)
    for index, column in enumerate(planned):
        first = 0
        for array in _arrays(file, column.name):
            where = f"{path.name}, column {column.name!r}"
            written.write(index, first, _numbers(array, column, where, first))
            first += len(array)
    return written.content(path.name)


def _arrays(file: Any, name: str) -> Iterator[Any]:
    for batch in file.iter_batches(batch_size=ROWS, columns=[name]):
        yield batch.column(0)


def _planned_column(file: Any, path: Path, field: Any, metadata: Any) -> PlannedColumn:
    import pyarrow.types as kinds

    kind: Any = field.type
    shape: tuple[int, ...] = ()
    where = f"{path.name}, column {field.name!r}"
    if metadata.get("categories"):
        return PlannedColumn(field.name, "I64", metadata=metadata)
    if kinds.is_fixed_size_list(kind):
        kind, shape = kind.value_type, (kind.list_size,)
    if kinds.is_decimal(kind):
        return PlannedColumn(field.name, "F64", shape, metadata)
    if not (kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind)):
        raise BadRequest(f"{where}: {field.type} is {NOT_NUMBERS}")
    gaps = any(array.null_count for array in _arrays(file, field.name))
    if gaps and shape:
        raise BadRequest(f"{where}: a list is missing")
    if gaps and not kinds.is_floating(kind):
        return PlannedColumn(field.name, "F64", shape, metadata)
    code = "BOOL" if kinds.is_boolean(kind) else code_of_dtype(np.dtype(kind.to_pandas_dtype()), where)
    return PlannedColumn(field.name, code, shape, metadata)


def _numbers(array: Any, column: PlannedColumn, where: str, first: int) -> NDArray[Any]:
    import pyarrow
    import pyarrow.types as kinds

    categories = (column.metadata or {}).get("categories")
    if categories:
        return codes(array.to_pylist(), categories, where, first)
    if column.shape:
        array = array.flatten()
        if array.null_count:
            raise BadRequest(f"{where}: a number in a list is missing")
    if kinds.is_boolean(array.type) and column.dtype == "F64":
        array = array.cast(pyarrow.int8())
    if kinds.is_decimal(array.type):
        array = array.cast(pyarrow.float64())
    numbers: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return numbers
