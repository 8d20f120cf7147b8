"""The mean of clipped contributions with noise: what a site's policy can demand of every training.

A privacy mechanism for vectors says how contributions are clipped, and what noise is added. With the discrete
Gaussian, clipping norm C, noise multiplier z and n contributions Δ₁ … Δₙ (differences to the model, all numbers of
one together): (Σ Δᵢ · min(1, C/‖Δᵢ‖₂) + N(0, (zC)²)) / n, as in DP-FedAvg (H. B. McMahan et al., "Learning
differentially private recurrent language models", 2018, algorithm 1; participant-level), in whole steps of a grid.

All that is about parameters alone (:data:`~syft_ext.tensors.TensorKind`). Statistics, counters and constants stay
as they are in the model: they are made of rows too, no clipping norm is theirs, and a counter would use up that of
the parameters (ADR 33).

Noise is drawn once, when the sum is complete, from a key that follows from all that went in: who makes the sum
again, after a crash or from an older database, gets the same noise, and a sum of anything else another. So neither
two releases of one sum average it away, nor the difference of two sums takes it off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from grid.aggregation.base import Aggregate, Contribution
from grid.aggregation.numbers import BLOCK, wide_dtype
from grid.aggregation.tensor_file import Run, TensorFile, elements
from grid.aggregation.whole import unchanged
from grid.privacy.mechanisms.registry import ChosenMechanism
from syft_ext.errors import Conflict, InvalidTensors, Unsupported
from syft_ext.tensors import DTYPES

__all__ = ["ClippedMean"]

_LARGEST_SUM = 1 << 61
"""Room is left for noise, which says itself when it has none."""

Piece = tuple[NDArray[Any], NDArray[Any]]


class ClippedMean:
    """One sum, in the numbers that the mechanism works on, whatever the model's dtype.

    Every contribution counts alike, or one could weigh more than the noise is made for.

    Args:
        base: the model that the contributions started from.
        mechanism: clips vectors by their L2 norm, and adds noise to their sum.
        key: makes the key (32 bytes) of the noise from a digest of the contributions and their sum, and of what
            nobody else knows; None: noise that nobody can draw again, or none.

    Raises :class:`Unsupported` for a mechanism that is for something else.
    """

    computes = True

    def __init__(
        self, base: TensorFile, mechanism: ChosenMechanism, key: Callable[[bytes], bytes] | None = None
    ) -> None:
        kind = mechanism.mechanism
        if kind.sensitivity != "l2":
            raise Unsupported(f"the privacy mechanism {kind.name} is not for vectors")
        self._base, self._mechanism, self._key = base, mechanism, key
        self._runs = [run for run in base.runs if base.kind(run) == "parameter"]
        self._whole = kind.numbers == "int64"
        self._sums: list[NDArray[Any]] = []
        self._count = 0
        self._contents: list[bytes] = []  # the digest of each, where a key is made of them

    def accumulate(self, contribution: Contribution) -> None:
        """Add it, scaled down to the clipping norm over all its tensors; all weigh the same.

        Where there is noise, one that is not finite counts as zeros, and as a report like any other: that it was
        refused would be told without noise.

        Raises :class:`InvalidTensors` for one that is not like the model, or, without noise, not finite;
        :class:`Conflict` where the sum would not fit any more.
        """
        if not self._sums:
            self._sums = [np.zeros(elements(run), self._mechanism.mechanism.numbers) for run in self._runs]
        self._check_room(1)
        nothing = False
        try:
            measured = self._mechanism.measure(lambda: (part for _, part in self._pieces(contribution)))
        except InvalidTensors:
            if not self._whole:  # noise is made of whole numbers: what is summed in floats has none
                raise
            nothing, measured = True, None  # one that is not like the model is refused below all the same
        content = blake3(contribution.kind.encode()) if self._key else None
        for total, part in self._pieces(contribution, content):
            if not nothing:
                total += self._mechanism.clip(part, measured)
        if content is not None:
            self._contents.append(content.digest())
        self._count += 1

    def _check_room(self, more: int) -> None:
        """Sums of whole numbers do not wrap around: what each contribution is at most is known beforehand."""
        if self._whole and (self._count + more) * int(self._mechanism.bound()) > _LARGEST_SUM:
            raise Conflict("the sum of so many contributions does not fit into 64 bits")

    def _pieces(self, contribution: Contribution, content: Any = None) -> Iterator[Piece]:
        """The sums, stretch by stretch, and what the contribution differs by there. ``content``: a hash of it."""
        file, base = contribution.file, self._base
        for total, mine, theirs, offset in self._stretches(file):
            for start in range(0, elements(theirs), file.window):
                stop = min(start + file.window, elements(theirs))
                numbers = file.numbers(theirs, start, stop)
                if content is not None:
                    content.update(np.ascontiguousarray(numbers).view(np.uint8))
                part = numbers.astype(np.float64)
                if contribution.kind == "params":
                    with np.errstate(over="ignore", invalid="ignore"):  # whoever measures it finds that
                        np.subtract(base.numbers(mine, offset + start, offset + stop), part, out=part)
                    base.release(mine, offset + start, offset + stop)
                file.release(theirs, start, stop)
                yield total[offset + start : offset + stop], part

    def _stretches(self, file: TensorFile) -> Iterator[tuple[NDArray[Any], Run, Run, int]]:
        """Sum, stretch of the model, stretch of the file, and where in the former the latter begins."""
        if file.places == self._base.places:
            for total, run in zip(self._sums, self._runs, strict=True):
                yield total, run, run, 0
            return
        found = {spec.name: spec for spec in file.layout.specs}
        for spec in self._base.layout.specs:
            if spec.kind == "constant":
                continue
            other = found.get(spec.name)
            if other is None or (other.dtype, other.shape) != (spec.dtype, spec.shape):
                raise InvalidTensors(f"tensor {spec.name[:80]!r} is not as in the model")
            for total, run in zip(self._sums, self._runs, strict=True):
                if run[1] <= spec.start < run[2]:
                    offset = (spec.start - run[1]) // DTYPES[spec.dtype][1]
                    yield total, run, (spec.dtype, other.start, other.stop), offset

    def settle(self) -> None:
        """Nothing is put off."""

    def merge(self, other: Self) -> None:
        """Add what the other has summed up. Noise comes once, in :meth:`finish`."""
        self._check_room(other._count)
        if not self._sums:
            self._sums = other._sums
        elif other._sums:
            for mine, theirs in zip(self._sums, other._sums, strict=True):
                np.add(mine, theirs, out=mine)
        self._contents += other._contents
        self._count += other._count
        other.close()

    def finish(self) -> Aggregate:
        """The sum, with the mechanism's noise on each number, divided by the number of reports."""
        if not self._count:
            raise Conflict("there is nothing to average")
        noise = self._mechanism.noise(self._key(self._digest()) if self._key else None)
        sums, count = self._sums, self._count
        means: dict[Run, NDArray[Any]] = {}
        self.close()
        for total, run in zip(sums, self._runs, strict=True):
            noise.add(total)
            mean = np.empty(len(total), wide_dtype(run[0]))
            for start in range(0, len(total), BLOCK):
                part = slice(start, start + BLOCK)
                with np.errstate(over="ignore"):  # what overflows is found by whoever applies it
                    np.divide(
                        self._mechanism.restore(total[part]), count, out=mean[part], casting="same_kind"
                    )
            means[run] = mean
        runs = self._base.runs
        values = [
            means[run] if run in means else unchanged(elements(run), wide_dtype(run[0])) for run in runs
        ]
        return Aggregate(runs, values, 1.0, count, float(count))

    def _digest(self) -> bytes:
        """Of the contributions, in no order, and of their sum: noise that was on one is never on another."""
        found = blake3(b"".join(sorted(self._contents)))
        for total in self._sums:
            found.update(total.view(np.uint8).data)
        return found.digest()

    def close(self) -> None:
        """Give up the sums."""
        self._sums, self._contents, self._count = [], [], 0
