"""How large the numbers of a report are: what is absurd is left out by itself, and named.

A site that diverged reports numbers that are finite and have no sense (10^20, or the largest that there is). They
make a sum, its square or a hosted plan overflow, or they pass, and the model is theirs alone. Looking at every
report once more would cost as much as adding it up; so it is the average that is looked at, and where that is
suspicious, the reports are compared: one that is far beyond all others, and beyond the model, is the reason.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grid.aggregation.base import Aggregate, Contribution
from grid.aggregation.numbers import is_whole
from grid.aggregation.tensor_file import Run, TensorFile, elements
from syft_ext.errors import InvalidTensors
from syft_ext.tensors import TensorSpec

__all__ = ["OUTLYING", "Magnitude", "is_suspicious", "largest_of", "outlier"]

OUTLYING = 1024.0
"""A report is left out where its largest number is more than so many times the median of the others' largest, and
the model's largest."""

_SUSPICIOUS = {"F16": 2.0**8, "BF16": 2.0**40, "F32": 2.0**40, "F64": 2.0**40}
"""Averages beyond this are looked into: where squares overflow in half precision, and elsewhere far below that,
but above what learns."""


@dataclass(frozen=True, slots=True)
class Magnitude:
    """The largest number of a report's difference to the model, and the tensor that it is in; infinity for NaN."""

    size: float
    tensor: str


def is_suspicious(base: TensorFile, aggregate: Aggregate) -> bool:
    """Whether an average of floats is not finite, or so large that one report may be the reason."""
    for run, values in zip(aggregate.runs, aggregate.values, strict=True):
        if is_whole(run[0]) or base.kind(run) == "constant" or not len(values):
            continue
        most = _SUSPICIOUS[run[0]] / aggregate.scale
        # No comparison with NaN is true.
        if not (-most <= float(values.min()) and float(values.max()) <= most):
            return True
    return False


def largest_of(base: TensorFile, contribution: Contribution) -> Magnitude:
    """The largest number of the difference, over the floats that a report can move.

    Raises :class:`InvalidTensors` for one that is not like the model.
    """
    found = {spec.name: spec for spec in contribution.file.layout.specs}
    largest = Magnitude(0.0, "")
    for spec in _moving(base):
        other = found.get(spec.name)
        if other is None or (other.dtype, other.shape) != (spec.dtype, spec.shape):
            raise InvalidTensors(f"tensor {spec.name[:80]!r} is not as in the model")
        size = _largest(base, contribution, (spec.dtype, spec.start, spec.stop), other.start)
        if size > largest.size:
            largest = Magnitude(size, spec.name)
    return largest


def _moving(base: TensorFile) -> list[TensorSpec]:
    """The tensors of floats that are no constants, and not empty."""
    return [
        spec
        for spec in base.layout.specs
        if spec.numel and not is_whole(spec.dtype) and spec.kind != "constant"
    ]


def _largest(base: TensorFile, contribution: Contribution, run: Run, start: int) -> float:
    file, found = contribution.file, 0.0
    place = (run[0], start, start + run[2] - run[1])
    for begin in range(0, elements(run), file.window):
        end = min(begin + file.window, elements(run))
        numbers = file.numbers(place, begin, end).astype(np.float64)
        if contribution.kind == "params":
            with np.errstate(over="ignore", invalid="ignore"):
                numbers = base.numbers(run, begin, end) - numbers
        size = max(-float(numbers.min()), float(numbers.max()))
        found = max(found, float("inf") if np.isnan(size) else size)
        file.release(place, begin, end)
        base.release(run, begin, end)
    return found


def outlier(base: TensorFile, reports: Sequence[Magnitude]) -> int | None:
    """Which report is so much larger than the others, and than the model, that it is left out; None: none is."""
    if not reports:
        return None
    first = max(range(len(reports)), key=lambda index: reports[index].size)
    others = [report.size for index, report in enumerate(reports) if index != first]
    usual = statistics.median(others) if others else 0.0
    for spec in _moving(base):
        numbers = base.numbers((spec.dtype, spec.start, spec.stop), 0, spec.numel)
        usual = max(usual, -float(numbers.min()), float(numbers.max()))
    return first if reports[first].size > OUTLYING * max(usual, 2.0**-30) else None
