"""Shape propagation: run a plan on fake tensors (no data, nothing allocated) and measure what it would cost.

Every size is compared with the limits before the next operation is looked at, so a hostile plan is refused
in milliseconds whatever it asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from syft_ext.errors import GridError, InvalidPlan
from syft_ext.plans.checking.validate import references
from syft_ext.plans.graph.document import Document
from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.plans.graph.expr import eval_shape, evaluate
from syft_ext.plans.graph.guards import GUARDS
from syft_ext.plans.graph.limits import Cost, Limits
from syft_ext.plans.graph.ops import ALLOWED

__all__ = ["Propagation", "ValueType", "flops_of", "propagate"]


@dataclass(frozen=True, slots=True)
class ValueType:
    """What one value of the plan is at one symbol binding."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    contiguous: bool


@dataclass(frozen=True, slots=True)
class Propagation:
    """Types of all values (None for a result that the kernel does not compute) and the cost of a run."""

    types: tuple[ValueType | None, ...]
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
        numel = tensor.numel()
        if numel > self.limits.max_numel:
            raise InvalidPlan(
                f"a tensor of {numel} elements, limit {self.limits.max_numel}", limit="max_numel"
            )
        self.largest = max(self.largest, numel)
        storage = tensor.untyped_storage()
        key = storage._cdata
        if self.users.get(key, 0) == 0:
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
        self.users[key] = self.users.get(key, 0) + 1
        if self.live > self.limits.max_bytes:
            raise InvalidPlan(f"{self.live} live bytes, limit {self.limits.max_bytes}", limit="max_bytes")

    def drop(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        self.users[storage._cdata] -= 1
        if self.users[storage._cdata] == 0:
            del self.users[storage._cdata]
            self.live -= storage.nbytes()

    def work(self, flops: int) -> None:
        self.flops += flops
        if self.flops > self.limits.max_flops:
            raise InvalidPlan(
                f"{self.flops} operations of arithmetic, limit {self.limits.max_flops}", limit="max_flops"
            )


def propagate(document: Document, binding: Mapping[str, int], limits: Limits) -> Propagation:
    """Types and cost of ``document`` at ``binding`` (symbol -> size).

    Raises :class:`InvalidPlan` if an operation refuses its operands, if an output is not what it declares, or
    if a limit would be passed.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    if len(document.nodes) > limits.max_ops:
        raise InvalidPlan(f"{len(document.nodes)} operations, limit {limits.max_ops}", limit="max_ops")
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
        self.types: list[ValueType | None] = []
        self.last_use: dict[int, int] = {}
        for index, node in enumerate(document.nodes):
            for argument in (*node.args, *node.kwargs.values()):
                for value in references(argument):
                    self.last_use[value] = index
        self.kept = {output.id for output in document.outputs}

    def inputs(self) -> None:
        typed = [
            *((item.dtype, eval_shape(item.shape, self.binding)) for item in self.document.inputs),
            *((const.dtype, tuple(const.shape)) for const in self.document.consts),
        ]
        for dtype, shape in typed:
            numel = 1
            for size in shape:
                numel *= size
            if numel > self.ledger.limits.max_numel:
                raise InvalidPlan(f"an input of {numel} elements", limit="max_numel")
            self._define(torch.empty(shape, dtype=DTYPES[dtype]))
        self.kept.update(range(len(typed)))

    def _define(self, tensor: torch.Tensor | None) -> None:
        self.values.append(tensor)
        if tensor is None:
            self.types.append(None)
            return
        self.ledger.add(tensor)
        self.types.append(ValueType(tensor.dtype, tuple(tensor.shape), tensor.is_contiguous()))

    def node(self, index: int) -> None:
        node = self.document.nodes[index]
        name = self.document.ops[node.op]
        try:
            args = [self._argument(argument) for argument in node.args]
            kwargs = {key: self._argument(argument) for key, argument in node.kwargs.items()}
            if name in GUARDS:
                GUARDS[name](*args, **kwargs)
            result = ALLOWED[name](*args, **kwargs)
            results = [result] if node.outs == 1 else list(result)
            for tensor in results:
                self._define(self._static(tensor))
            self.ledger.work(flops_of(name, args, kwargs, result, results))
        except GridError as error:
            raise InvalidPlan(
                f"node {index} ({name}): {error.detail}", **{**error.extra, "node": index, "op": name}
            ) from error
        except Exception as error:  # any exception of any meta kernel means: these operands do not fit
            text = str(error).split("\n")[0][:200]
            raise InvalidPlan(f"node {index} ({name}): {text}", node=index, op=name) from error
        self._release(index, len(self.values) - node.outs)

    @staticmethod
    def _static(tensor: Any) -> torch.Tensor | None:
        if tensor is None:
            return None
        if not isinstance(tensor, torch.Tensor) or not all(type(size) is int for size in tensor.shape):
            raise InvalidPlan("the shape of the result depends on data")
        return tensor

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
        used = {v for argument in (*node.args, *node.kwargs.values()) for v in references(argument)}
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
            raise InvalidPlan(
                f"{out_bytes} bytes of results, limit {self.ledger.limits.max_output_bytes}",
                limit="max_output_bytes",
            )
        cost = Cost(
            ops=len(self.document.nodes),
            peak_bytes=self.ledger.peak,
            largest=self.ledger.largest,
            flops=self.ledger.flops,
            output_bytes=out_bytes,
        )
        return Propagation(tuple(self.types), cost)


def flops_of(name: str, args: list[Any], kwargs: dict[str, Any], result: Any, results: list[Any]) -> int:
    """Multiply-adds of matrix products and convolutions; for the rest, elements read or written."""
    from torch.utils.flop_counter import flop_registry

    formula = flop_registry.get(ALLOWED[name].overloadpacket)
    if formula is not None:
        return int(formula(*args, **kwargs, out_val=result))
    operands = [t for a in (*args, *kwargs.values()) for t in (a if isinstance(a, list) else [a])]
    return max((t.numel() for t in (*operands, *results) if isinstance(t, torch.Tensor)), default=0)
