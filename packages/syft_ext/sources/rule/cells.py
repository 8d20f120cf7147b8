"""A stretch of a column, as any format gives it: what its values are, before what is kept of them is decided."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from syft_ext.sources.rule.times import MICROSECONDS

__all__ = ["Cells", "CellsProblem", "Kind", "cells_of_array", "cells_of_objects", "decoded"]

Kind = Literal[
    "nothing",
    "truth",
    "whole",
    "float",
    "decimal",
    "text",
    "time",
    "zoned time",
    "duration",
    "clock",
    "vector",
]


class CellsProblem(Exception):
    """A value that cannot be read at all; ``row`` counts from the stretch's first one."""

    def __init__(self, row: int, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.row, self.text, self.hint = row, text, hint


@dataclass(frozen=True, slots=True)
class Cells:
    """Attributes:
    kind: what all of its values are; "nothing" where all are missing.
    values: bool, int64 (or uint64), float64 (or narrower), counts of times as int64; lists of ``str``, ``Decimal``
        or (of whole numbers that no type holds) ``int``; of vectors, an array with more dimensions. What stands
        where a value is missing means nothing.
    missing: which are missing; None: none. (NaN in floats is not marked.)
    unit: of times, how many nanoseconds one count is.
    lines: of text files, the line that each row ends in.
    """

    kind: Kind
    values: Any
    missing: NDArray[np.bool_] | None = None
    unit: int = 1
    lines: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def line(self, row: int) -> int | None:
        """The line of a text file that a row is from."""
        return None if self.lines is None else self.lines[row]


_UNITS = {
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "ns": 1,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "D": 86400 * 10**9,
}
_NOT_A_TIME = np.iinfo(np.int64).min


def cells_of_array(array: NDArray[Any]) -> Cells:
    """Of a stretch of a numpy array with one dimension (or more: vectors); what its mask hides is missing."""
    if isinstance(array, np.ma.MaskedArray):
        return _masked(array)
    kind = array.dtype.kind
    if array.ndim > 1:
        return Cells("vector", array)
    if kind == "b":
        return Cells("truth", array)
    if kind in "iu":
        return Cells("whole", array)
    if kind == "f" and array.dtype.itemsize <= 8:
        return Cells("float", array)
    if kind in "Mm":
        return _times(array)
    if kind == "S":
        return cells_of_objects([bytes(each) for each in array])
    if kind in "UOT":
        return cells_of_objects(array.tolist())
    raise CellsProblem(0, f"{array.dtype} is not numbers that can be kept")


def _masked(array: np.ma.MaskedArray[Any, Any]) -> Cells:
    hidden = np.ma.getmaskarray(array)
    if not hidden.any():
        return cells_of_array(array.data)
    if array.ndim > 1:
        raise CellsProblem(int(hidden.reshape(len(array), -1).any(1).argmax()), "a value is masked")
    if array.dtype.kind in "OSUT":
        return cells_of_objects(
            [None if gone else each for each, gone in zip(array.data, hidden, strict=True)]
        )
    shown = array.data[~hidden]
    # What stands behind the mask means nothing, and is not to be looked at.
    read = cells_of_array(np.where(hidden, shown[0] if len(shown) else array.dtype.type(0), array.data))
    gaps = hidden if read.missing is None else hidden | read.missing
    return Cells(read.kind, read.values, gaps, read.unit)


def _times(array: NDArray[Any], *, zoned: bool = False) -> Cells:
    """Of datetime64 and timedelta64."""
    name, step = np.datetime_data(array.dtype)
    gaps = np.isnat(array)
    if name not in _UNITS:
        array, name, step = (
            array.astype(f"{array.dtype.kind}8[D]" if array.dtype.kind == "M" else "m8[s]"),
            "D",
            1,
        )
        if array.dtype.kind == "m" and not gaps.all():
            raise CellsProblem(0, "spans of months or years are no numbers")
    counts = (
        array.view(np.int64)
        if array.dtype.isnative
        else array.astype(array.dtype.newbyteorder("=")).view(np.int64)
    )
    kind: Kind = "duration" if array.dtype.kind == "m" else "zoned time" if zoned else "time"
    return Cells(kind, counts, gaps if gaps.any() else None, _UNITS[name] * step)


def decoded(value: bytes) -> str:
    """Text of bytes; raises :class:`ValueError` where they are none."""
    return value.decode("utf-8")


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    if isinstance(value, Decimal):
        return value.is_nan()  # a signalling one, which raises where it is compared, too
    # Of an array with a mask, what stands alone is a constant of numpy's.
    return type(value).__name__ in ("NAType", "NaTType", "MaskedConstant") or (
        isinstance(value, float | np.floating) and value != value
    )


def cells_of_objects(values: Sequence[Any]) -> Cells:
    """Of Python's own objects (object columns, text, decimals): all of one kind, or a problem with a row."""
    missing = np.fromiter(map(_is_missing, values), dtype=np.bool_, count=len(values))
    gaps = missing if missing.any() else None
    kinds: dict[Kind, int] = {}
    for row, value in enumerate(values):
        if not missing[row]:
            kind = _kind_of(value, row)
            if kind not in kinds:
                kinds[kind] = row
    if not kinds:
        # NaN alone is a number that is missing; all None is nothing at all. Both are kept as NaN.
        return Cells("nothing", np.zeros(len(values)), gaps)
    kind = _common(kinds, values)
    present = [default(kind) if gone else value for value, gone in zip(values, missing, strict=True)]
    return _FROM_OBJECTS[kind](present, gaps)


def default(kind: Kind) -> Any:
    """Stands where a value is missing."""
    return {"text": "", "decimal": Decimal(0), "float": 0.0}.get(kind) if kind in _EMPTY else 0


_EMPTY = {"text", "decimal", "float", "time", "zoned time", "duration", "clock"}
_NUMBERS: set[Kind] = {"whole", "float", "decimal"}


def _kind_of(value: Any, row: int) -> Kind:
    for types, kind in _TYPES:
        if isinstance(value, types):
            if kind == "time" and getattr(value, "tzinfo", None) is not None:
                return "zoned time"
            return kind
    raise CellsProblem(row, f"a {type(value).__name__} is not numbers")


_TYPES: list[tuple[Any, Kind]] = [
    (bool | np.bool_, "truth"),
    (datetime.timedelta | np.timedelta64, "duration"),  # numpy's is one of its whole numbers, too
    (int | np.integer, "whole"),
    (float | np.floating, "float"),
    (Decimal | Fraction, "decimal"),
    (str | bytes, "text"),
    (datetime.datetime | datetime.date | np.datetime64, "time"),
    (datetime.time, "clock"),
]


def _common(kinds: Mapping[Kind, int], values: Sequence[Any]) -> Kind:
    if len(kinds) == 1:
        return next(iter(kinds))
    if set(kinds) <= _NUMBERS:
        return "decimal" if "decimal" in kinds or "whole" in kinds else "float"
    (first, _), (other, row) = list(kinds.items())[:2]
    raise CellsProblem(
        row, f"{shown_value(values[row])} is of kind {other}, what stands above it of kind {first}"
    )


def shown_value(value: Any) -> str:
    """A value in an error."""
    return repr(value)[:80]


Gaps = NDArray[np.bool_] | None


def _whole(values: Sequence[Any], gaps: Gaps) -> Cells:
    try:
        return Cells("whole", np.fromiter(map(int, values), dtype=np.int64, count=len(values)), gaps)
    except OverflowError:
        return Cells("whole", [int(value) for value in values], gaps)


def _float(values: Sequence[Any], gaps: Gaps) -> Cells:
    return Cells("float", np.array([float(value) for value in values], dtype=np.float64), gaps)


def _decimal(values: Sequence[Any], gaps: Gaps) -> Cells:
    found = []
    for row, value in enumerate(values):
        if isinstance(value, Fraction):
            raise CellsProblem(row, f"{value!r} is a fraction; make it a decimal or a float")
        # of a float, all its digits: it is held by a float64 again without a loss
        found.append(
            value
            if isinstance(value, Decimal)
            else Decimal(int(value) if isinstance(value, int | np.integer) else float(value))
        )
    return Cells("decimal", found, gaps)


def _text(values: Sequence[Any], gaps: Gaps) -> Cells:
    if any(isinstance(value, bytes) for value in values):
        found = []
        for row, value in enumerate(values):
            try:
                found.append(decoded(value) if isinstance(value, bytes) else str(value))
            except ValueError:
                raise CellsProblem(row, f"{value[:40]!r} is no text in UTF-8") from None
        return Cells("text", found, gaps)
    return Cells("text", [str(value) for value in values], gaps)


_EPOCH = datetime.datetime(1970, 1, 1)
_EPOCH_UTC = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def _nanoseconds(value: Any) -> int:
    """Since 1970, or of a span."""
    if isinstance(value, np.datetime64 | np.timedelta64):
        name, step = np.datetime_data(value.dtype)
        return int(value.astype(np.int64)) * _UNITS[name] * step
    fine = int(getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0))  # pandas'
    if isinstance(value, datetime.timedelta):
        return (value // _MICROSECOND) * MICROSECONDS + fine
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    since = value - (_EPOCH if value.tzinfo is None else _EPOCH_UTC)
    return (
        datetime.timedelta(since.days, since.seconds, since.microseconds) // _MICROSECOND
    ) * MICROSECONDS + fine


def _clock(value: datetime.time) -> int:
    if value.tzinfo is not None:
        raise ValueError("a time of day with a zone")
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 10**9 + value.microsecond * MICROSECONDS


def _counted(kind: Kind, count: Callable[[Any], int]) -> Callable[[Sequence[Any], Gaps], Cells]:
    def of(values: Sequence[Any], gaps: Gaps) -> Cells:
        found = []
        for row, value in enumerate(values):
            try:
                found.append(0 if value is None else count(value))
            except (ValueError, KeyError, OverflowError) as error:
                raise CellsProblem(row, f"{shown_value(value)} is no {kind}: {error}") from None
        return nanoseconds_cells(kind, found, gaps)

    return of


def nanoseconds_cells(kind: Kind, counts: Sequence[int], gaps: Gaps) -> Cells:
    """Of times in nanoseconds, in microseconds where that is exact: int64 holds 584 years of nanoseconds."""
    if all(count % MICROSECONDS == 0 for count in counts):
        return Cells(
            kind, np.array([count // MICROSECONDS for count in counts], dtype=np.int64), gaps, MICROSECONDS
        )
    try:
        return Cells(kind, np.array(counts, dtype=np.int64), gaps, 1)
    except OverflowError:
        row = next(row for row, count in enumerate(counts) if not -(1 << 63) < count < 1 << 63)
        raise CellsProblem(row, "too far from 1970 beside times in nanoseconds") from None


_FROM_OBJECTS: dict[Kind, Callable[[Sequence[Any], Gaps], Cells]] = {
    "truth": lambda values, gaps: Cells(
        "truth", np.array([bool(value) for value in values], dtype=np.bool_), gaps
    ),
    "whole": _whole,
    "float": _float,
    "decimal": _decimal,
    "text": _text,
    "time": _counted("time", _nanoseconds),
    "zoned time": _counted("zoned time", _nanoseconds),
    "duration": _counted("duration", _nanoseconds),
    "clock": _counted("clock", _clock),
}
