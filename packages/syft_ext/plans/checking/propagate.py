"""Shape propagation: run a plan on fake tensors (no data, nothing allocated) and measure what it would cost.

Every size is compared with the limits before the next operation is looked at, so a hostile plan is refused
in milliseconds whatever it asks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from syft_ext.errors import GridError, InvalidPlan
from syft_ext.plans.graph.document import Document, Node
from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.plans.graph.expr import eval_shape, evaluate
from syft_ext.plans.graph.keeping import KEEPING
from syft_ext.plans.graph.limits import Cost, Limits, refusal
from syft_ext.plans.graph.references import references
from syft_ext.plans.preconditions.announce import Check, announce
from syft_ext.plans.preconditions.declaration import Bounds
from syft_ext.plans.preconditions.results import TensorType
from syft_ext.plans.preconditions.sizes import extent
from syft_ext.plans.preconditions.values import InRange

__all__ = ["NodeChecks", "Propagation", "propagate"]


@dataclass(frozen=True, slots=True)
class NodeChecks:
    """What must hold before each call of one node: places of operands (among those it reads, in order) that
    are made contiguous, and rules on elements."""

    dense: tuple[int, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Propagation:
    """At one symbol binding: types of all values (None for a result that the kernel does not compute), what
    each node checks, and the cost of a run."""

    types: tuple[TensorType | None, ...]
    nodes: tuple[NodeChecks, ...]
    cost: Cost


@dataclass
class _Ledger:
    """Storages that are alive, each counted once however many views it has."""

    limits: Limits
    live: int = 0
    peak: int = 0
    largest: int = 0
    flops: int = 0
    users: dict[int, int] = field(default_factory=dict)

    def add(self, tensor: torch.Tensor) -> None:
        numel = extent(tensor.shape)
        if numel > self.limits.max_numel:
            raise refusal("max_numel", numel, self.limits)
        self.largest = max(self.largest, numel)
        storage = tensor.untyped_storage()
        key = storage._cdata
        if self.users.get(key, 0) == 0:
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
        self.users[key] = self.users.get(key, 0) + 1
        if self.live > self.limits.max_bytes:
            raise refusal("max_bytes", self.live, self.limits)

    def drop(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        self.users[storage._cdata] -= 1
        if self.users[storage._cdata] == 0:
            del self.users[storage._cdata]
            self.live -= storage.nbytes()

    def scratch(self, size: int) -> None:
        """Bytes that a kernel takes beside what is alive, its results included."""
        self.peak = max(self.peak, self.live + size)
        if self.peak > self.limits.max_bytes:
            raise refusal("max_bytes", self.live + size, self.limits)

    def work(self, flops: int) -> None:
        self.flops += flops
        if self.flops > self.limits.max_flops:
            raise refusal("max_flops", self.flops, self.limits)


def propagate(document: Document, binding: Mapping[str, int], limits: Limits) -> Propagation:
    """Types and cost of ``document`` at ``binding`` (symbol -> size).

    Raises :class:`InvalidPlan` if an operation refuses its operands, if an output is not what it declares, or
    if a limit would be passed.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    if len(document.nodes) > limits.max_ops:
        raise refusal("max_ops", len(document.nodes), limits)
    run = _Run(document, binding, limits)
    with FakeTensorMode(allow_non_fake_inputs=False):
        run.inputs()
        for index in range(len(document.nodes)):
            run.node(index)
        return run.finish()


