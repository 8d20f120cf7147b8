"""Whole numbers are averaged as whole numbers: exactly, and rounded once.

A difference of whole numbers wraps around in its own dtype (0 − 10 is 246 in uint8), which loses nothing: the
model minus the difference, in the same arithmetic, is what the participant had. So it is these values that are
summed, in limbs of 16 bits, whose sums fit into 64 bits for all weights together up to :data:`LARGEST_WEIGHT`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.aggregation.base import Contribution
from grid.aggregation.numbers import is_whole
from grid.aggregation.tensor_file import Run, TensorFile, elements
from syft_ext.errors import Conflict, InvalidTensors
from syft_ext.tensors import DTYPES

__all__ = ["LARGEST_WEIGHT", "WholeMeans", "unchanged"]

LARGEST_WEIGHT = 140_000_000_000_000
"""Weights of all reports together: 2^16 times as much, and a carry, fit into 63 bits. Reports state at most 10^9
samples, so these are 140,000 of the largest."""

_BITS, _MASK = 16, (1 << 16) - 1


class _Sum:
    """The weighted sum of vectors of whole numbers of ``bits`` bits."""

    def __init__(self, count: int, bits: int) -> None:
        limbs = max(1, bits // _BITS)
        self._limbs: NDArray[np.int64] = np.zeros((limbs, count), np.int64)
        self._rest: NDArray[np.float64] | None = None  # of weights that are no whole numbers

    def add(self, start: int, values: NDArray[np.int64], weight: float) -> None:
        stop = start + len(values)
        if not weight.is_integer():
            if self._rest is None:
                self._rest = np.zeros(self._limbs.shape[1])
            self._rest[start:stop] += values * weight
            return
        top = len(self._limbs) - 1
        for index, limb in enumerate(self._limbs):
            part = values >> (_BITS * index)
            if index < top:
                part &= _MASK
            part *= int(weight)
            limb[start:stop] += part

    def merge(self, other: _Sum) -> None:
        self._limbs += other._limbs
        if other._rest is not None:
            self._rest = other._rest if self._rest is None else self._rest + other._rest

    def nearly(self) -> NDArray[np.float64]:
        """The sum in double precision: rounded once for each limb, and not at all where it fits."""
        total = np.zeros(self._limbs.shape[1])
        for limb in self._carried()[::-1]:
            total = np.ldexp(total, _BITS) + limb
        return total if self._rest is None else total + self._rest

    def mean(self, weight: float) -> NDArray[np.int64] | None:
        """The sum divided by ``weight``, rounded once, to the even one of two that are as near; None where weights
        were no whole numbers."""
        if self._rest is not None:
            return None
        divisor, limbs = int(weight), self._carried()
        found = np.zeros(limbs.shape[1], np.int64)
        rest = found.copy()
        for limb in limbs[::-1]:  # long division: what is left of a limb goes on into the next lower one
            quotient, rest = np.divmod((rest << _BITS) + limb, divisor)
            found = (found << _BITS) + quotient
        up = (rest > divisor - rest) | ((rest == divisor - rest) & (found & 1 == 1))
        rounded: NDArray[np.int64] = found + up
        return rounded

    def _carried(self) -> NDArray[np.int64]:
        """The same sum, all limbs but the highest below 2^16: a small negative one has no large parts then."""
        limbs = self._limbs.copy()
        for low, high in zip(limbs[:-1], limbs[1:], strict=True):
            high += low >> _BITS
            low &= _MASK
        return limbs


class WholeMeans:
    """The means of a model's tensors of whole numbers, over what the participants had.

    Constants are none of them: no report moves these.
    """

    def __init__(self, base: TensorFile) -> None:
        self._base = base
        self.runs = [run for run in base.runs if is_whole(run[0]) and base.kind(run) != "constant"]
        self._sums: list[_Sum] = []
        self._weight = 0.0

    def add(self, contribution: Contribution) -> None:
        """Take a report in. Raises :class:`InvalidTensors` for one that is not like the model, and
        :class:`Conflict` where the weights are too much together."""
        if not self.runs:
            return
        self._start()
        if self._weight + contribution.weight > LARGEST_WEIGHT:
            raise Conflict(f"the weights of the reports are more than {LARGEST_WEIGHT} together")
        file, base, weight = contribution.file, self._base, contribution.weight
        for index, run, place in self._places(file):
            count = elements(place)
            offset = (run[1] - self.runs[index][1]) // DTYPES[run[0]][1]
            for start in range(0, count, file.window):
                stop = min(start + file.window, count)
                numbers = file.integers(place, start, stop)
                if contribution.kind == "diff":
                    numbers = base.integers(run, start, stop) - numbers  # in the dtype of both: see above
                self._sums[index].add(offset + start, numbers.astype(np.int64), weight)
                file.release(place, start, stop)
                base.release(run, start, stop)
        self._weight += weight

    def _start(self) -> None:
        if not self._sums:
            self._sums = [_Sum(elements(run), 8 * DTYPES[run[0]][1]) for run in self.runs]

    def _places(self, file: TensorFile) -> list[tuple[int, Run, Run]]:
        """Which sum, the stretch of the model, and that of the file."""
        if file.places == self._base.places:
            return [(index, run, run) for index, run in enumerate(self.runs)]
        found = {spec.name: spec for spec in file.layout.specs}
        places = []
        for spec in self._base.layout.specs:
            for index, (_, first, last) in enumerate(self.runs):
                if first <= spec.start < spec.stop <= last:
                    other = found.get(spec.name)
                    if other is None or (other.dtype, other.shape) != (spec.dtype, spec.shape):
                        raise InvalidTensors(f"tensor {spec.name[:80]!r} is not as in the model")
                    run = (spec.dtype, spec.start, spec.stop)
                    places.append((index, run, (spec.dtype, other.start, other.stop)))
        return places

    def merge(self, other: WholeMeans) -> None:
        """Add what the other has summed up."""
        if not other._sums:
            return
        self._start()
        for mine, theirs in zip(self._sums, other._sums, strict=True):
            mine.merge(theirs)
        self._weight += other._weight

    def finish(self) -> tuple[list[tuple[Run, NDArray[np.int64]]], dict[Run, NDArray[np.float64]]]:
        """The means, where weights were whole; and for each stretch, the sum of weight times difference to the
        model in double precision, as other stretches have it."""
        whole, sums = [], {}
        for run, total in zip(self.runs, self._sums, strict=True):
            mean = total.mean(self._weight)
            if mean is not None:
                whole.append((run, mean))
            count = elements(run)
            sums[run] = self._base.numbers(run, 0, count) * self._weight - total.nearly()
        self.close()
        return whole, sums

    def close(self) -> None:
        """Give up the sums."""
        self._sums, self._weight = [], 0.0


def unchanged(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The difference of what stays as it is: zeros that take no room."""
    return np.broadcast_to(np.zeros(1, dtype), (count,))
