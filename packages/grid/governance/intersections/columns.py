"""What a table brings to an intersection: whether its columns are what the terms say, and their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from grid.governance.plans.files import tensor_file
from grid.statistics.columns import NUMBERED, Column, Table
from grid.statistics.guarded.schema import said_of
from grid.statistics.reading import stretches
from grid.statistics.sweep import Opened
from syft_ext.errors import BadRequest, Conflict, GridError, TooLarge
from syft_ext.intersection.ids import number_bytes, word_rule
from syft_ext.messages.datasets import Column as Described
from syft_ext.messages.intersection_terms import IntersectionSide, IntersectionTerms

if TYPE_CHECKING:
    from syft_ext.plans.sandbox.process import Raw

__all__ = ["Brought", "TakenSide", "problem_of", "read_side", "side_of"]

_WHOLE = frozenset({"U8", "I8", "I16", "I32", "I64"})
_TWO = 2
"""Words that a column of numbers may have: then they are 0 and 1."""


@dataclass(frozen=True, slots=True)
class TakenSide:
    """Columns of a table. ``words``: what the ids' numbers stand for; empty for whole numbers."""

    ids: Column
    words: tuple[str, ...]
    rows: Mapping[str, list[Column]]


@dataclass(frozen=True, slots=True)
class Brought:
    """``ids``: msgpack of a list of bytes, each once; ``values``: a tensor file with a row for each, b"" where no
    rows are kept."""

    ids: bytes
    values: bytes


def problem_of(
    table: Table, schemas: Sequence[Sequence[Described]], terms: IntersectionTerms, party: int
) -> str:
    """Why the table is not what the terms say; "" where it is."""
    try:
        side_of(table, schemas, terms, party)
    except GridError as error:
        return error.detail
    return ""


def side_of(
    table: Table, schemas: Sequence[Sequence[Described]], terms: IntersectionTerms, party: int
) -> TakenSide:
    """The columns that the terms take. Raises :class:`BadRequest` where kind or unit are others than these."""
    side: IntersectionSide = terms.sides[party]
    flat = [name for columns in side.rows.values() for name in columns]
    if side.column in flat:
        raise BadRequest("the ids themselves are never kept", column=side.column)
    found = dict(zip([side.column, *flat], table.take([side.column, *flat]), strict=True))
    ids = found[side.column]
    said = said_of(schemas, table, list(found.values()), guarded=False).described
    about = said.get(ids.name)
    words = tuple(about.categories) if about is not None else ()
    unit = about.unit if about is not None else ""
    if terms.kind == "text" and not (words and ids.spec.dtype in NUMBERED):
        raise BadRequest(f"{ids.name!r} holds no words: its ids are of another kind", column=ids.name)
    if terms.kind == "integer" and (words or ids.spec.dtype not in _WHOLE):
        raise BadRequest(f"{ids.name!r} holds no whole numbers: its ids are of another kind", column=ids.name)
    if unit != terms.unit:
        raise BadRequest(f"{ids.name!r} is in {unit!r}, the terms say {terms.unit!r}", column=ids.name)
    for name in flat:
        column = found[name]
        described = said.get(column.name)
        if described is not None and len(described.categories) not in (0, _TWO):
            raise BadRequest(f"{name!r} holds words, which are no numbers", column=name)
    return TakenSide(ids, words, {name: [found[c] for c in columns] for name, columns in side.rows.items()})


def read_side(opened: Opened, side: TakenSide, terms: IntersectionTerms, party: int) -> Brought:
    """Ids as bytes, and the numbers of each row. Rows without an id, or without one of the numbers, take no part.

    Raises :class:`Conflict` where an id names several rows and the terms refuse that, :class:`TooLarge` for more
    ids than the terms announce.
    """
    numbers, values = _read(opened, side)
    said = terms.sides[party]
    first: dict[bytes, int] = {}
    complete = 0
    for row, data in _ids(numbers, side.words, terms.normalisation):
        if not np.isnan(values[row]).any():
            complete += 1
            first.setdefault(data, row)
    if len(first) < complete and said.duplicates == "refuse":
        raise Conflict("an id names several rows of the table, which the terms refuse")
    if len(first) > said.most:
        raise TooLarge("the table has more ids than the terms announce", limit=said.most)
    kept = values[np.fromiter(first.values(), dtype=np.intp, count=len(first))]
    pieces: list[tuple[str, Raw]] = []
    start = 0
    for name, columns in side.rows.items():
        part = np.ascontiguousarray(kept[:, start : start + len(columns)], dtype="<f4")
        start += len(columns)
        pieces.append((name, ("f32", list(part.shape), part.reshape(-1).view(np.uint8))))
    return Brought(msgspec.msgpack.encode(list(first)), tensor_file(pieces) if pieces else b"")


def _read(opened: Opened, side: TakenSide) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The numbers of the ids, and the values of the columns, rows × columns in the order of the terms."""
    flat = [column for columns in side.rows.values() for column in columns]
    wanted = list(dict.fromkeys([side.ids, *flat]))
    place = {column: index for index, column in enumerate(wanted)}
    numbers: list[NDArray[Any]] = []
    values: list[NDArray[np.float64]] = []
    for stretch in stretches(opened.descriptor, opened.table.offset, wanted):
        numbers.append(np.array(stretch[place[side.ids]]))
        block = np.empty((len(numbers[-1]), len(flat)))
        for index, column in enumerate(flat):
            block[:, index] = stretch[place[column]]
        values.append(block)
    if not numbers:
        return np.zeros(0, dtype=np.int64), np.zeros((0, len(flat)))
    return np.concatenate(numbers), np.concatenate(values)


def _ids(numbers: NDArray[Any], words: Sequence[str], normalisation: str) -> Iterator[tuple[int, bytes]]:
    """Of each row that has an id. The word "" stands for none, and so does what is no number."""
    if not words:
        yield from ((row, number_bytes(number)) for row, number in enumerate(numbers.tolist()))
        return
    rule = word_rule(normalisation)
    known = [rule(word) for word in words]
    for row, number in enumerate(numbers.tolist()):
        if number != number:  # missing
            continue
        if not (0 <= number < len(known) and number == int(number)):
            raise Conflict("a row has a number that the schema has no word for")
        if known[int(number)]:
            yield row, known[int(number)]
