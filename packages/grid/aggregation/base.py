"""The one interface of everything that turns many reports into one update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from grid.aggregation.numbers import wide_dtype
from grid.aggregation.tensor_file import Run, TensorFile
from syft_ext.tensors import DTYPES

__all__ = ["Aggregate", "Aggregator", "Contribution", "Kind", "allocate"]

Kind = Literal["diff", "params"]


@dataclass(frozen=True, slots=True)
class Contribution:
    """One accepted report.

    Attributes:
        file: the report's tensors: base minus trained (``diff``), or the trained parameters (``params``).
        weight: its weight in the mean, > 0.
    """

    file: TensorFile
    weight: float
    kind: Kind = "diff"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The averaged difference: ``scale * values``, in stretches of the base model's data section.

    Attributes:
        runs: stretches of the base model's data section, one after the other: all of it.
        values: flat arrays, one per stretch, in :func:`wide_dtype`; may be views of what must not be changed.
        count: reports in it.
        weight: their weights' sum.
        whole: stretches of whole numbers with what they become, int64: exact, where ``values`` are doubles.
    """

    runs: list[Run]
    values: list[NDArray[Any]]
    scale: float
    count: int
    weight: float
    whole: Sequence[tuple[Run, NDArray[np.int64]]] = ()

    def next_whole(self, run: Run) -> NDArray[np.int64] | None:
        """What the whole numbers of ``run``, which is one of :attr:`runs`, become; None: ``values`` say."""
        for (dtype, first, last), numbers in self.whole:
            if first <= run[1] and run[2] <= last:
                size = DTYPES[dtype][1]
                return numbers[(run[1] - first) // size : (run[2] - first) // size]
        return None


class Aggregator(Protocol):
    """Accumulate, merge, finish. Memory does not depend on how many contributions there are.

    Attributes:
        computes: it works in this process, and is moved off the event loop; else it waits for another one.
    """

    @property
    def computes(self) -> bool:
        """See above; fixed for a strategy."""

    def accumulate(self, contribution: Contribution) -> None:
        """Take one contribution in. Its file must stay until the next :meth:`settle`."""

    def settle(self) -> None:
        """Do what was put off to do several contributions at once."""

    def merge(self, other: Self) -> None:
        """Take in everything that ``other`` has accumulated; ``other`` is spent.

        Raises :class:`Unsupported` where the strategy has no such operation (a hosted iterative plan).
        """

    def finish(self) -> Aggregate:
        """The averaged difference. Raises :class:`Conflict` when nothing was accumulated."""

    def close(self) -> None:
        """Give up what it holds. May be called at any time, more than once."""


def allocate(run: Run) -> NDArray[Any]:
    """Room for the sums of ``run``: a flat array with undefined content."""
    dtype, first, last = run
    return np.empty((last - first) // DTYPES[dtype][1], wide_dtype(dtype))
