"""One rule for a column, whichever format it comes in: what of it is kept, exactly, or why it is refused.

whole numbers → int64 · other numbers → float64 · truth values → bool · text → places of its categories, int64 ·
times → counts of a unit, int64. Where values are missing: NaN, and so float64 (of words: the category "", where
there is one). Arrays, and lists in a column, keep the type that they have. ``dtype`` in the schema asks for
another type: floats are rounded to it, on its owner's word.

A column is looked at twice: once to find what it is and what is wrong with it, once to write it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.sources.parts import NUMPY
from syft_ext.sources.rule.bounds import beyond
from syft_ext.sources.rule.cells import Cells, CellsProblem, Kind
from syft_ext.sources.rule.exact import first_inexact, holds, outside_int64
from syft_ext.sources.rule.problems import NOT_NUMBERS, Problems, shown
from syft_ext.sources.rule.times import PARTS, TimeReader, part_of, time_unit, unreadable
from syft_ext.sources.rule.zones import in_utc
from syft_ext.tensors import DTYPES

__all__ = ["TOLD", "ColumnRule", "ambiguous_places"]

#: What a schema may say of a column for its reading only.
TOLD = frozenset({"dtype", "format", "timezone"})
_CODES = {name: code for code, (name, _) in DTYPES.items() if code != "BF16"}
_NUMBERS: frozenset[Kind] = frozenset({"whole", "float", "decimal"})
_TIMES: frozenset[Kind] = frozenset({"time", "zoned time", "duration", "clock"})


class ColumnRule:
    """Args:
    name: what it is called. said: what its owner says of it in the schema.
    problems: takes what is wrong with it. declared: the words that the format itself numbers, in order.
    keeps: the type that its numbers keep, of an array ("I8"); empty: that of tables.
    """

    def __init__(
        self,
        name: str,
        said: Mapping[str, Any],
        problems: Problems,
        declared: Sequence[str] = (),
        keeps: str = "",
    ) -> None:
        self.name, self._said, self._problems = name, said, problems
        # Blanks around a word are no part of it, in cells as in lists.
        self._words = [str(word).strip() for word in said.get("categories") or declared]
        self._places = {word: place for place, word in enumerate(self._words)}
        self._keeps = keeps
        self._declared = bool(declared) and not said.get("categories")
        self._numbered = ""  # "words" or "places": how the column names its categories
        self._kind: Kind | None = None
        self._fraction = self._gaps = False
        self._huge: tuple[int, Any, int | None] | None = None
        self._rough: tuple[int, Any, int | None] | None = None
        self._shape: tuple[int, ...] = ()
        self._vector = ""
        self._part = part_of(str(said.get("unit") or ""))
        self.rows, self.closed = 0, False
        self._check_said()

    # -- what is said -------------------------------------------------------------------------------

    def _check_said(self) -> None:
        if len(self._places) != len(self._words):
            self._add("a category is named twice")
        told = self._said.get("dtype")
        if told and told not in _CODES:
            self._add(f"{shown(told)} is no type of numbers here: {', '.join(_CODES)}")
        self._told = _CODES.get(told or "", "")
        self._low, self._high = (self._bound(self._said.get(each)) for each in ("low", "high"))
        bounded = self._low is not None and self._high is not None
        if why := unreadable(self.time_format, bounded=bounded):
            self._add(f"format {shown(self.time_format)}: {why}")

    def _bound(self, value: Any) -> float | None:
        """A bound of the schema; a date stands for its number."""
        if isinstance(value, str):
            found = TimeReader()(value)
            if found is None or self._part is None:
                self._add(f"{shown(value)} is no bound: a number or a time is needed")
                return None
            return found[1] / PARTS[self._part]
        if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
            self._add(f"{shown(value)} is no bound: a number or a time is needed")
            return None
        return value

    @property
    def as_words(self) -> bool:
        """Whether its values are words of a list, and text is to stay text."""
        return bool(self._words)

    def has_word(self, word: str) -> bool:
        """Whether it is one of its words."""
        return word in self._places

    @property
    def time_format(self) -> str:
        """How its times are written in text; empty: as ISO 8601 has it."""
        return str(self._said.get("format") or "")

    # -- looking ------------------------------------------------------------------------------------

    def look(self, cells: Cells, first: int) -> None:
        """Take notice of the rows from ``first`` on."""
        self.rows = max(self.rows, first + len(cells))
        if self.name in self._problems:
            return
        try:
            self._look(cells, first)
        except CellsProblem as problem:
            self.refuse(problem, first, cells)

    def refuse(self, problem: CellsProblem, first: int, cells: Cells | None = None) -> None:
        """Note what is wrong with a row of the stretch that begins at row ``first``."""
        line = None if cells is None else cells.line(problem.row)
        self._add(problem.text, row=first + problem.row, line=line, hint=problem.hint)

    def _look(self, cells: Cells, first: int) -> None:
        cells = self._in_utc(cells)
        if cells.missing is not None and cells.missing.any():
            self._gaps = True
            if cells.kind in ("text", "truth") and cells.missing.all():
                self._check_nothing()
                return
        if cells.kind == "nothing":
            self._gaps = self._gaps or len(cells) > 0
            if len(cells):
                self._check_nothing()
            return
        self._take_kind(cells)
        if self._words:
            self._settled(self._codes(cells), cells)
            return
        match self._kind:
            case "text":
                row = _first_present(cells)
                raise CellsProblem(
                    row,
                    f"{shown(cells.values[row])} is not numbers" if len(cells) else "text is not numbers",
                    NOT_NUMBERS,
                )
            case "vector":
                self._look_at_vectors(cells)
        if cells.kind == "whole":
            self._look_at_whole(cells, first)
        elif cells.kind == "decimal":
            self._look_at_decimals(cells, first)
        self._settled(self._natural(cells), cells)

    def _check_nothing(self) -> None:
        """A stretch in which all is missing needs a type that can say so."""
        if self._told and not self._told.startswith("F") and "" not in self._places:
            raise CellsProblem(
                0, f"a missing value does not fit into {DTYPES[self._told][0]}, as the schema has it"
            )

    def _take_kind(self, cells: Cells) -> None:
        if (self._words and self._kind in (None, cells.kind)) or self._kind is None:
            self._kind = cells.kind
        elif self._kind != cells.kind:
            if not {self._kind, cells.kind} <= _NUMBERS:
                row, hint = _first_present(cells), NOT_NUMBERS if "text" in (self._kind, cells.kind) else ""
                cell = _shown_cell(cells, row)
                raise CellsProblem(
                    row, f"{cell} is of kind {cells.kind}, what stands above it of kind {self._kind}", hint
                )
            self._kind = "decimal" if "decimal" in (self._kind, cells.kind) else "float"
        self._fraction = self._fraction or cells.kind == "float"

    def _look_at_whole(self, cells: Cells, first: int) -> None:
        for note, find in (("_huge", outside_int64), ("_rough", first_inexact)):
            if getattr(self, note) is None and (row := find(cells.values)) is not None:
                setattr(self, note, (first + row, cells.values[row], cells.line(row)))

    def _look_at_decimals(self, cells: Cells, first: int) -> None:
        for row, value in enumerate(cells.values):
            whole = value.as_tuple().exponent == 0  # 5.0 and 5e3 are numbers, not whole ones, as in text
            self._fraction = self._fraction or not whole
            if whole and self._huge is None and not -(1 << 63) <= value < 1 << 63:
                self._huge = (first + row, value, cells.line(row))
            if self._rough is None and not holds(value, float(value)):
                self._rough = (first + row, value, cells.line(row))

    def _look_at_vectors(self, cells: Cells) -> None:
        values = cells.values
        shape, code = tuple(values.shape[1:]), code_of_array(values.dtype)
        if not code:
            raise CellsProblem(0, f"{values.dtype} is not numbers that can be kept")
        if self._vector and (self._shape, self._vector) != (shape, code):
            raise CellsProblem(0, f"{list(shape)} numbers, where there were {list(self._shape)} above")
        self._shape, self._vector = shape, code
        if cells.missing is not None:
            raise CellsProblem(int(cells.missing.argmax()), "a list, or a number of one, is missing")
        if (row := outside_int64(values.reshape(-1))) is not None:
            raise CellsProblem(row // max(1, math.prod(shape)), "a whole number that int64 does not hold")

    # -- what it is ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Note what can only be said when all was looked at."""
        self.closed = True
        if self._kind not in _NUMBERS or self._words:
            return
        if self._told.startswith("F"):
            return
        kept = self._kept()
        for note, code, name in ((self._huge, "I64", "int64"), (self._rough, "F64", "float64")):
            if note is not None and kept == code:
                row, value, line = note
                why = (
                    " (as values are missing, the column is one of float64)"
                    if code == "F64" and not self._fraction
                    else ""
                )
                self._add(
                    f"{name} does not hold {shown_number(value)} exactly{why}", row=row, line=line,
                    hint='shorten it, or say {"dtype": "float64"} in the schema, where rounding does no harm'
                    if code == "F64" else "number such identifiers anew, or leave the column out",
                )  # fmt: skip

    def _kept(self) -> str:
        """The type that its values have of themselves."""
        if self._words:
            return "F64" if self._gaps and "" not in self._places else "I64"
        if self._keeps:  # of a tensor's type, unless a mask hides some: only floats have NaN
            return "F64" if self._gaps and not self._keeps.startswith("F") else self._keeps
        match self._kind:
            case "truth":
                return "F64" if self._gaps else "BOOL"
            case "vector":
                return self._vector
            case None:
                return "F64" if self.rows else "I64"
        return "F64" if self._gaps or self._fraction else "I64"

    @property
    def dtype(self) -> str:
        """The type that is kept, as in a tensor file ("F64")."""
        return self._told or self._kept()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return self._shape

    @property
    def found(self) -> dict[str, Any]:
        """What its values tell of themselves, as it stands in a schema: unit of times, words of categories."""
        if self._words:
            return {"categories": self._words} if self._declared else {}
        if self._kind in _TIMES:
            return {"unit": time_unit(self._kind, self._part or "µs")}
        return {}

    @property
    def metadata(self) -> dict[str, Any]:
        """What its schema says beyond its form."""
        said = {key: value for key, value in self._said.items() if key not in TOLD}
        said |= {key: value for key, value in (("low", self._low), ("high", self._high)) if value is not None}
        return said | self.found

    # -- writing ------------------------------------------------------------------------------------

    def encode(self, cells: Cells) -> NDArray[Any]:
        """The numbers that are kept of a stretch that was looked at before."""
        cells = self._in_utc(cells)
        if cells.kind == "nothing" and not self._words:
            natural: NDArray[Any] = np.full(len(cells), np.nan)
        elif self._words:
            natural = self._codes(cells)
        else:
            natural = self._natural(cells)
        return natural.astype(NUMPY[self.dtype], copy=False)

    def _natural(self, cells: Cells) -> NDArray[Any]:
        """The numbers of a stretch by itself; NaN where values are missing."""
        values: Any = cells.values
        if cells.kind in _TIMES:
            values = self._counts(cells)
        elif cells.kind == "decimal":
            if self._fraction or self._gaps or self._huge:
                values = np.array([float(value) for value in values], dtype=np.float64)
            else:
                values = np.array([int(value) for value in values], dtype=np.int64)
        elif isinstance(values, list) or (
            cells.kind == "whole" and values.dtype.kind == "u" and values.dtype.itemsize == 8
        ):
            huge = outside_int64(values) is not None
            values = np.array(values, dtype=np.float64 if huge else np.int64)
        if cells.missing is not None:
            values = values.astype(np.float64)
            values[cells.missing] = np.nan
        numbers: NDArray[Any] = values
        return numbers

    def _codes(self, cells: Cells) -> NDArray[Any]:
        """Places of words; of what is missing that of the word "", or NaN where the schema has none."""
        gone = cells.missing if cells.missing is not None else np.zeros(len(cells), dtype=np.bool_)
        if cells.kind == "vector":
            raise CellsProblem(0, "a list is no category")
        if cells.kind == "float":
            gone = gone | np.isnan(cells.values)
            self._gaps = self._gaps or bool(gone.any())
        if cells.kind == "nothing":
            gone = np.ones(len(cells), dtype=np.bool_)
        codes = np.full(len(cells), self._places.get("", 0), dtype=np.int64)
        values = cells.values.tolist() if isinstance(cells.values, np.ndarray) else cells.values
        for row, value in enumerate(values):
            if not gone[row]:
                codes[row] = self._code(str(value).strip(), row)
        return np.where(gone, np.nan, codes) if gone.any() and "" not in self._places else codes

    def _code(self, word: str, row: int) -> int:
        """By word. The numbers of an array are places; in a table, where words could stand, they are none: whether
        a site counts from 0 or from 1 is not guessed."""
        place, how = self._places.get(word), "words"
        number = _as_place(word) if self._keeps and not ambiguous_places(self._words) else None
        if place is None and number is not None:
            place, how = (number if number < len(self._words) else None), "places"
        if place is None:
            raise CellsProblem(row, f"{shown(word)} is not among its categories")
        if self._numbered and how != self._numbered:
            raise CellsProblem(row, f"{shown(word)}: a column has words or their numbers, not both")
        self._numbered = how
        return place

    def _counts(self, cells: Cells) -> NDArray[np.int64]:
        if self._part is None:
            raise CellsProblem(
                _first_present(cells),
                f"the column holds times, and its unit {shown(self._said.get('unit'))} is none of time",
                f"units of times: {', '.join(PARTS)}",
            )
        common = math.gcd(cells.unit, PARTS[self._part])
        up, down = cells.unit // common, PARTS[self._part] // common
        counts: NDArray[np.int64] = (
            np.where(cells.missing, 0, cells.values) if cells.missing is not None else cells.values
        )
        if len(counts) and up > 1:
            far = np.abs(counts.astype(np.float64)) * up >= 2.0**63
            if far.any():
                raise CellsProblem(int(far.argmax()), f"too far from 1970 for a count of {self._part}")
        counts = counts * up
        left = counts % down != 0
        if left.any():
            raise CellsProblem(
                int(left.argmax()), f"a time that is no whole number of {self._part}",
                'say a finer unit in the schema ({"unit": "ns"})',
            )  # fmt: skip
        counts = counts // down
        if self._gaps and (row := first_inexact(counts)) is not None:
            raise CellsProblem(
                row, "float64, which holds missing times, does not hold this one; say a coarser unit"
            )
        return counts

    def _in_utc(self, cells: Cells) -> Cells:
        zone = self._said.get("timezone")
        return in_utc(cells, str(zone)) if zone and cells.kind == "time" else cells

    # -- what the schema demands --------------------------------------------------------------------

    def _settled(self, values: NDArray[Any], cells: Cells) -> None:
        """Hold values against the bounds and the type of the schema."""
        flat = values.reshape(len(values), -1) if values.ndim > 1 else values
        if self._low is not None and self._high is not None and not self._words:
            outside = beyond(flat, self._low, self._high)
            self._first_of(outside, cells, f"is outside of its range, {self._low:.15g} to {self._high:.15g}")
        if self._told:
            self._check_told(flat, cells)

    def _check_told(self, values: NDArray[Any], cells: Cells) -> None:
        told, name = np.dtype(NUMPY[self._told]), DTYPES[self._told][0]
        if told.kind == "f":
            with np.errstate(over="ignore"):
                lost = np.isinf(values.astype(told)) & ~np.isinf(values.astype(np.float64))
        elif told.kind == "b":
            lost = ~((values == 0) | (values == 1))
        else:
            bounds = np.iinfo(told)
            with np.errstate(invalid="ignore"):
                lost = ~((values >= bounds.min) & (values <= bounds.max) & (values == np.floor(values)))
            if values.dtype.kind == "f" and told.itemsize == 8:
                lost |= values >= 2.0**63
        self._first_of(lost, cells, f"does not fit into {name}, as the schema has it")

    def _first_of(self, marked: NDArray[np.bool_], cells: Cells, text: str) -> None:
        if marked.any():
            row = int((marked if marked.ndim == 1 else marked.any(1)).argmax())
            raise CellsProblem(row, f"{_shown_cell(cells, row)} {text}")

    def _add(self, text: str, *, row: int | None = None, line: int | None = None, hint: str = "") -> None:
        self._problems.add(self.name, text, row=row, line=line, hint=hint)


