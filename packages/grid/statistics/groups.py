"""Groups: the values that the columns of a group-by have together, as numbers from zero on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.statistics.columns import Column
from grid.statistics.moments import Codes
from grid.statistics.reading import stretches
from syft_ext.errors import TooLarge

__all__ = ["MAX_GROUPS", "Groups", "find_groups"]

MAX_GROUPS = 10_000
_MAX_COMBINATIONS = 1 << 17
_MAX_TABLE = 1 << 20

Whole = NDArray[np.int64]


class Groups:
    """All combinations of the values of each key column; many of them may be empty.

    Args:
        values: per key column its values, increasing.
    """

    def __init__(self, values: Sequence[Whole]) -> None:
        self.values = [np.asarray(each, dtype=np.int64) for each in values]
        self.size = math.prod(len(each) for each in self.values)
        if self.size > _MAX_COMBINATIONS:
            raise TooLarge("too many groups", limit=MAX_GROUPS)
        self._tables = [_table(each) for each in self.values]

    def codes(self, keys: Sequence[NDArray[Any]]) -> Codes:
        """The group of each row. A value that is not among a column's counts as the nearest that is."""
        result: Codes = np.zeros(len(keys[0]), dtype=np.intp)
        for values, table, key in zip(self.values, self._tables, keys, strict=True):
            clipped = np.clip(key.astype(np.int64), values[0], values[-1])
            place = np.searchsorted(values, clipped) if table is None else table[clipped - values[0]]
            result *= len(values)
            result += place
        return result

    def key(self, code: int) -> list[int]:
        """The values of the key columns that group ``code`` stands for."""
        key = []
        for values in reversed(self.values):
            code, place = divmod(code, len(values))
            key.append(int(values[place]))
        return key[::-1]


def _table(values: Whole) -> Codes | None:
    """Place by value − least value, where that range is small."""
    if not len(values) or int(values[-1]) - int(values[0]) >= _MAX_TABLE:
        return None
    table = np.zeros(int(values[-1]) - int(values[0]) + 1, dtype=np.intp)
    table[values - values[0]] = np.arange(len(values))
    return table


def find_groups(descriptor: int, offset: int, columns: Sequence[Column]) -> Groups:
    """The values that occur in each key column. Raises :class:`TooLarge` for too many."""
    found: list[set[int]] = [set() for _ in columns]
    for stretch in stretches(descriptor, offset, columns):
        for known, key in zip(found, stretch, strict=True):
            known.update(_distinct(key))
            if len(known) > MAX_GROUPS:
                raise TooLarge("too many groups", limit=MAX_GROUPS)
    return Groups([np.array(sorted(known), dtype=np.int64) for known in found])


def _distinct(key: NDArray[Any]) -> list[int]:
    whole = key.astype(np.int64)
    low, high = int(whole.min()), int(whole.max())
    if high - low >= _MAX_TABLE:
        return [int(value) for value in np.unique(whole)]
    return [int(place) + low for place in np.flatnonzero(np.bincount(whole - low))]
