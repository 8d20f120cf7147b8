"""Frames of pandas, which is not imported here: whoever has one has pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from syft_ext.errors import BadRequest
from syft_ext.sources.arrow import DECLARED, INDEX_LEFT_OUT, cells_of_arrow, words_of
from syft_ext.sources.held import HeldColumn
from syft_ext.sources.parts import Part
from syft_ext.sources.rule.cells import Cells, cells_of_array, cells_of_objects

__all__ = ["pandas_array", "pandas_columns"]


def pandas_columns(frame: Any, where: str) -> tuple[Sequence[HeldColumn | Part], Sequence[str]]:
    """The levels of the index that have a name, then the columns; and what of the index is left out.

    An index without a name that only counts rows from 0 on is no data; pandas' files do not hold it either.
    """
    if getattr(frame.columns, "nlevels", 1) > 1:
        raise BadRequest(f"{where}: its columns have names of several levels; give each one name")
    index, held, notes = frame.index, [], set()
    for level in range(index.nlevels):
        values = index.get_level_values(level)
        if values.name is not None:
            held.append(pandas_array(str(values.name), values.array))
        elif type(values).__name__ != "RangeIndex" or (values.start, values.step) != (0, 1):
            notes.add(INDEX_LEFT_OUT)
    held += [pandas_array(str(name), frame.iloc[:, place].array) for place, name in enumerate(frame.columns)]
    return held, list(notes)


def pandas_array(name: str, array: Any) -> HeldColumn:
    """A column of the array behind a series."""
    return HeldColumn(name, len(array), lambda first, stop: _cells(array[first:stop]), _declared(array))


def _declared(array: Any) -> Sequence[str]:
    """The words of a categorical, as it has them in order."""
    name = type(array.dtype).__name__
    if name == "ArrowDtype":
        return words_of(iter(array.__arrow_array__().chunks))
    if name != "CategoricalDtype":
        return ()
    words = list(array.dtype.categories)
    return words if len(words) <= DECLARED and all(isinstance(word, str) for word in words) else ()


def _cells(array: Any) -> Cells:
    dtype = array.dtype
    if isinstance(dtype, np.dtype):
        return cells_of_array(np.asarray(array))
    match type(dtype).__name__:
        case "DatetimeTZDtype":
            naive = cells_of_array(np.asarray(array.tz_convert("UTC").tz_localize(None)))
            return Cells("zoned time", naive.values, naive.missing, naive.unit)
        case "ArrowDtype":
            return cells_of_arrow(array.__arrow_array__())
        case "SparseDtype":
            return cells_of_array(np.asarray(array.to_dense()))
        case "CategoricalDtype":
            return cells_of_objects(array.astype(object).tolist())
    kind = getattr(dtype, "numpy_dtype", None)  # of the nullable numbers
    if isinstance(kind, np.dtype) and kind.kind in "biuf":
        gaps = np.asarray(array.isna())
        missing: Any = np.nan if kind.kind == "f" else kind.type(0)
        values = array.to_numpy(dtype=kind, na_value=missing)
        read = cells_of_array(values)
        return Cells(read.kind, read.values, gaps if gaps.any() else None)
    return cells_of_objects(array.astype(object).tolist())
