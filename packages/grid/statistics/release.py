"""From what was computed exactly to what a site answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.statistics.histograms import Histogram
from grid.statistics.moments import Moments
from syft_ext.messages.statistics import ColumnPartial, CountsInBins

__all__ = ["exact_column", "exact_histogram"]


def exact_column(
    name: str, moments: Moments, missing: NDArray[np.int64], asked: set[str], groups: Sequence[int]
) -> ColumnPartial:
    """The partial aggregates of the chosen groups."""
    spread = bool(asked & {"variance", "std"})
    mean = spread or "mean" in asked
    count = moments.count
    low, high = (np.where(count > 0, extreme, np.nan) for extreme in (moments.min, moments.max))

    def chosen(values: NDArray[Any], wanted: object) -> list[Any]:
        found: list[Any] = values[list(groups)].tolist() if wanted else []
        return found

    return ColumnPartial(
        name=name,
        count=chosen(count, mean or asked & {"count", "quantile"}),
        missing=chosen(missing, "missing" in asked),
        sum=chosen(moments.sum, "sum" in asked),
        mean=chosen(moments.mean, mean),
        m2=chosen(moments.m2, spread),
        mean_rest=chosen(np.nan_to_num(moments.mean_rest, posinf=0.0, neginf=0.0), spread),
        min=chosen(low, asked & {"min", "quantile", "range"}),
        max=chosen(high, asked & {"max", "quantile", "range"}),
    )


def exact_histogram(column: str, histogram: Histogram, groups: Sequence[int]) -> CountsInBins:
    """Each group's cells, below and above included."""
    counts: list[list[int | None]] = histogram.counts[list(groups)].tolist()
    return CountsInBins(column=column, edges=histogram.edges.tolist(), counts=counts)
