"""What every strategy offers: an aggregator for the reports of a cycle, and the step from model to model.

A strategy may keep state between cycles: a tensor file of its own, whose tensors it declares beforehand. The next
state is made first and the next model from it, so that both are streamed, one after the other, and neither has
to fit into memory. Everything follows from its arguments: who does a step again, after a crash, gets the same
bits. Every implementation passes ``tests/federated/strategies/contract.py``.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from grid.aggregation.base import Aggregate, Aggregator
from grid.aggregation.mean import WeightedMean
from grid.aggregation.tensor_file import TensorFile
from grid.extensions.parameters import NoParameters, Parameters
from syft_ext.tensors import Layout

__all__ = ["Entry", "NoParameters", "Parameters", "Strategy", "WriteNumbers", "subtraction"]

Entry = tuple[str, str, tuple[int, ...]]
"""A tensor of the state: name, dtype as in the format ("F32"), shape."""

WriteNumbers = Callable[[int, int, int, NDArray[Any]], None]
"""Called with i, start, stop and a flat array: writes numbers start to stop of the model's i-th stretch, as the
aggregate divides it (``aggregate.runs[i]``), into the array. That is in
:func:`~grid.aggregation.numbers.wide_dtype`."""


class Strategy(ABC):
    """By default: the weighted mean of the differences, subtracted from the model, and nothing kept.

    Attributes:
        name: what a training calls it by.
        parameters: the type of its parameters.
        under_policy: it may run where the site's policy clips contributions and adds noise. The policy's own mean
            then takes the place of :meth:`aggregator`: say so only if that is a mean, and if what follows it looks
            at nothing but the model, the aggregate and the state.
    """

    name: ClassVar[str]
    parameters: ClassVar[type[Parameters]] = NoParameters
    under_policy: ClassVar[bool] = False

    def aggregator(self, base: TensorFile, parameters: Any) -> Aggregator:
        """What the reports of a cycle that starts from the model ``base`` are added to."""
        return WeightedMean(base)

    def state(self, layout: Layout, parameters: Any) -> Sequence[Entry]:
        """The tensors that are kept between cycles, for a model of this layout; none: it keeps nothing."""
        return ()

    def next_state(
        self, base: TensorFile, aggregate: Aggregate, state: TensorFile | None, parameters: Any
    ) -> Iterator[NDArray[Any]]:
        """The numbers of the next state, in the order of :meth:`state`, in pieces as large as it likes.

        Asked for only where :meth:`state` names tensors.

        Args:
            state: that of before; None in the first cycle.
        """
        raise NotImplementedError(f"the strategy {self.name} declares a state and does not make it")

    def next_model(
        self, base: TensorFile, aggregate: Aggregate, state: TensorFile | None, parameters: Any
    ) -> WriteNumbers:
        """How the numbers of the next model are computed; ``state``: the next one, None where none is kept."""
        return subtraction(base, aggregate)


def subtraction(base: TensorFile, aggregate: Aggregate) -> WriteNumbers:
    """The model minus the aggregate."""
    runs, scale = aggregate.runs, aggregate.scale

    def write(index: int, start: int, stop: int, target: NDArray[Any]) -> None:
        numbers, part = base.numbers(runs[index], start, stop), aggregate.values[index][start:stop]
        if scale == 1:
            np.subtract(numbers, part, out=target)
        else:
            np.multiply(part, part.dtype.type(-scale), out=target)
            np.add(target, numbers, out=target)

    return write
