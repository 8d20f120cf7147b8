"""A strategy as an installed package would bring it: its own arithmetic, and a state that is not like the model.

The step shrinks as 1/(cycle + warmth): the state is how many cycles there were, and the mean step so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from grid.aggregation.base import Aggregate
from grid.aggregation.numbers import BLOCK
from grid.aggregation.strategies.interface import Entry, Parameters, Strategy, WriteNumbers
from grid.aggregation.tensor_file import TensorFile
from syft_ext.tensors import Layout

ENTRIES = {"decaying": "tests.federated.strategies.outside:Decaying"}


def install(site: Path, package: str = "outside", **entries: str) -> Path:
    """Leave in ``site`` what pip leaves of a package with these entry points; returns ``site``."""
    info = site / f"{package}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    lines = [f"{name} = {value}" for name, value in (entries or ENTRIES).items()]
    (info / "entry_points.txt").write_text("\n".join(["[grid.aggregation_strategies]", *lines, ""]))
    return site


class DecayParameters(Parameters, frozen=True):
    warmth: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 1.0
    cycles: Annotated[int, msgspec.Meta(ge=1)] = 100


class Decaying(Strategy):
    name = "decaying"
    parameters = DecayParameters

    def state(self, layout: Layout, parameters: DecayParameters) -> Sequence[Entry]:
        return [("cycles", "I64", ()), ("norms", "F64", (2,))]

    def next_state(
        self,
        base: TensorFile,
        aggregate: Aggregate,
        state: TensorFile | None,
        parameters: DecayParameters,
    ) -> Iterator[NDArray[Any]]:
        yield np.array([_cycles(state) + 1], np.int64)
        before = np.zeros(2) if state is None else np.frombuffer(state.tensor_bytes(8, 24), np.float64)
        norm = 0.0
        for values in aggregate.values:
            for start in range(0, len(values), BLOCK):
                norm += float(np.abs(values[start : start + BLOCK].astype(np.float64)).sum())
        yield np.array([before[0] + norm * aggregate.scale, max(before[1], norm)])

    def next_model(
        self,
        base: TensorFile,
        aggregate: Aggregate,
        state: TensorFile | None,
        parameters: DecayParameters,
    ) -> WriteNumbers:
        factor = aggregate.scale / (_cycles(state) + parameters.warmth)

        def write(index: int, start: int, stop: int, target: NDArray[Any]) -> None:
            part = aggregate.values[index][start:stop]
            np.multiply(part, part.dtype.type(-factor), out=target)
            np.add(target, base.numbers(aggregate.runs[index], start, stop), out=target)

        return write


def _cycles(state: TensorFile | None) -> int:
    return 0 if state is None else int(np.frombuffer(state.tensor_bytes(0, 8), np.int64)[0])


class NotAStrategy:
    name = "wrong"


class Misnamed(Decaying):
    name = "other"


class Broken(Decaying):
    name = "broken"

    def next_state(self, *args: Any) -> Iterator[NDArray[Any]]:
        yield np.zeros(1)  # eight bytes of twenty-four
