"""Frames of Polars, which is not imported here: whoever has one has Polars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from syft_ext.sources.held import HeldColumn
from syft_ext.sources.rule.cells import Cells, CellsProblem, cells_of_array, cells_of_objects
from syft_ext.sources.rule.problems import NOT_NUMBERS

__all__ = ["polars_column"]

_UNITS = {"ms": 10**6, "us": 10**3, "ns": 1}
_DAY = 86400 * 10**9
_TEXT = ("String", "Categorical", "Enum", "Binary", "Decimal", "Int128", "UInt128", "Object")


def polars_column(name: str, series: Any) -> HeldColumn:
    """A column of a series."""
    return HeldColumn(name, len(series), lambda first, stop: _cells(series[first:stop]), _declared(series))


def _declared(series: Any) -> Sequence[str]:
    """The words of an Enum. (A Categorical numbers words as they happen to come.)"""
    if _base(series) != "Enum":
        return ()
    return [str(word) for word in series.dtype.categories.to_list()]


def _base(series: Any) -> str:
    return str(series.dtype.base_type().__name__)


def _cells(series: Any) -> Cells:
    kind, dtype = _base(series), series.dtype
    gaps = series.is_null().to_numpy() if series.null_count() else None
    if kind == "Null":
        return Cells("nothing", np.zeros(len(series)), gaps)
    if kind == "Boolean":
        return Cells("truth", series.fill_null(False).to_numpy(), gaps)
    if kind in _TEXT:
        cells = cells_of_objects(series.to_list())
        return (
            Cells("text", [""] * len(series), gaps)
            if cells.kind == "nothing" and kind in _TEXT[:4]
            else cells
        )
    if dtype.is_float():
        return cells_of_array(series.to_numpy())
    if dtype.is_integer():
        return Cells("whole", series.fill_null(0).to_numpy(), gaps)
    if kind == "Array":
        if gaps is not None:
            raise CellsProblem(int(gaps.argmax()), "a list is missing")
        inner = series
        while str(inner.dtype.base_type().__name__) == "Array":
            inner = inner.explode()
        if inner.null_count():
            row = int(inner.is_null().arg_max()) * len(series) // len(inner)
            raise CellsProblem(row, "a number in a list is missing")
        values = series.to_numpy()
        if values.dtype.kind in "biuf":
            return cells_of_array(values)
    counted = {
        "Date": ("time", _DAY),
        "Time": ("clock", 1),
        "Datetime": (
            "zoned time" if getattr(dtype, "time_zone", None) else "time",
            _UNITS.get(getattr(dtype, "time_unit", ""), 1),
        ),
        "Duration": ("duration", _UNITS.get(getattr(dtype, "time_unit", ""), 1)),
    }.get(kind)
    if counted is None:
        raise CellsProblem(0, f"{dtype} is not numbers", NOT_NUMBERS)
    what: Any = counted[0]
    return Cells(what, series.to_physical().fill_null(0).to_numpy().astype(np.int64), gaps, counted[1])
