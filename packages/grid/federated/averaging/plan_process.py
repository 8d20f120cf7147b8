"""Plans of strangers, in the sandboxed process of their owner: proved when they are hosted, run when they average.

The server process itself stays without torch: it reads a plan's structure and moves raw bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grid.aggregation.base import Aggregator
from grid.aggregation.plan_average import (
    BatchPlanAverage,
    IterativePlanAverage,
    Leaf,
    PlanShape,
    Raw,
    check_fits,
    check_signature,
)
from grid.aggregation.tensor_file import TensorFile
from grid.federated.hosting.config import ServerConfig
from grid.node.plan_processes import PlanProcesses
from syft_ext.plans.graph.document import Document, decode
from syft_ext.plans.training.agreement import check_configuration, check_model, training_document
from syft_ext.plans.training.first_step import check_first_step
from syft_ext.tensors import Layout

__all__ = ["AveragingSandbox"]

KEPT = 64
_DTYPES = {"b": "BOOL"}
_NAMES = {code: name for name, code in _DTYPES.items()}


class AveragingSandbox:
    """The plans of a node's trainings: each in the process of who hosts it."""

    def __init__(self, processes: PlanProcesses) -> None:
        self._processes = processes
        self._lock = threading.Lock()
        self._shapes: dict[bytes, PlanShape] = {}

    def check(self, owner: str, kind: str, plan: bytes, server: ServerConfig) -> None:
        shape = self._describe(owner, plan)
        if kind == "averaging":
            check_signature(shape, server.iterative_plan, server.weighting == "samples")

    def check_model(self, owner: str, plan: bytes, server: ServerConfig, layout: Layout) -> None:
        # How many reports a cycle averages is known when nothing but the goal closes it.
        known = server.cycle_length is None or server.max_diffs == server.min_diffs
        goal = server.goal if known else None
        check_fits(self._describe(owner, plan), server.iterative_plan, layout, goal)

    def check_configuration(self, plans: Mapping[str, bytes], config: Mapping[str, Any]) -> None:
        check_configuration(_documents(plans), config)

    def check_layout(self, plans: Mapping[str, bytes], layout: Layout) -> None:
        check_model(_documents(plans), layout.specs)

    def check_step(
        self, owner: str, plans: Mapping[str, bytes], config: Mapping[str, Any], model: TensorFile
    ) -> None:
        training = training_document(_documents(plans))
        if training is None:
            return
        name, document = training
        tensors = [
            (spec.dtype, spec.shape, np.frombuffer(model.tensor_bytes(spec.start, spec.stop), np.uint8))
            for spec in model.layout.specs
        ]
        with self._processes.of(owner) as process:
            check_first_step(
                name,
                document,
                config,
                [_ours(tensor) for tensor in tensors],
                lambda inputs: process.run_raw(plans[name], inputs),
            )

    def aggregator(self, owner: str, plan: bytes, server: ServerConfig, base: TensorFile) -> Aggregator:
        kind = IterativePlanAverage if server.iterative_plan else BatchPlanAverage
        return kind(_OwnersProcess(self._processes, owner), plan, self._describe(owner, plan), base)

    def _describe(self, owner: str, plan: bytes) -> PlanShape:
        shape = self._shapes.get(plan)
        if shape is None:
            shape = _OwnersProcess(self._processes, owner).describe(plan)
            with self._lock:
                self._shapes[plan] = shape
                while len(self._shapes) > KEPT:
                    del self._shapes[next(iter(self._shapes))]
        return shape


def _documents(plans: Mapping[str, bytes]) -> dict[str, Document]:
    return {name: decode(plan) for name, plan in plans.items()}


class _OwnersProcess:
    """A :class:`grid.aggregation.plan_average.PlanProcess`: the one of the user ``owner``."""

    def __init__(self, processes: PlanProcesses, owner: str) -> None:
        self._processes, self._owner = processes, owner

    def describe(self, plan: bytes) -> PlanShape:
        with self._processes.of(self._owner) as process:
            document = process.prove(plan)
        return PlanShape(
            arguments=tuple(
                (argument.name, tuple(_leaf(document.inputs[i]) for i in _leaves(argument.tree)))
                for argument in document.arguments
            ),
            outputs=tuple(_leaf(output) for output in document.outputs),
        )

    def call(self, plan: bytes, inputs: Sequence[Raw]) -> list[Raw]:
        with self._processes.of(self._owner) as process:
            return _theirs(process.run_raw(plan, [_ours(tensor) for tensor in inputs]))

    def fold(
        self, plan: bytes, state: Sequence[Raw], steps: Sequence[Sequence[Raw | None]], *, reuse: bool
    ) -> list[Raw]:
        inputs = [[None if tensor is None else _ours(tensor) for tensor in step] for step in steps]
        with self._processes.of(self._owner) as process:
            return _theirs(process.fold(plan, [_ours(tensor) for tensor in state], inputs, reuse=reuse))


def _ours(tensor: Raw) -> Raw:
    """A tensor with its dtype as plans call it."""
    dtype, shape, data = tensor
    return _NAMES.get(dtype, dtype.lower()), shape, data


def _theirs(tensors: Sequence[Raw]) -> list[Raw]:
    return [(_DTYPES.get(dtype, dtype.upper()), shape, data) for dtype, shape, data in tensors]


def _leaf(tensor: Any) -> Leaf:
    """An input or output of a plan's document."""
    code = _DTYPES.get(tensor.dtype, tensor.dtype.upper())
    return Leaf(code, tuple(size if type(size) is int else None for size in tensor.shape))


def _leaves(tree: Any) -> list[int]:
    """The inputs under one argument, in order (the plan is proved: the tree is well formed)."""
    if type(tree) is int:
        return [tree]
    parts = [part[1] for part in tree[1:]] if tree[0] == "d" else tree[1:]
    return [leaf for part in parts for leaf in _leaves(part)]
