"""From what was computed to what may leave: suppression by the policy's minimum, or noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.privacy.mechanisms.suppression import hidden_cells
from grid.statistics.histograms import Histogram
from grid.statistics.moments import Moments
from grid.statistics.private import ClippedSums, noisy
from syft_ext.messages.statistics import ColumnPartial, CountsInBins

__all__ = ["exact_column", "exact_histogram", "noisy_column", "noisy_histogram", "shown_groups"]

Mask = NDArray[np.bool_]
Chosen = Sequence[int]


def shown_groups(rows: NDArray[np.int64], minimum: int) -> tuple[list[int], bool]:
    """The codes of the groups that are answered for, and whether others are kept back.

    The keys of those that are kept back are not told either: that a value occurs at all can be as telling.
    """
    occupied = np.flatnonzero(rows)
    hidden = hidden_cells(rows[occupied], minimum)
    return occupied[~hidden].tolist(), bool(hidden.any())


def exact_column(
    name: str,
    moments: Moments,
    missing: NDArray[np.int64],
    asked: set[str],
    rows: NDArray[np.int64],
    groups: Chosen,
    minimum: int,
) -> tuple[ColumnPartial, Mask]:
    """The partial aggregates of the chosen groups, and which groups this column is kept back of.

    The column's own counts decide: a group may have rows enough, and hardly a value in this column. The groups
    that are not answered for stay hidden, so that they do not follow from the column's total.

    Args:
        rows: of each group, with and without a value.
    """
    count = moments.count
    hidden = np.zeros(len(count), dtype=np.bool_)
    hidden[rows > 0] = hidden_cells(count[rows > 0], minimum)
    spread = bool(asked & {"variance", "std"})
    mean = spread or "mean" in asked
    low, high = (np.where(count > 0, extreme, np.nan) for extreme in (moments.min, moments.max))
    partial = ColumnPartial(
        name=name,
        count=_list(count, hidden, groups) if mean or asked & {"count", "quantile"} else [],
        missing=_list(missing, hidden, groups) if "missing" in asked else [],
        sum=_list(moments.sum, hidden, groups) if "sum" in asked else [],
        mean=_list(moments.mean, hidden, groups) if mean else [],
        m2=_list(moments.m2, hidden, groups) if spread else [],
        min=_list(low, hidden, groups) if asked & {"min", "quantile", "range"} else [],
        max=_list(high, hidden, groups) if asked & {"max", "quantile", "range"} else [],
    )
    return partial, hidden


def exact_histogram(
    column: str, histogram: Histogram, groups: Chosen, minimum: int, kept_back: Mask | None = None
) -> tuple[CountsInBins, bool]:
    """Each group's cells, below and above included, with those hidden that stand for few.

    Args:
        kept_back: groups of which the column's count is hidden. All their cells are: their sum is that count.
    """
    rows, some = [], False
    for code in groups:
        cells = histogram.counts[code]
        hidden = hidden_cells(cells, minimum)
        if kept_back is not None and kept_back[code]:
            hidden = np.ones(len(cells), dtype=np.bool_)
        some = some or bool(hidden.any())
        rows.append(_list(cells, hidden, range(len(cells))))
    return CountsInBins(column=column, edges=histogram.edges.tolist(), counts=rows), some


def noisy_column(
    name: str, sums: ClippedSums, missing: NDArray[np.int64], asked: set[str], epsilon: float, minimum: int
) -> tuple[ColumnPartial, bool]:
    """All groups that the schema allows, with noise; hidden where the *noisy* count is too small."""
    partial = ColumnPartial(name=name)
    everything = range(len(sums.count))
    hidden = np.zeros(len(sums.count), dtype=np.bool_)
    if asked & {"count", "sum", "mean"}:
        count, total, mean = sums.release(epsilon, sums=bool(asked & {"sum", "mean"}))
        hidden = count < minimum if minimum > 1 else hidden
        partial.count = _list(count, hidden, everything)
        partial.sum = _list(total, hidden, everything) if "sum" in asked else []
        partial.mean = _list(mean, hidden, everything) if "mean" in asked else []
    if "missing" in asked:
        partial.missing = _list(noisy(missing, epsilon), hidden, everything)
    return partial, bool(hidden.any())


def noisy_histogram(
    column: str, histogram: Histogram, epsilon: float, minimum: int
) -> tuple[CountsInBins, bool]:
    """Each bin's count with noise, hidden where the *noisy* count is too small; whether any is."""
    counts = noisy(histogram.counts, epsilon)
    hidden = counts < minimum if minimum > 1 else np.zeros(counts.shape, dtype=np.bool_)
    rows = [_list(row, mask, range(len(row))) for row, mask in zip(counts, hidden, strict=True)]
    edges = histogram.edges.tolist()
    return CountsInBins(column=column, edges=edges, counts=rows), bool(hidden.any())


def _list(values: NDArray[Any], hidden: Mask, groups: Chosen) -> list[Any]:
    """Python numbers of the chosen groups, None where hidden."""
    places = list(groups)
    pairs = zip(values[places].tolist(), hidden[places].tolist(), strict=True)
    return [None if secret else number for number, secret in pairs]
