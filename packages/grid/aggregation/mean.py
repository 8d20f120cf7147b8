"""The weighted mean (FedAvg: McMahan et al. 2017, algorithm 1) as one streaming sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from grid.aggregation.base import Aggregate, Contribution, allocate
from grid.aggregation.numbers import BLOCK, add_weighted, is_whole, wide_dtype
from grid.aggregation.parallel import over_elements
from grid.aggregation.tensor_file import WORTH_RELEASING, Run, TensorFile, elements
from grid.aggregation.whole import WholeMeans, unchanged
from syft_ext.errors import Conflict, InvalidTensors

__all__ = ["WeightedMean"]

GROUP, GROUP_OF_SMALL = 8, 32
"""Contributions that are added in one pass over the sums, at most: every pass starts the threads anew, which
shows where a contribution is small; of large ones a window of each is resident."""


class WeightedMean:
    """Sum of weight times difference, divided by the sum of weights.

    Trained parameters are taken in without computing their difference first: the base model, times their
    weight, is added once at the end. One pass over each contribution, at memory bandwidth; the division is
    left to whoever applies the aggregate, in the same pass as its subtraction.

    Floats are summed in :func:`~grid.aggregation.numbers.wide_dtype`: of n reports, the mean is within (n + 2) · ε
    of the mean size of what was added, with ε of that precision. Whole numbers are exact
    (:mod:`grid.aggregation.whole`). Constants are not looked at.

    Args:
        base: the model that the contributions started from.
    """

    computes = True

    def __init__(self, base: TensorFile) -> None:
        self._base = base
        self._floats = [not is_whole(run[0]) and base.kind(run) != "constant" for run in base.runs]
        self._whole = WholeMeans(base)
        self._sums: list[NDArray[Any]] = []
        self._pending: list[tuple[TensorFile, float]] = []
        self._count = 0
        self._weight = 0.0
        self._base_weight = 0.0

    def accumulate(self, contribution: Contribution) -> None:
        """Keep its file for the next :meth:`settle`, which adds several in one pass over the sums."""
        self._whole.add(contribution)
        factor = contribution.weight if contribution.kind == "diff" else -contribution.weight
        if contribution.file.places == self._base.places:
            self._pending.append((contribution.file, factor))
            small = self._base.layout.data_size < WORTH_RELEASING
            if len(self._pending) == (GROUP_OF_SMALL if small else GROUP):
                self.settle()
        else:
            self.settle()
            self._add_reordered(contribution.file, factor)
        self._count += 1
        self._weight += contribution.weight
        if contribution.kind == "params":
            self._base_weight += contribution.weight

    def merge(self, other: Self) -> None:
        """Add what the other has summed up, after both have settled."""
        self.settle()
        other.settle()
        if not self._sums:
            self._sums = other._sums
        elif other._sums:
            for mine, theirs, floats in zip(self._sums, other._sums, self._floats, strict=True):
                if floats:
                    np.add(mine, theirs, out=mine)
        self._whole.merge(other._whole)
        self._count += other._count
        self._weight += other._weight
        self._base_weight += other._base_weight
        other.close()

    def finish(self) -> Aggregate:
        """The mean. From what came as trained parameters the base is taken off here, once for all."""
        if not self._count:
            raise Conflict("there is nothing to average")
        if self._base_weight:
            self.settle()
            self._pending = [(self._base, self._base_weight)]
        self.settle()
        sums, self._sums = self._sums, []
        whole, theirs = self._whole.finish()
        values = [theirs.get(run, total) for run, total in zip(self._base.runs, sums, strict=True)]
        return Aggregate(self._base.runs, values, 1.0 / self._weight, self._count, self._weight, whole)

    def close(self) -> None:
        """Give up the sums, and the files that wait to be added."""
        self._sums, self._pending = [], []
        self._whole.close()
        self._count = 0
        self._weight = self._base_weight = 0.0

    def settle(self) -> None:
        """Add what is pending to the sums, in one pass. When this is done makes no difference to the result."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        first = not self._sums
        if first:
            self._sums = self._room()
        for total, run, floats in zip(self._sums, self._base.runs, self._floats, strict=True):
            if not floats:
                continue

            def add(start: int, stop: int, total: NDArray[Any] = total, run: Run = run) -> None:
                _add(total, [(file, run, factor) for file, factor in pending], start, stop, first=first)

            over_elements(add, len(total))

    def _add_reordered(self, file: TensorFile, factor: float) -> None:
        """Add a file that has the tensors in an order of its own, or constants left out."""
        found = {spec.name: spec for spec in file.layout.specs}
        if not self._sums:
            self._sums = self._room()
            for total, floats in zip(self._sums, self._floats, strict=True):
                if floats:
                    total.fill(0)
        for spec in self._base.layout.specs:
            if spec.kind == "constant":
                continue
            other = found.get(spec.name)
            if other is None or (other.dtype, other.shape) != (spec.dtype, spec.shape):
                raise InvalidTensors(f"tensor {spec.name[:80]!r} is not as in the model")
            if spec.numel:
                index, start = self._place_of(spec.start)
                if not self._floats[index]:
                    continue
                target = self._sums[index][start : start + spec.numel]
                _add(target, [(file, (spec.dtype, other.start, other.stop), factor)], 0, spec.numel)

    def _room(self) -> list[NDArray[Any]]:
        """Room for the sums of floats; what is no such sum takes none."""
        return [
            allocate(run) if floats else unchanged(elements(run), wide_dtype(run[0]))
            for run, floats in zip(self._base.runs, self._floats, strict=True)
        ]

    def _place_of(self, offset: int) -> tuple[int, int]:
        """Stretch and element that begin at ``offset`` of the base model's data section."""
        for index, (_, first, last) in enumerate(self._base.runs):
            if first <= offset < last:
                return index, (offset - first) * len(self._sums[index]) // (last - first)
        raise AssertionError("no stretch holds this offset")


def _add(
    total: NDArray[Any],
    parts: Sequence[tuple[TensorFile, Run, float]],
    start: int,
    stop: int,
    *,
    first: bool = False,
) -> None:
    """Add elements ``start`` to ``stop`` of each part: window by window, so that little of them is resident."""
    room = np.empty(min(BLOCK, stop - start), total.dtype)
    window = max(file.window for file, _, _ in parts)
    # What overflows is found by whoever applies the sum: see ModelUpdater.
    with np.errstate(over="ignore", invalid="ignore"):
        for begin in range(start, stop, window):
            end = min(begin + window, stop)
            for index, (file, run, factor) in enumerate(parts):
                values = file.numbers(run, begin, end)
                add_weighted(total[begin:end], values, factor, room, first=first and not index)
                file.release(run, begin, end)
