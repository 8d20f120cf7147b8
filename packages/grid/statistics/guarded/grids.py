"""Cells of a column: where a histogram is measured, which moments are cut off at, and what groups there are.

Edges follow from the schema, from the type, or from a noisy count of values by powers of two (``log``), which is a
measurement itself; never from the rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grid.statistics.guarded.schema import PublicColumn
from grid.statistics.reading import Doubles

__all__ = ["LEAVES", "LOG_EDGES", "coarsened", "leaves_of", "log_places", "values_of_groups"]

LEAVES = 448
"""About how many cells a column is cut into, shared out by the noisy counts of its powers of two."""
_POWERS = 2.0 ** np.arange(-20, 41)
LOG_EDGES: Doubles = np.concatenate([-_POWERS[::-1], [0.0], _POWERS])
"""122 cells: between the powers of two from 2⁻²⁰ to 2⁴⁰ of either sign, and 0."""
_OCCUPIED = 6.0
"""Standard deviations of its noise that a cell's count must have to be taken for occupied."""
_MOST_VALUES = 4096
"""Whole numbers that a column without a schema may be grouped by."""


def log_places(values: Doubles) -> NDArray[np.intp]:
    """The cell of :data:`LOG_EDGES` of each value, none of them NaN; what lies outside counts as the nearest."""
    places: NDArray[np.intp] = np.searchsorted(LOG_EDGES, values, side="right") - 1
    return np.clip(places, 0, len(LOG_EDGES) - 2, out=places)


def _occupied(log: NDArray[np.int64], deviation: float) -> NDArray[np.intp]:
    return np.flatnonzero(log > _OCCUPIED * deviation)


def leaves_of(public: PublicColumn, log: NDArray[np.int64] | None, deviation: float) -> Doubles:
    """The edges of the finest cells, increasing; of whole numbers they lie halfway between them.

    Args:
        log: noisy counts in :data:`LOG_EDGES`; None where :attr:`PublicColumn.cells` says that none are needed.
        deviation: standard deviation of their noise.
    """
    if public.cells is not None:
        return np.arange(public.cells[0], public.cells[1] + 2).astype(np.float64) - 0.5
    assert log is not None
    said = public.said
    occupied = _occupied(log, deviation)
    counts = log[occupied].astype(np.float64)
    shares = np.maximum(1, np.rint(LEAVES * counts / counts.sum() if len(counts) else counts)).astype(int)
    pieces = [
        _cut(LOG_EDGES[cell], LOG_EDGES[cell + 1], share, public.whole)
        for cell, share in zip(occupied.tolist(), shares.tolist(), strict=True)
    ]
    half = 0.5 if public.whole else 0.0
    if said is not None:
        low, high = said[0] - half, said[1] + half
        inner = np.concatenate(pieces) if pieces else np.linspace(low, high, 65)
        if public.whole:
            inner = np.floor(inner) + half
        inner = inner[(inner > low) & (inner < high)]
        return np.unique(np.concatenate([[low], inner, [high]]))
    if not pieces:
        return np.arange(-8.0, 9.0) + half if public.whole else np.linspace(-1.0, 1.0, 65)
    return np.unique(np.concatenate(pieces))


def _cut(low: float, high: float, share: int, whole: bool) -> Doubles:
    """A cell in ``share`` equal parts; of whole numbers, in as many as there are whole numbers at most."""
    if not whole:
        return np.linspace(low, high, share + 1)
    first, last = np.ceil(low), np.ceil(high)
    parts = np.unique(np.rint(np.linspace(first, last, share + 1)))
    return parts.astype(np.float64) - 0.5


def coarsened(edges: Doubles, most: int) -> Doubles:
    """At most ``most`` (≥ 1) cells, each of several neighbours where there are more."""
    cells = len(edges) - 1
    if cells <= most:
        return edges
    step = -(-cells // most)
    return np.unique(np.concatenate([edges[::step], edges[-1:]]))


def values_of_groups(
    public: PublicColumn, log: NDArray[np.int64] | None, deviation: float
) -> NDArray[np.int64] | None:
    """The values that rows are grouped by, increasing; None where that would be too many to name.

    Args as of :func:`leaves_of`; ``log`` is needed where the schema gives no bounds.
    """
    said = public.said
    if said is not None:
        many = said[1] - said[0] + 1
        return np.arange(int(said[0]), int(said[1]) + 1) if many <= _MOST_VALUES * 4 else None
    assert log is not None
    found: list[NDArray[np.int64]] = []
    for cell in _occupied(log, deviation).tolist():
        low, high = int(np.ceil(LOG_EDGES[cell])), int(np.ceil(LOG_EDGES[cell + 1]))
        if sum(map(len, found)) + high - low > _MOST_VALUES:
            return None
        found.append(np.arange(low, high, dtype=np.int64))
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
