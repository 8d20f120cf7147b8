"""Averaging with a hosted plan: once per report (iterative), or once with all of them.

Iterative (paper, listing 5): ``avg = plan(avg, item, num)``, where ``num`` counts the reports that are in
``avg`` already; the first difference is the first ``avg``.

Not iterative: the plan takes every parameter with one dimension more in front, the reports along it (and, as
an optional last argument, their weights); or it takes as many lists of parameters as there are reports.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from grid.aggregation.base import Aggregate, Contribution, Kind
from grid.aggregation.numbers import integers, is_whole, narrow, wide_dtype, widen
from grid.aggregation.tensor_file import Run, TensorFile
from grid.aggregation.whole import WholeMeans
from syft_ext.errors import Conflict, InvalidPlan, TooLarge, Unsupported
from syft_ext.tensors import Layout, TensorSpec

__all__ = [
    "BatchPlanAverage",
    "IterativePlanAverage",
    "Leaf",
    "PlanProcess",
    "PlanShape",
    "check_fits",
    "check_signature",
]

MEMORY_LIMIT = 1 << 30
"""Bytes of reports that a plan which is not iterative may be given at once."""

TOGETHER = 16 << 20
"""Bytes of reports that an iterative plan is given in one call, where as many wait."""

Raw = tuple[str, Sequence[int], NDArray[Any]]
"""A tensor on its way into or out of a plan: dtype ("F32"), shape, and its bytes."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor that a plan takes or gives; a size that is not fixed is None."""

    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class PlanShape:
    """What a checked plan takes and gives: its arguments by name, each a flat list of tensors."""

    arguments: tuple[tuple[str, tuple[Leaf, ...]], ...]
    outputs: tuple[Leaf, ...]


class PlanProcess(Protocol):
    """The process in which plans are checked and run."""

    def describe(self, plan: bytes) -> PlanShape:
        """Check the plan. Raises :class:`InvalidPlan`."""

    def call(self, plan: bytes, inputs: Sequence[Raw]) -> list[Raw]:
        """Run it: flat inputs to flat outputs, in the plan's order. Raises :class:`InvalidPlan`."""

    def fold(
        self, plan: bytes, state: Sequence[Raw], steps: Sequence[Sequence[Raw | None]], *, reuse: bool
    ) -> list[Raw]:
        """Run it once per step, each on the outputs of the one before where its inputs are None.

        ``reuse``: the last outputs may be written over ``state``.
        """


def check_signature(shape: PlanShape, iterative: bool, weighted: bool) -> None:
    """Raise :class:`InvalidPlan` unless a plan of this shape can average at all (and by weights)."""
    names = [name for name, _ in shape.arguments]
    if weighted and (iterative or len(names) != 2 or len(shape.arguments[1][1]) != 1):
        raise InvalidPlan("weighting by samples: the averaging plan has no second argument for the weights")
    if iterative:
        if sorted(names) != ["avg", "item", "num"] and len(names) != 3:
            raise InvalidPlan(
                f"an iterative averaging plan takes avg, item, num; this one takes {', '.join(names)}"
            )
        avg, item, num = _avg_item_num(shape)
        if not len(avg) == len(item) == len(shape.outputs) or len(num) != 1:
            raise InvalidPlan(
                f"an iterative averaging plan takes and gives equally many tensors; this one takes {len(avg)} and "
                f"{len(item)}, and gives {len(shape.outputs)}"
            )
    elif not shape.arguments:
        raise InvalidPlan("an averaging plan takes the reports")


def check_fits(shape: PlanShape, iterative: bool, layout: Layout, most: int | None) -> None:
    """Raise :class:`InvalidPlan` unless the plan can average reports on a model of this ``layout``.

    Args:
        most: so many reports are averaged at once at most, if that is known.

    Raises :class:`TooLarge` when a plan that is not iterative would be given more than it may.
    """
    specs = layout.specs
    _match("gives", shape.outputs, [_leaf(spec) for spec in specs])
    if iterative:
        avg, item, _ = _avg_item_num(shape)
        _match("takes as avg", avg, [_leaf(spec) for spec in specs])
        _match("takes as item", item, [_leaf(spec) for spec in specs])
        return
    if most is not None and most * layout.data_size > MEMORY_LIMIT:
        raise TooLarge(
            f"{most} reports of {layout.data_size} bytes at once: let the plan be iterative",
            limit=MEMORY_LIMIT,
        )
    if not _stacked(shape, specs):
        count = _listed(shape, specs)
        if count is None:
            raise InvalidPlan(
                "the averaging plan fits neither stacked reports nor lists of the model's tensors"
            )
        if most is not None and count != most:
            raise InvalidPlan(f"the averaging plan takes {count} reports, and a cycle can hold {most}")


