"""Rows of a private tensor's tables, person by person: what each person adds to a total, as whole numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.statistics.columns import Column
from grid.statistics.guarded.schema import Person
from grid.statistics.guarded.vectors import Grouping, read_vectors
from grid.statistics.moments import Codes
from grid.statistics.sweep import Opened
from syft_ext.privacy.expressions import Total, Value, contributions
from syft_ext.privacy.steps import Step

__all__ = ["People", "added_by_each", "people_of"]

Whole = NDArray[np.int64]


class _PeoplesRows:
    """Who each row is about, and its values; rows that lack one of these are left out."""

    grouping = Grouping()

    def __init__(self, who: Column, columns: Sequence[Column]) -> None:
        self.columns = (who, *columns)
        self._who: list[Whole] = []
        self._values: list[NDArray[np.float64]] = []

    def add(self, columns: Sequence[NDArray[Any]], codes: Codes | None) -> None:
        """Take in a stretch."""
        who, *values = columns
        table = np.empty((len(who), len(values)))
        for index, each in enumerate(values):
            table[:, index] = each
        there = ~np.isnan(table).any(axis=1)
        self._who.append(who.astype(np.int64)[there])
        self._values.append(table[there])

    def result(self) -> Whole:
        """Who each row is about."""
        return np.concatenate(self._who) if self._who else np.zeros(0, dtype=np.int64)

    def values(self) -> NDArray[np.float64]:
        """Rows × columns."""
        width = len(self.columns) - 1
        return np.concatenate(self._values) if self._values else np.zeros((0, width))


@dataclass(frozen=True, slots=True)
class People:
    """The rows of one table that count. ``who``: ids, each once; ``called``: as in every table of the Domain;
    ``place``: of each row's person among these."""

    who: Whole
    called: list[str]
    place: NDArray[np.intp]
    values: NDArray[np.float64]


def people_of(opened: Opened, person: Person, columns: Sequence[Column]) -> People:
    """Reads the first so many rows of each person, as the owner bounded them."""
    vector = _PeoplesRows(person.column, columns)
    (rows,) = read_vectors(opened, [vector], person)
    who, place = np.unique(rows, return_inverse=True)
    return People(who, [person.called(each) for each in who.tolist()], place, vector.values())


def added_by_each(
    steps: Sequence[Step],
    values: Sequence[Value],
    total: Total,
    people: Mapping[int, People],
    columns: Mapping[int, int],
    scale: float,
    most: Mapping[int, Whole],
) -> dict[int, Whole]:
    """By table: what each of its persons adds to the total, persons × numbers, in steps of 1/``scale``.

    Args:
        columns: of each "column" step, which column of its table's values it is.
        most: by position of the term: so many steps at most, per number, for one row.
    """
    found: dict[int, Whole] = {}
    for index, term in enumerate(total.terms):
        table = people[term.table]
        mine = [place for place in columns if steps[place].table == term.table]
        leaves = {place: table.values[:, columns[place]] for place in mine}
        added = contributions(steps, term, values, leaves, len(table.place))
        whole = np.clip(np.rint(added * scale), -most[index], most[index])
        sums = np.stack(
            # Whole numbers far below 2⁵³: exact in any order of summing.
            [np.bincount(table.place, weights=number, minlength=len(table.who)) for number in whole.T],
            axis=1,
        ).astype(np.int64)
        found[term.table] = found.get(term.table, np.zeros_like(sums)) + sums
    return found
