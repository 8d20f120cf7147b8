"""Columns in memory, or in a file that is read where it lies: looked through, and read when they are sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.sources.content import PartsContent
from syft_ext.sources.parts import Part, metadata_of
from syft_ext.sources.rule.cells import Cells, CellsProblem
from syft_ext.sources.rule.columns import TOLD, ColumnRule, ambiguous_places
from syft_ext.sources.rule.problems import Problems, shown
from syft_ext.sources.table import ROWS, Stretch, looked_through
from syft_ext.tensors import DTYPES

__all__ = ["HeldColumn", "held_content"]


@dataclass(frozen=True, slots=True)
class HeldColumn:
    """Attributes:
    cells: its rows from one number to another. Raises :class:`CellsProblem`.
    declared: the words that it numbers itself. keeps: the type that its numbers keep, of an array.
    """

    name: str
    rows: int
    cells: Callable[[int, int], Cells]
    declared: Sequence[str] = ()
    keeps: str = ""


class _Held:
    def __init__(self, where: str, columns: Sequence[HeldColumn], notes: Sequence[str]) -> None:
        self.where, self.columns, self.notes = where, columns, notes
        self.names = [column.name for column in columns]

    def declared(self, place: int) -> Sequence[str]:
        return self.columns[place].declared

    def keeps(self, place: int) -> str:
        return self.columns[place].keeps

    def stretches(self, columns: Mapping[int, ColumnRule], problems: Problems) -> Iterator[Stretch]:
        for place, column in columns.items():
            held = self.columns[place]
            for first in range(0, max(1, held.rows), ROWS):
                if column.name in problems:
                    break
                try:
                    yield Stretch(place, first, held.cells(first, min(first + ROWS, held.rows)))
                except CellsProblem as problem:
                    yield Stretch(place, first, problem)


def held_content(
    kind: str,
    where: str,
    held: Sequence[HeldColumn | Part],
    metadata: ColumnMetadata,
    *,
    columns: Sequence[str] | None = None,
    name: str = "data",
    notes: Sequence[str] = (),
) -> PartsContent:
    """A content of columns, which follow the rule for tables, and of tensors, which keep the type that they have.

    Args:
        name: what the schema calls a tensor without a name.

    Raises :class:`BadRequest` naming what is wrong with each, with its row.
    """
    every = [each if isinstance(each, HeldColumn) else _stand_in(each) for each in held]
    unnamed = kind == "tensor"
    if unnamed:
        every = [HeldColumn(name, every[0].rows, every[0].cells, every[0].declared, every[0].keeps)]
    source = _Held(where, every, notes)
    check = {place: partial(check_tensor, each) for place, each in enumerate(held) if isinstance(each, Part)}
    taken, names = looked_through(source, metadata, columns, check=check)
    parts = []
    for place, called in names.items():
        each = held[place]
        if isinstance(each, Part):
            said = {key: value for key, value in metadata_of(metadata, called).items() if key not in TOLD}
            parts.append(each.called("" if unnamed else called, {**each.metadata, **said}))
        else:
            parts.append(_part(each, taken[place], "" if unnamed else called))
    return PartsContent(kind, parts, name, notes)


def _stand_in(part: Part) -> HeldColumn:
    def none(first: int, stop: int) -> Cells:
        raise AssertionError("tensors are read as they are")

    return HeldColumn(part.name, 0, none)


def _part(held: HeldColumn, column: ColumnRule, name: str) -> Part:
    def rows(first: int, stop: int) -> NDArray[Any]:
        return column.encode(held.cells(first, stop))

    return Part(name, column.dtype, (held.rows, *column.shape), rows, column.metadata, column.found)


def check_tensor(part: Part, name: str, said: Mapping[str, Any], problems: Problems) -> None:
    """Hold a tensor against the bounds, categories and type of its schema, where these say anything of it."""
    dtype, words = DTYPES[part.dtype][0], said.get("categories")
    if said.get("dtype", dtype) != dtype:
        problems.add(name, f"it is {dtype}, its schema says {said['dtype']}; a tensor keeps its type")
    low, high = said.get("low"), said.get("high")
    if words and ambiguous_places([str(word) for word in words]):
        problems.add(
            name, "its categories are numbers that stand at other places, and the numbers of a tensor are places: "
            "give the words as a column of text, or of a frame",
        )  # fmt: skip
        return
    if words:
        low, high = 0, len(words) - 1
    elif not isinstance(low, int | float) or not isinstance(high, int | float):
        return  # a bound that is no number is refused with the schema
    count = part.shape[0] if part.shape else 1
    for first in range(0, count, part.step):
        numbers = _numbers(part.rows(first, min(first + part.step, count)), part.dtype)
        flat = numbers.reshape(min(part.step, count - first), -1)
        with np.errstate(invalid="ignore"):
            wrong = (flat < low) | (flat > high)
            if words:
                wrong |= flat != np.floor(flat)
        if wrong.any():
            row, place = (int(each[0]) for each in np.nonzero(wrong))
            value = shown(flat[row, place].item())
            what = (
                f"is no place among its {len(words)} categories"
                if words
                else f"is outside of its range, {low:g} to {high:g}"
            )
            problems.add(name, f"{value} {what}", row=first + row)
            return


def _numbers(values: NDArray[Any], code: str) -> NDArray[Any]:
    if code != "BF16":
        return values
    return (values.astype(np.uint32) << 16).view(np.float32)  # the upper half of a float32