def _avg_item_num(shape: PlanShape) -> tuple[tuple[Leaf, ...], tuple[Leaf, ...], tuple[Leaf, ...]]:
    """The three arguments by their names, or in this order."""
    by_name = dict(shape.arguments)
    if sorted(by_name) == ["avg", "item", "num"]:
        return by_name["avg"], by_name["item"], by_name["num"]
    first, second, third = (leaves for _, leaves in shape.arguments)
    return first, second, third


def _leaf(spec: TensorSpec) -> Leaf:
    return Leaf(spec.dtype, spec.shape)


def _fits(leaf: Leaf, wanted: Leaf) -> bool:
    return (
        leaf.dtype == wanted.dtype
        and len(leaf.shape) == len(wanted.shape)
        and all(a in (None, b) for a, b in zip(leaf.shape, wanted.shape, strict=True))
    )


def _match(what: str, found: Sequence[Leaf], wanted: Sequence[Leaf]) -> None:
    if len(found) != len(wanted):
        raise InvalidPlan(f"the averaging plan {what} {len(found)} tensors, the model has {len(wanted)}")
    for index, (leaf, other) in enumerate(zip(found, wanted, strict=True)):
        if not _fits(leaf, other):
            raise InvalidPlan(f"tensor {index} that the averaging plan {what} is not as in the model")


def _stacked(shape: PlanShape, specs: Sequence[TensorSpec]) -> bool:
    """Whether the first argument is each tensor of the model with the reports in front."""
    leaves = shape.arguments[0][1]
    return len(leaves) == len(specs) and all(
        leaf.dtype == spec.dtype
        and len(leaf.shape) == len(spec.shape) + 1
        and _fits(Leaf(leaf.dtype, leaf.shape[1:]), _leaf(spec))
        for leaf, spec in zip(leaves, specs, strict=True)
    )


def _listed(shape: PlanShape, specs: Sequence[TensorSpec]) -> int | None:
    """How many reports the plan takes as lists of tensors; None if it does not."""
    leaves = [leaf for _, argument in shape.arguments for leaf in argument]
    count, rest = divmod(len(leaves), len(specs))
    wanted = [_leaf(spec) for spec in specs] * count
    fits = not rest and all(_fits(a, b) for a, b in zip(leaves, wanted, strict=True))
    return count if fits and count else None


def _difference(base: TensorFile, contribution: Contribution) -> list[Raw]:
    """The tensors of a report as differences, in the order of the model."""
    file = contribution.file
    found = {spec.name: spec for spec in file.layout.specs}
    result: list[Raw] = []
    for spec in base.layout.specs:
        other = found.get(spec.name)
        if other is None:  # a constant that the report left out
            result.append((spec.dtype, spec.shape, np.zeros(spec.stop - spec.start, np.uint8)))
            continue
        raw = np.frombuffer(file.tensor_bytes(other.start, other.stop), np.uint8)
        if is_whole(spec.dtype):
            raw = _whole_difference(base, spec, raw, contribution.kind)
        elif contribution.kind == "params":
            mine = np.frombuffer(base.tensor_bytes(spec.start, spec.stop), np.uint8)
            raw = narrow(widen(mine, spec.dtype) - widen(raw, spec.dtype), spec.dtype).view(np.uint8)
        result.append((spec.dtype, spec.shape, raw))
    return result


