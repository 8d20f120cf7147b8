"""The mean of clipped contributions with noise: what a site's policy can demand of every training.

A privacy mechanism for vectors says how contributions are clipped, and what noise is added. With the Gaussian one,
clipping norm C, noise multiplier z and n contributions Δ₁ … Δₙ (differences to the model, all numbers of one
together): (Σ Δᵢ · min(1, C/‖Δᵢ‖₂) + N(0, (zC)²)) / n, as in DP-FedAvg (H. B. McMahan et al., "Learning
differentially private recurrent language models", 2018, algorithm 1; participant-level). Noise is drawn once,
when the sum is complete; a crash before the model is released throws it away with the sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from grid.aggregation.base import Aggregate, Contribution
from grid.aggregation.numbers import wide_dtype
from grid.aggregation.tensor_file import Run, TensorFile
from grid.privacy.mechanisms.registry import ChosenMechanism
from syft_ext.errors import Conflict, InvalidTensors, Unsupported
from syft_ext.tensors import DTYPES

__all__ = ["ClippedMean"]

Piece = tuple[NDArray[Any], NDArray[Any]]


class ClippedMean:
    """One sum in float64, whatever the model's dtype: clipping is exact to the rounding of a double.

    Every contribution counts alike, or one could weigh more than the noise is made for.

    Args:
        base: the model that the contributions started from.
        mechanism: clips vectors of float64 by their L2 norm, and adds noise to their sum.

    Raises :class:`Unsupported` for a mechanism that is for something else.
    """

    computes = True

    def __init__(self, base: TensorFile, mechanism: ChosenMechanism) -> None:
        kind = mechanism.mechanism
        if (kind.numbers, kind.sensitivity) != ("float64", "l2"):
            raise Unsupported(f"the privacy mechanism {kind.name} is not for vectors of floats")
        self._base, self._mechanism = base, mechanism
        self._sums: list[NDArray[Any]] = []
        self._count = 0

    def accumulate(self, contribution: Contribution) -> None:
        """Add it, scaled down to the clipping norm over all its tensors; all weigh the same."""
        if not self._sums:
            self._sums = [np.zeros(_elements(run)) for run in self._base.runs]
        measured = sum(self._mechanism.measure(part) for _, part in self._pieces(contribution))
        for total, part in self._pieces(contribution):
            self._mechanism.clip(part, measured)
            total += part
        self._count += 1

    def _pieces(self, contribution: Contribution) -> Iterator[Piece]:
        """The sums, stretch by stretch, and what the contribution differs by there."""
        file, base = contribution.file, self._base
        for total, mine, theirs, offset in self._stretches(file):
            for start in range(0, _elements(theirs), file.window):
                stop = min(start + file.window, _elements(theirs))
                part = file.numbers(theirs, start, stop).astype(np.float64)
                if contribution.kind == "params":
                    np.subtract(base.numbers(mine, offset + start, offset + stop), part, out=part)
                    base.release(mine, offset + start, offset + stop)
                file.release(theirs, start, stop)
                yield total[offset + start : offset + stop], part

    def _stretches(self, file: TensorFile) -> Iterator[tuple[NDArray[Any], Run, Run, int]]:
        """Sum, stretch of the model, stretch of the file, and where in the former the latter begins."""
        if file.places == self._base.places:
            for total, run in zip(self._sums, self._base.runs, strict=True):
                yield total, run, run, 0
            return
        found = {spec.name: spec for spec in file.layout.specs}
        for spec in self._base.layout.specs:
            other = found.get(spec.name)
            if other is None or (other.dtype, other.shape) != (spec.dtype, spec.shape):
                raise InvalidTensors(f"tensor {spec.name[:80]!r} is not as in the model")
            for total, run in zip(self._sums, self._base.runs, strict=True):
                if run[1] <= spec.start < run[2]:
                    offset = (spec.start - run[1]) // DTYPES[spec.dtype][1]
                    yield total, run, (spec.dtype, other.start, other.stop), offset

    def settle(self) -> None:
        """Nothing is put off."""

    def merge(self, other: Self) -> None:
        """Add what the other has summed up. Noise comes once, in :meth:`finish`."""
        if not self._sums:
            self._sums = other._sums
        elif other._sums:
            for mine, theirs in zip(self._sums, other._sums, strict=True):
                np.add(mine, theirs, out=mine)
        self._count += other._count
        other.close()

    def finish(self) -> Aggregate:
        """The sum, with noise of deviation z·C on each number, divided by the number of reports."""
        if not self._count:
            raise Conflict("there is nothing to average")
        noise = self._mechanism.noise()
        values = []
        sums, self._sums = self._sums, []
        for total, run in zip(sums, self._base.runs, strict=True):
            noise.add(total)
            total /= self._count
            values.append(total.astype(wide_dtype(run[0]), copy=False))
        return Aggregate(self._base.runs, values, 1.0, self._count, float(self._count))

    def close(self) -> None:
        """Give up the sums."""
        self._sums, self._count = [], 0


def _elements(run: Run) -> int:
    dtype, first, last = run
    return (last - first) // DTYPES[dtype][1]
