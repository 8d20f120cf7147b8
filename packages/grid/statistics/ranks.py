"""How many values lie in narrowing ranges: a site's part in the search for quantiles over several sites.

The SDK narrows a range of doubles (:mod:`syft_ext.statistics.order`) round by round until one value is left.
From the round on in which a range holds few values of a group, they are kept, so that the rounds after it do
not read the table again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from grid.statistics.moments import Codes
from grid.statistics.reading import Doubles
from syft_ext.messages.statistics import RankCounts, RankQuery
from syft_ext.statistics.order import keys_of

__all__ = ["Candidates", "Ranks"]

Keys = NDArray[np.uint64]
_KEPT = 1 << 16
"""Values of one query that are kept, and of all queries of an analysis: a megabyte."""
_KEPT_IN_ALL = 1 << 17
_ALL = 1 << 64


@dataclass(slots=True)
class Candidates:
    """Values that an analysis will ask for again: per column and group, ranges with all their values."""

    ranges: dict[tuple[str, int], list[tuple[int, int, Keys]]] = field(default_factory=dict)
    kept: int = 0

    def keep(self, query: RankQuery, keys: Keys) -> None:
        """Keep the values of a query's range, if all that is kept stays below the limit."""
        if self.kept + len(keys) <= _KEPT_IN_ALL:
            start, stop = _range(query)
            self.ranges.setdefault((query.column, query.group), []).append((start, stop, keys))
            self.kept += len(keys)

    def answer(self, query: RankQuery) -> RankCounts | None:
        """From what was kept; None if that does not hold the whole range."""
        start, stop = _range(query)
        for first, last, keys in self.ranges.get((query.column, query.group), ()):
            if first <= start and stop <= last:
                counter = _Counter(query, _Room())
                counter.add(keys)
                return counter.result()
        return None


class Ranks:
    """The queries of one round that concern one column.

    Args:
        codes: the code (:class:`grid.statistics.groups.Groups`) of each group that queries may name.
    """

    def __init__(self, queries: Sequence[RankQuery], codes: Sequence[int]) -> None:
        self._of_code: dict[int, list[_Counter]] = {}
        self._sieve = _Sieve(queries) if len(queries) > 2 else None
        room = _Room()
        self.counters = [_Counter(query, room) for query in queries]
        for counter in self.counters:
            code = codes[counter.query.group] if codes else 0
            self._of_code.setdefault(code, []).append(counter)

    def add(self, values: Doubles, codes: Codes | None) -> None:
        """Take in a stretch of values, none of them NaN."""
        keys = keys_of(values)
        if self._sieve is not None:
            near = self._sieve.near(keys)
            keys = keys[near]
            codes = None if codes is None else codes[near]
        if codes is None:
            for counter in self._of_code.get(0, ()):
                counter.add(keys)
            return
        if not len(codes):
            return
        narrow = codes.astype(np.uint16) if codes.max() < 1 << 16 else codes  # which is sorted by radix
        order = np.argsort(narrow, kind="stable")
        keys, sorted_codes = keys[order], codes[order]
        wanted = list(self._of_code)
        starts = np.searchsorted(sorted_codes, wanted, side="left")
        stops = np.searchsorted(sorted_codes, wanted, side="right")
        for code, start, stop in zip(wanted, starts, stops, strict=True):
            for counter in self._of_code[code]:
                counter.add(keys[start:stop])


@dataclass(slots=True)
class _Room:
    """How many values may still be kept while the table is read, by all queries together."""

    left: int = _KEPT_IN_ALL


class _Sieve:
    """Sorts out, at once for all queries, the values that are in none of their ranges."""

    _CELLS = 1 << 12

    def __init__(self, queries: Sequence[RankQuery]) -> None:
        ranges = [_range(query) for query in queries]
        self._start = np.uint64(min(start for start, _ in ranges))
        width = max(stop for _, stop in ranges) - int(self._start)
        shift = max(0, (width - 1).bit_length() - self._CELLS.bit_length() + 1)
        self._shift = np.uint64(shift)
        self._wanted = np.zeros(self._CELLS + 1, dtype=np.bool_)  # the last one: beyond them all
        for start, stop in ranges:
            first, last = (start - int(self._start)) >> shift, (stop - 1 - int(self._start)) >> shift
            self._wanted[first : last + 1] = True

    def near(self, keys: Keys) -> NDArray[np.bool_]:
        offsets = keys - self._start  # what lies below wraps around
        offsets >>= self._shift
        np.minimum(offsets, np.uint64(self._CELLS), out=offsets)
        return self._wanted[offsets.view(np.int64)]


class _Counter:
    """Counts for one query; keeps the values as long as they are few."""

    def __init__(self, query: RankQuery, room: _Room) -> None:
        self.query, self._room = query, room
        self.start, stop = _range(query)
        self._last = np.uint64(stop - 1 - self.start)
        self._counts = np.zeros(query.bins, dtype=np.int64)
        self._kept: list[Keys] | None = []
        self._many = 0

    def add(self, keys: Keys) -> None:
        offsets = keys - np.uint64(self.start)  # what lies below wraps around, beyond the last
        inside = offsets <= self._last
        offsets = offsets[inside]
        if not len(offsets):
            return
        if self.query.shift < 64:
            bins = (offsets >> np.uint64(self.query.shift)).astype(np.intp)
            self._counts += np.bincount(bins, minlength=self.query.bins)
        else:
            self._counts[0] += len(offsets)
        self._many += len(offsets)
        if self._kept is not None:
            self._kept.append(keys[inside])
            self._room.left -= len(offsets)
            if self._many > _KEPT or self._room.left < 0:
                self._room.left += self._many
                self._kept = None

    def keys(self) -> Keys | None:
        """The values in the range, if they were few."""
        if self._kept is None:
            return None
        return np.concatenate(self._kept) if self._kept else np.zeros(0, dtype=np.uint64)

    def result(self) -> RankCounts:
        bins = np.flatnonzero(self._counts)
        return RankCounts(bins=bins.tolist(), counts=self._counts[bins].tolist())


def _range(query: RankQuery) -> tuple[int, int]:
    start = query.start + (1 << 63)
    return start, min(_ALL, start + (query.bins << query.shift))
