"""Strategies that treat the averaged difference as a gradient and take a step of an optimiser on the server.

The optimiser's variables ("slots": a velocity, say) are kept per number of the model, in the precision that
sums have (:func:`~grid.aggregation.numbers.wide_dtype`). Only parameters have a gradient: what else is in a model
gets the plain mean.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from grid.aggregation.base import Aggregate
from grid.aggregation.numbers import BLOCK, wide_dtype
from grid.aggregation.strategies.interface import Entry, Strategy, WriteNumbers, subtraction
from grid.aggregation.tensor_file import Run, TensorFile
from syft_ext.tensors import DTYPES, Layout

__all__ = ["ServerOptimizer"]

Values = NDArray[Any]
_CODES = {np.dtype(np.float32): "F32", np.dtype(np.float64): "F64"}


class ServerOptimizer(Strategy):
    """Give it slots, how each moves on, and the step. All is element by element, on flat arrays of one dtype.

    A slot is in the state as one tensor per tensor of the model, named ``slot/tensor``.
    """

    slots: ClassVar[tuple[str, ...]]

    def initial(self, slot: str, parameters: Any) -> float:
        """What every number of the slot is before the first cycle."""
        return 0.0

    @abstractmethod
    def advance(self, slot: str, before: Values, gradient: Values, parameters: Any) -> Values:
        """The slot after this cycle; ``gradient``: the averaged difference, base minus trained. Both stay."""

    @abstractmethod
    def step(self, slots: Mapping[str, Values], parameters: Any) -> Values:
        """What is subtracted from the model, given the slots after this cycle."""

    # -- what follows from that

    def state(self, layout: Layout, parameters: Any) -> Sequence[Entry]:
        specs = sorted(layout.specs, key=lambda spec: (spec.start, spec.stop))
        return [
            (f"{slot}/{spec.name}", _CODES[wide_dtype(spec.dtype)], spec.shape)
            for slot in self.slots
            for spec in specs
            if spec.kind == "parameter"
        ]

    def next_state(
        self, base: TensorFile, aggregate: Aggregate, state: TensorFile | None, parameters: Any
    ) -> Iterator[Values]:
        places = self._places(base, aggregate.runs)
        for slot in self.slots:
            for index, place in places[slot].items():
                values = aggregate.values[index]
                for start in range(0, len(values), BLOCK):
                    stop = min(start + BLOCK, len(values))
                    gradient = values[start:stop] * values.dtype.type(aggregate.scale)
                    if state is None:
                        before = np.full(stop - start, self.initial(slot, parameters), values.dtype)
                    else:
                        before = state.numbers(place, start, stop)
                    yield self.advance(slot, before, gradient, parameters)
                    if state is not None:
                        state.release(place, start, stop)

    def next_model(
        self, base: TensorFile, aggregate: Aggregate, state: TensorFile | None, parameters: Any
    ) -> WriteNumbers:
        places = self._places(base, aggregate.runs)
        plain = subtraction(base, aggregate)

        def write(index: int, start: int, stop: int, target: Values) -> None:
            run = aggregate.runs[index]
            if index not in places[self.slots[0]]:
                plain(index, start, stop, target)
                return
            assert state is not None
            for begin in range(start, stop, BLOCK):
                end = min(begin + BLOCK, stop)
                slots = {slot: state.numbers(places[slot][index], begin, end) for slot in self.slots}
                step = self.step(slots, parameters)
                np.subtract(base.numbers(run, begin, end), step, out=target[begin - start : end - start])
                for slot in self.slots:
                    state.release(places[slot][index], begin, end)

        return write

    def _places(self, base: TensorFile, runs: Sequence[Run]) -> dict[str, dict[int, Run]]:
        """Slot → number of each of these stretches that is of parameters → where the slot's numbers for it lie."""
        places: dict[str, dict[int, Run]] = {}
        offset = 0
        for slot in self.slots:
            places[slot] = {}
            for index, run in enumerate(runs):
                if base.kind(run) == "parameter":
                    dtype, first, last = run
                    wide = wide_dtype(dtype)
                    size = (last - first) // DTYPES[dtype][1] * wide.itemsize
                    places[slot][index] = (_CODES[wide], offset, offset + size)
                    offset += size
        return places
