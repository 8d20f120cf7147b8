"""The parameters of a model as one vector: what is summed where nobody sees a single report, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.aggregation.base import Aggregate
from grid.aggregation.numbers import wide_dtype
from grid.aggregation.tensor_file import TensorFile, elements
from grid.aggregation.whole import unchanged
from syft_ext.tensors import DTYPES, Layout, TensorSpec

__all__ = ["moved_parameters", "summed_length", "summed_tensors"]


def summed_tensors(layout: Layout) -> list[TensorSpec]:
    """What of a model is summed, in the order of its numbers: parameters, as its header lists them. Everything
    else stays as it is: it is made of rows too, and no norm is its (ADR 33)."""
    return [spec for spec in layout.specs if spec.kind == "parameter"]


def summed_length(layout: Layout) -> int:
    """How many numbers that are."""
    return sum(spec.numel for spec in summed_tensors(layout))


def moved_parameters(
    base: TensorFile, length: int, means: Callable[[slice], NDArray[Any]], count: int, weight: float
) -> Aggregate:
    """The mean differences of a model's parameters, as a strategy takes them; what is no parameter does not move.

    Args:
        length: how many there are: as many as the model has.
        means: makes those of a stretch. count, weight: of the reports behind them.
    """
    offset, places = 0, dict[str, int]()
    for spec in summed_tensors(base.layout):
        places[spec.name], offset = offset, offset + spec.numel
    assert offset == length
    values = []
    for run in base.runs:
        if base.kind(run) != "parameter":
            values.append(unchanged(elements(run), wide_dtype(run[0])))
            continue
        room = np.empty(elements(run), wide_dtype(run[0]))
        for spec in summed_tensors(base.layout):
            if run[1] <= spec.start < run[2]:
                first = (spec.start - run[1]) // DTYPES[run[0]][1]
                part = slice(places[spec.name], places[spec.name] + spec.numel)
                np.copyto(room[first : first + spec.numel], means(part), casting="same_kind")
        values.append(room)
    return Aggregate(base.runs, values, 1.0, count, weight)