class _Run:
    def __init__(self, document: Document, binding: Mapping[str, int], limits: Limits) -> None:
        self.document, self.binding = document, binding
        self.ledger = _Ledger(limits)
        self.values: list[torch.Tensor | None] = []
        self.types: list[TensorType | None] = []
        self.checks: list[NodeChecks] = []
        self.bounds: dict[int, Bounds] = {}
        self.last_use: dict[int, int] = {}
        for index, node in enumerate(document.nodes):
            self.last_use.update(dict.fromkeys(_reads(node), index))
        self.kept = {output.id for output in document.outputs}

    def inputs(self) -> None:
        typed = [
            *((item.dtype, eval_shape(item.shape, self.binding)) for item in self.document.inputs),
            *((const.dtype, tuple(const.shape)) for const in self.document.consts),
        ]
        for dtype, shape in typed:
            numel = extent(shape)
            if numel > self.ledger.limits.max_numel:
                raise refusal("max_numel", numel, self.ledger.limits)
            self._define(torch.empty(shape, dtype=DTYPES[dtype]))
        self.kept.update(range(len(typed)))

    def _define(self, tensor: torch.Tensor | None) -> None:
        self.values.append(tensor)
        if tensor is None:
            self.types.append(None)
            return
        self.ledger.add(tensor)
        self.types.append(TensorType.of(tensor))

    def node(self, index: int) -> None:
        node = self.document.nodes[index]
        name = self.document.ops[node.op]
        try:
            args = [self._argument(argument) for argument in node.args]
            kwargs = {key: self._argument(argument) for key, argument in node.kwargs.items()}
            announced = announce(name, args, kwargs)
            for tensor in announced.results:
                self._define(tensor)
            self.ledger.scratch(announced.scratch)
            self.ledger.work(announced.flops)
            read = list(_reads(node))
            needed = tuple(check for check in announced.checks if not self._proved(check, read))
            self.checks.append(NodeChecks(announced.dense, needed))
            self._remember_bounds(name, read, announced.bounds, len(self.values) - node.outs)
        except GridError as error:
            raise InvalidPlan(
                f"node {index} ({name}): {error.detail}", **{**error.extra, "node": index, "op": name}
            ) from error
        except Exception as error:  # any exception of any meta kernel means: these operands do not fit
            text = str(error).split("\n")[0][:200]
            raise InvalidPlan(f"node {index} ({name}): {text}", node=index, op=name) from error
        self._release(index, len(self.values) - node.outs)

    def _proved(self, check: Check, read: Sequence[int]) -> bool:
        """Whether the rule holds by what is known of how its operands came about."""
        if not isinstance(check.rule, InRange):
            return False
        known = self.bounds.get(read[check.operands[0]])
        return known is not None and check.rule.low <= known[0] and known[1] <= check.rule.high

    def _remember_bounds(
        self, name: str, read: Sequence[int], bounds: Mapping[int, Bounds], first_result: int
    ) -> None:
        if name in KEEPING and read[0] in self.bounds:
            bounds = {0: self.bounds[read[0]]}
        for place, known in bounds.items():
            self.bounds[first_result + place] = known

    def _argument(self, argument: Any) -> Any:
        if type(argument) is not list:
            return argument
        if argument[0] == "r":
            value = self.values[argument[1]]
            if value is None:
                raise InvalidPlan("an operand is a result that the kernel does not compute")
            return value
        if argument[0] == "l":
            return [self._argument(part) for part in argument[1:]]
        if argument[0] == "s":
            return evaluate(argument[1], self.binding)
        return DTYPES[argument[1]]

    def _release(self, index: int, first_new: int) -> None:
        node = self.document.nodes[index]
        used = set(_reads(node))
        dead = [v for v in used if self.last_use[v] == index and v not in self.kept]
        dead += [
            v for v in range(first_new, len(self.values)) if v not in self.last_use and v not in self.kept
        ]
        for value in dead:
            tensor = self.values[value]
            if tensor is not None:
                self.ledger.drop(tensor)
                self.values[value] = None

    def finish(self) -> Propagation:
        out_bytes = 0
        for output in self.document.outputs:
            found = self.types[output.id]
            declared = eval_shape(output.shape, self.binding)
            if found is None or found.dtype != DTYPES[output.dtype] or found.shape != declared:
                raise InvalidPlan(
                    f"output {output.name} is not the {output.dtype}{list(declared)} it declares"
                )
            tensor = self.values[output.id]
            assert tensor is not None
            out_bytes += tensor.numel() * tensor.element_size()
        if out_bytes > self.ledger.limits.max_output_bytes:
            raise refusal("max_output_bytes", out_bytes, self.ledger.limits)
        cost = Cost(
            ops=len(self.document.nodes),
            peak_bytes=self.ledger.peak,
            largest=self.ledger.largest,
            flops=self.ledger.flops,
            output_bytes=out_bytes,
        )
        return Propagation(tuple(self.types), tuple(self.checks), cost)


def _reads(node: Node) -> Iterator[int]:
    """The values that a node reads, in the order of its arguments."""
    for argument in (*node.args, *node.kwargs.values()):
        yield from references(argument)