def _whole_difference(base: TensorFile, spec: TensorSpec, raw: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """Whole numbers as a plan is given them: the difference, cut off where the dtype ends instead of wrapped
    around. What becomes of them is their exact mean all the same (:mod:`grid.aggregation.whole`)."""
    mine = integers(np.frombuffer(base.tensor_bytes(spec.start, spec.stop), np.uint8), spec.dtype)
    given = integers(raw, spec.dtype)
    trained = mine - given if kind == "diff" else given
    difference = mine.astype(np.float64) - trained.astype(np.float64)
    return narrow(difference, spec.dtype).view(np.uint8)


def _aggregate(base: TensorFile, outputs: Sequence[Raw], count: int, whole: WholeMeans) -> Aggregate:
    """The plan's outputs as they are, each a stretch of the base model."""
    found: list[tuple[Run, NDArray[Any]]] = []
    for spec, (dtype, shape, raw) in zip(base.layout.specs, outputs, strict=True):
        if (dtype, tuple(shape)) != (spec.dtype, spec.shape):
            raise InvalidPlan(f"the averaging plan gave {dtype} {list(shape)} for {spec.name[:80]!r}")
        if spec.numel:
            found.append(((dtype, spec.start, spec.stop), widen(raw, dtype)))
    found.sort(key=lambda part: part[0][1:])
    runs, values = [run for run, _ in found], [values for _, values in found]
    return Aggregate(runs, values, 1.0, count, float(count), whole.finish()[0])


class _PlanAverage:
    computes = False

    def __init__(self, process: PlanProcess, plan: bytes, shape: PlanShape, base: TensorFile) -> None:
        self._process, self._plan, self._shape, self._base = process, plan, shape, base
        self._count = 0
        self._whole = WholeMeans(base)

    def merge(self, other: Self) -> None:
        """Raises :class:`Unsupported`: nothing is known of the plan's algebra."""
        raise Unsupported("partial results of a hosted averaging plan cannot be merged")

    def settle(self) -> None:
        """Nothing is put off."""


class IterativePlanAverage(_PlanAverage):
    """``avg = plan(avg, item, num)`` for each report; one average in memory, and the reports of one call."""

    def __init__(self, process: PlanProcess, plan: bytes, shape: PlanShape, base: TensorFile) -> None:
        super().__init__(process, plan, shape, base)
        self._average: list[Raw] = []
        self._ours = False  # the memory of the average is our own, and not that of the first report
        self._steps: list[list[Raw | None]] = []

    def accumulate(self, contribution: Contribution) -> None:
        """The first difference is the first average; each further one is a step, put off to run together."""
        self._whole.add(contribution)
        item = _difference(self._base, contribution)
        if not self._count:
            self._average = item
        else:
            self._steps.append(self._inputs(item))
        self._count += 1
        if len(self._steps) * self._base.layout.data_size >= TOGETHER:
            self.settle()

    def _inputs(self, item: list[Raw]) -> list[Raw | None]:
        (leaf,) = _avg_item_num(self._shape)[2]
        sizes = tuple(1 if size is None else size for size in leaf.shape)
        number = np.full(math.prod(sizes), self._count, wide_dtype(leaf.dtype))
        num: list[Raw] = [(leaf.dtype, sizes, narrow(number, leaf.dtype).view(np.uint8))]
        named: dict[str, Sequence[Raw | None]] = {"avg": [None] * len(item), "item": item, "num": num}
        order = [name for name, _ in self._shape.arguments]
        if sorted(order) != ["avg", "item", "num"]:
            order = ["avg", "item", "num"]
        return [tensor for name in order for tensor in named[name]]

    def settle(self) -> None:
        """Run the plan on the reports that wait, in one call."""
        steps, self._steps = self._steps, []
        if steps:
            self._average = self._process.fold(self._plan, self._average, steps, reuse=self._ours)
            self._ours = True

    def finish(self) -> Aggregate:
        """The average as the plan left it after the last step."""
        if not self._count:
            raise Conflict("there is nothing to average")
        self.settle()
        average, self._average = self._average, []
        return _aggregate(self._base, average, self._count, self._whole)

    def close(self) -> None:
        """Give up the average and the steps that were put off."""
        self._average, self._steps, self._count = [], [], 0
        self._whole.close()


class BatchPlanAverage(_PlanAverage):
    """One call with all reports. They stay in their files until then; the call is bounded in memory."""

    def __init__(self, process: PlanProcess, plan: bytes, shape: PlanShape, base: TensorFile) -> None:
        super().__init__(process, plan, shape, base)
        self._contributions: list[Contribution] = []

    def accumulate(self, contribution: Contribution) -> None:
        """Keep it until the end. Raises :class:`TooLarge` when all together pass ``MEMORY_LIMIT`` bytes."""
        self._whole.add(contribution)
        self._contributions.append(contribution)
        size = len(self._contributions) * self._base.layout.data_size
        if size > MEMORY_LIMIT:
            raise TooLarge(f"{size} bytes of reports for a plan that is not iterative", limit=MEMORY_LIMIT)

    def finish(self) -> Aggregate:
        """Call the plan once, with all. Raises :class:`InvalidPlan` if it takes another number of reports."""
        parts, self._contributions = self._contributions, []
        if not parts:
            raise Conflict("there is nothing to average")
        specs = self._base.layout.specs
        reports = [_difference(self._base, part) for part in parts]
        if _stacked(self._shape, specs):
            inputs = self._stack(reports)
            inputs += self._weights(parts)
        elif _listed(self._shape, specs) == len(parts):
            inputs = [tensor for report in reports for tensor in report]
        else:
            raise InvalidPlan(f"the averaging plan does not take {len(parts)} reports")
        return _aggregate(self._base, self._process.call(self._plan, inputs), len(parts), self._whole)

    def _stack(self, reports: list[list[Raw]]) -> list[Raw]:
        stacked: list[Raw] = []
        for column in zip(*reports, strict=True):
            dtype, shape, _ = column[0]
            data = np.concatenate([raw for _, _, raw in column])
            stacked.append((dtype, (len(reports), *shape), data))
        return stacked

    def _weights(self, parts: list[Contribution]) -> list[Raw]:
        if len(self._shape.arguments) == 1:
            return []
        ((_, leaves),) = self._shape.arguments[1:]
        weights = np.array([part.weight for part in parts], wide_dtype(leaves[0].dtype))
        return [(leaves[0].dtype, weights.shape, narrow(weights, leaves[0].dtype).view(np.uint8))]

    def close(self) -> None:
        """Give up the reports."""
        self._contributions = []
        self._whole.close()
