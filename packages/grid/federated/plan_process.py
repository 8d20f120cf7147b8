"""Plans of strangers, in a sandboxed child process: checked when they are hosted, run when they average."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from grid.federated.aggregation.base import Aggregator
from grid.federated.aggregation.plan_average import (
    BatchPlanAverage,
    IterativePlanAverage,
    Leaf,
    PlanShape,
    Raw,
    check_fits,
    check_signature,
)
from grid.federated.aggregation.tensor_file import TensorFile
from grid.federated.config import ServerConfig
from syft_ext.tensors import Layout

if TYPE_CHECKING:
    from syft_ext.plans import Plan
    from syft_ext.plans.sandbox import PlanSandbox

__all__ = ["SandboxedPlans"]

RUN_SECONDS = 60.0
KEPT = 32


class SandboxedPlans:
    """One warm child process for a node's plans; it starts when the first plan comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sandbox: PlanSandbox | None = None
        self._plans: dict[bytes, Plan] = {}

    # -- what the pipeline asks (PlanRunner)

    def check(self, kind: str, plan: bytes, server: ServerConfig) -> None:
        shape = self.describe(plan)
        if kind == "averaging":
            check_signature(shape, server.iterative_plan, server.weighting == "samples")

    def check_model(self, plan: bytes, server: ServerConfig, layout: Layout) -> None:
        most = server.goal if server.max_diffs is not None and server.cycle_length is None else None
        if server.max_diffs is not None and server.max_diffs == server.min_diffs:
            most = server.max_diffs
        check_fits(self.describe(plan), server.iterative_plan, layout, most)

    def aggregator(self, plan: bytes, server: ServerConfig, base: TensorFile) -> Aggregator:
        kind = IterativePlanAverage if server.iterative_plan else BatchPlanAverage
        return kind(self, plan, self.describe(plan), base)

    # -- the process (PlanProcess)

    def describe(self, plan: bytes) -> PlanShape:
        loaded = self._load(plan)
        document = loaded.document
        return PlanShape(
            arguments=tuple(
                (argument.name, tuple(_leaf(document.inputs[i]) for i in _leaves(argument.tree)))
                for argument in document.arguments
            ),
            outputs=tuple(_leaf(output) for output in document.outputs),
        )

    def call(self, plan: bytes, inputs: Sequence[Raw]) -> list[Raw]:
        import torch

        from syft_ext.tensors import TensorSpec

        loaded, tensors = self._load(plan), []
        for dtype, shape, raw in inputs:
            kind = TensorSpec("", dtype, tuple(shape), 0, 0).torch_dtype
            flat = torch.from_numpy(np.array(raw)).view(kind) if len(raw) else torch.empty(0, dtype=kind)
            tensors.append(flat.reshape(tuple(shape)))
        by_argument, index = {}, 0
        for argument in loaded.document.arguments:
            leaves = _leaves(argument.tree)
            by_argument[argument.name] = _nested(argument.tree, iter(tensors[index : index + len(leaves)]))
            index += len(leaves)
        outputs = _flat(self._child().run(loaded, by_argument))
        return [
            (leaf.dtype, tuple(t.shape), t.contiguous().reshape(-1).view(torch.uint8).numpy())
            for leaf, t in zip(self.describe(plan).outputs, outputs, strict=True)
        ]

    def _load(self, data: bytes) -> Plan:
        """The plan, checked once."""
        from syft_ext.plans import Plan

        plan = self._plans.get(data)
        if plan is None:
            plan = Plan.loads(data)
            plan.check()
            self._child().self_test(plan)
            with self._lock:
                self._plans[data] = plan
                while len(self._plans) > KEPT:
                    del self._plans[next(iter(self._plans))]
        return plan

    def _child(self) -> PlanSandbox:
        from syft_ext.plans.sandbox import PlanSandbox

        with self._lock:
            if self._sandbox is None:
                self._sandbox = PlanSandbox(seconds=RUN_SECONDS)
            return self._sandbox

    def close(self) -> None:
        with self._lock:
            if self._sandbox is not None:
                self._sandbox.close()
                self._sandbox = None


def _leaf(tensor: Any) -> Leaf:
    """An input or output of a plan's document."""
    code = "BOOL" if tensor.dtype == "b" else tensor.dtype.upper()
    return Leaf(code, tuple(size if type(size) is int else None for size in tensor.shape))


def _leaves(tree: Any) -> list[int]:
    if type(tree) is int:
        return [tree]
    parts = [part[1] for part in tree[1:]] if tree[0] == "d" else tree[1:]
    return [leaf for part in parts for leaf in _leaves(part)]


def _nested(tree: Any, values: Any) -> Any:
    if type(tree) is int:
        return next(values)
    if tree[0] == "d":
        return {key: _nested(child, values) for key, child in tree[1:]}
    return [_nested(child, values) for child in tree[1:]]


def _flat(result: Any) -> list[Any]:
    if isinstance(result, dict):
        return [leaf for part in result.values() for leaf in _flat(part)]
    if isinstance(result, list | tuple):
        return [leaf for part in result for leaf in _flat(part)]
    return [result]
