"""Plans of strangers, in a sandboxed child process: proved when they are hosted, run when they average.

The server process itself stays without torch: it reads a plan's structure and moves raw bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
from syft_ext.tensors import Layout

if TYPE_CHECKING:
    from syft_ext.plans.sandbox.process import SandboxProcess

__all__ = ["AveragingSandbox"]

RUN_SECONDS = 60.0
KEPT = 64
_DTYPES = {"b": "BOOL"}
_NAMES = {code: name for name, code in _DTYPES.items()}


class AveragingSandbox:
    """One warm child process for a node's plans; it starts when the first plan comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: SandboxProcess | None = None
        self._shapes: dict[bytes, PlanShape] = {}

    # -- what the pipeline asks (PlanRunner)

    def check(self, kind: str, plan: bytes, server: ServerConfig) -> None:
        shape = self.describe(plan)
        if kind == "averaging":
            check_signature(shape, server.iterative_plan, server.weighting == "samples")

    def check_model(self, plan: bytes, server: ServerConfig, layout: Layout) -> None:
        # How many reports a cycle averages is known when nothing but the goal closes it.
        known = server.cycle_length is None or server.max_diffs == server.min_diffs
        check_fits(self.describe(plan), server.iterative_plan, layout, server.goal if known else None)

    def aggregator(self, plan: bytes, server: ServerConfig, base: TensorFile) -> Aggregator:
        kind = IterativePlanAverage if server.iterative_plan else BatchPlanAverage
        return kind(self, plan, self.describe(plan), base)

    # -- the process (PlanProcess)

    def describe(self, plan: bytes) -> PlanShape:
        shape = self._shapes.get(plan)
        if shape is None:
            document = self._process().prove(plan)
            shape = PlanShape(
                arguments=tuple(
                    (argument.name, tuple(_leaf(document.inputs[i]) for i in _leaves(argument.tree)))
                    for argument in document.arguments
                ),
                outputs=tuple(_leaf(output) for output in document.outputs),
            )
            with self._lock:
                self._shapes[plan] = shape
                while len(self._shapes) > KEPT:
                    del self._shapes[next(iter(self._shapes))]
        return shape

    def call(self, plan: bytes, inputs: Sequence[Raw]) -> list[Raw]:
        return _theirs(self._process().run_raw(plan, [_ours(tensor) for tensor in inputs]))

    def fold(
        self, plan: bytes, state: Sequence[Raw], steps: Sequence[Sequence[Raw | None]], *, reuse: bool
    ) -> list[Raw]:
        inputs = [[None if tensor is None else _ours(tensor) for tensor in step] for step in steps]
        return _theirs(self._process().fold(plan, [_ours(tensor) for tensor in state], inputs, reuse=reuse))

    def _process(self) -> SandboxProcess:
        from syft_ext.plans.sandbox.process import SandboxProcess

        with self._lock:
            if self._child is None:
                self._child = SandboxProcess(seconds=RUN_SECONDS)
            return self._child

    def close(self) -> None:
        """End the child process; the next plan would start another."""
        with self._lock:
            if self._child is not None:
                self._child.close()
                self._child = None


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