def code_of_array(dtype: np.dtype[Any]) -> str:
    """The narrowest type of the format that holds all values of numpy's; "" where there is none."""
    return _ARRAYS.get(f"{dtype.kind}{dtype.itemsize}", "")


_ARRAYS = {
    "f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8",
    "u1": "U8", "u2": "I32", "u4": "I64", "u8": "I64", "b1": "BOOL",
}  # fmt: skip


def shown_number(value: Any) -> str:
    """A number in an error, with all its digits where these are not too many."""
    return f"{value}"[:80] if isinstance(value, Decimal) else str(int(value))[:80]


def ambiguous_places(words: Sequence[str]) -> bool:
    """Whether numbers could be meant as words or as their places, which differ: ["1", "2"]."""
    return any(_as_place(word) not in (None, place) for place, word in enumerate(words))


def _as_place(word: str) -> int | None:
    if word.isascii() and word.isdigit() and len(word) < 10:
        return int(word)
    if word.endswith(".0"):
        return _as_place(word[:-2])
    return None


def _first_present(cells: Cells) -> int:
    if cells.missing is None or not len(cells):
        return 0
    return int((~cells.missing).argmax())


def _shown_cell(cells: Cells, row: int) -> str:
    if not len(cells):
        return "a value"
    if cells.missing is not None and cells.missing[row]:
        return "a missing value"
    value = cells.values[row]
    if cells.kind in _TIMES:
        return "a time" if cells.kind != "duration" else "a duration"
    if cells.kind == "text":
        return shown(value)
    return f"{value}"[:80]
