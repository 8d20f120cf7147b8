"""Arrow's arrays and tables, from memory and from Parquet. pyarrow is imported only where there are some."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from syft_ext.sources.rule.cells import Cells, CellsProblem, cells_of_objects
from syft_ext.sources.rule.problems import NOT_NUMBERS

__all__ = ["DECLARED", "INDEX_LEFT_OUT", "ArrowColumns", "cells_of_arrow", "counted_cells", "words_of"]

INDEX_LEFT_OUT = "the index, which has no name, is left out"
"""What the schema says of an index of pandas that is no column."""
DECLARED = 10_000  # categories that a schema can have
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_DAY = 86400 * 10**9


def cells_of_arrow(array: Any) -> Cells:
    """Of an array, or of a chunked one. Raises :class:`CellsProblem` for types that are no numbers or words."""
    import pyarrow
    import pyarrow.types as kinds

    if isinstance(array, pyarrow.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pyarrow.ChunkedArray):  # as older versions of pyarrow have it
            array = pyarrow.concat_arrays(array.chunks)
    kind = array.type
    if kinds.is_dictionary(kind):
        return cells_of_arrow(array.dictionary_decode())
    gaps = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if kinds.is_null(kind):
        return Cells("nothing", np.zeros(len(array)), gaps)
    if kinds.is_boolean(kind):
        return Cells("truth", array.fill_null(False).to_numpy(zero_copy_only=False), gaps)
    if kinds.is_integer(kind):
        return Cells("whole", _filled(array).to_numpy(zero_copy_only=False), gaps)
    if kinds.is_floating(kind):
        return Cells("float", np.asarray(array.to_numpy(zero_copy_only=False)))
    if _is_text(kind) or kinds.is_decimal(kind):
        cells = cells_of_objects(array.to_pylist())
        return Cells("text", [""] * len(array), gaps) if cells.kind == "nothing" and _is_text(kind) else cells
    if kinds.is_fixed_size_list(kind):
        return _vectors(array, gaps)
    return _times(array, kind, gaps)


def _is_text(kind: Any) -> bool:
    import pyarrow.types as kinds

    return any(
        getattr(kinds, f"is_{name}")(kind)
        for name in ("string", "large_string", "string_view", "binary", "large_binary")
        if hasattr(kinds, f"is_{name}")
    )


def _filled(array: Any) -> Any:
    return array.fill_null(0) if array.null_count else array


def _times(array: Any, kind: Any, gaps: Any) -> Cells:
    import pyarrow
    import pyarrow.types as kinds

    def counts(width: Any) -> Any:
        return _filled(array.cast(width)).to_numpy(zero_copy_only=False).astype(np.int64)

    if kinds.is_timestamp(kind):
        name: Any = "zoned time" if kind.tz else "time"
        return Cells(name, counts(pyarrow.int64()), gaps, _UNITS[kind.unit])
    if kinds.is_date32(kind):
        return Cells("time", counts(pyarrow.int32()), gaps, _DAY)
    if kinds.is_date64(kind):
        return Cells("time", counts(pyarrow.int64()), gaps, _UNITS["ms"])
    if kinds.is_duration(kind):
        return Cells("duration", counts(pyarrow.int64()), gaps, _UNITS[kind.unit])
    if kinds.is_time(kind):
        width = pyarrow.int32() if kinds.is_time32(kind) else pyarrow.int64()
        return Cells("clock", counts(width), gaps, _UNITS[kind.unit])
    raise CellsProblem(0, f"{kind} is not numbers", NOT_NUMBERS)


def _vectors(array: Any, gaps: Any) -> Cells:
    """Lists of a fixed length of numbers, nested ones too."""
    import pyarrow.types as kinds

    shape, inner = [len(array)], array
    if gaps is not None:
        raise CellsProblem(int(gaps.argmax()), "a list is missing")
    while kinds.is_fixed_size_list(inner.type):
        shape.append(inner.type.list_size)
        inner = inner.flatten()
    if inner.null_count:
        row = int(inner.is_null().to_numpy(zero_copy_only=False).argmax()) * len(array) // max(1, len(inner))
        raise CellsProblem(row, "a number in a list is missing")
    if not (kinds.is_integer(inner.type) or kinds.is_floating(inner.type) or kinds.is_boolean(inner.type)):
        raise CellsProblem(0, f"{array.type} is not numbers", NOT_NUMBERS)
    return Cells("vector", inner.to_numpy(zero_copy_only=False).reshape(shape))


def words_of(chunks: Iterator[Any]) -> Sequence[str]:
    """The words that a dictionary of text declares; empty where there are none, or chunks number differently."""
    import pyarrow.types as kinds

    words: list[str] | None = None
    for chunk in chunks:
        if not kinds.is_dictionary(chunk.type) or not _is_text(chunk.type.value_type):
            return ()
        found = chunk.dictionary.to_pylist()
        if (
            len(found) > DECLARED
            or any(not isinstance(word, str) for word in found)
            or words not in (None, found)
        ):
            return ()
        words = found
    return words or ()


class ArrowColumns:
    """The names of an Arrow schema as a table has them, with pandas' index where pandas wrote one.

    Attributes:
        names: of the columns. places: where each of them stands in the schema; None: in ``counted``.
        counted: of indexes that only count, which are not written: name → the numbers.
        notes: which index is left out.
    """

    def __init__(self, schema: Any, rows: int) -> None:
        written, self.counted, self.notes = _index_of(schema.metadata or {}, rows)
        every = list(schema.names)
        first = [every.index(name) for name in written if every.count(name) == 1 and not _unnamed(name)]
        left = [place for place, name in enumerate(every) if _unnamed(name) and name in written]
        rest = [place for place in range(len(every)) if place not in first and place not in left]
        self.places: list[int | None] = [*([None] * len(self.counted)), *first, *rest]
        self.names = [*self.counted, *(every[place] for place in (*first, *rest))]


def _unnamed(name: str) -> bool:
    return name.startswith("__index_level_") and name.endswith("__")


def _index_of(metadata: Mapping[bytes, bytes], rows: int) -> tuple[list[str], dict[str, range], list[str]]:
    """Names of pandas' index that are columns, what is only counted, and what of it is no column."""
    try:
        levels = json.loads(metadata[b"pandas"])["index_columns"]
        counts = [
            (each["name"], range(each["start"], each["stop"], each["step"]))
            for each in levels
            if isinstance(each, dict)
        ]
    except (KeyError, ValueError, TypeError):
        return [], {}, []
    written = [each for each in levels if isinstance(each, str)]
    counted = {str(name): numbers for name, numbers in counts if name is not None and len(numbers) == rows}
    other = any(name is None and (numbers.start, numbers.step) != (0, 1) for name, numbers in counts)
    return written, counted, [INDEX_LEFT_OUT] if other or any(map(_unnamed, written)) else []


def counted_cells(numbers: range) -> Cells:
    """Of an index that only counts."""
    return Cells("whole", np.arange(numbers.start, numbers.stop, numbers.step, dtype=np.int64))
