"""``PlanSandbox``: plans of strangers, run on tensors in a warm, locked-down child process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from syft_ext.plans.graph.dtypes import dtype_name
from syft_ext.plans.graph.expr import eval_shape
from syft_ext.plans.ir import Plan
from syft_ext.plans.sandbox.channel import layout
from syft_ext.plans.sandbox.process import SandboxProcess

__all__ = ["PlanSandbox"]


class PlanSandbox(SandboxProcess):
    """Runs plans in a child process of their own.

        with PlanSandbox(Limits(max_bytes=1 << 30), seconds=30) as sandbox:
            loss, *params = sandbox.run(plan, {"xs": x, "ys": y, "params": params})

    See :class:`~syft_ext.plans.sandbox.process.SandboxProcess` for its arguments.
    """

    def run(
        self,
        plan: Plan | bytes,
        inputs: Sequence[Any] | Mapping[str, Any] = (),
        *,
        seconds: float | None = None,
    ) -> Any:
        """Run ``plan`` on ``inputs`` (by position, or by name); the results are nested as the plan says.

        Raises :class:`InvalidPlan` when the plan fails its check or crashes, :class:`DeadlineExceeded` when it
        takes longer than ``seconds`` (default: the sandbox's). The sandbox stays usable.
        """
        plan = plan if isinstance(plan, Plan) else Plan.loads(plan, self.limits)
        flat = plan.flatten((), inputs) if isinstance(inputs, Mapping) else plan.flatten(inputs)
        binding = plan.bind(flat)
        described = [(dtype_name(t.dtype) or "", list(t.shape)) for t in flat]
        declared = [(o.dtype, eval_shape(o.shape, binding)) for o in plan.outputs]
        sources, end = layout(described)
        targets, end = layout(declared, end)
        budget = self.seconds if seconds is None else seconds
        with self._lock:
            child = self._send(plan.dumps(), plan.id, end)
            for slot, tensor in zip(sources, flat, strict=True):
                child.arena.write(slot, tensor.detach())
            self._run(child, plan.id, sources, targets, budget)
            # Copied before anyone looks at them: the child could still write to the shared memory.
            results = [child.arena.view(slot).clone() for slot in targets]
        return plan.nest(results)

    def self_test(self, plan: Plan) -> None:
        """The plan's self-test, in the child; raises :class:`InvalidPlan` if it is not reproduced."""
        from syft_ext.plans.checking.selftest import compare

        def run(flat: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
            nested = self.run(plan, _nest_arguments(plan, flat))
            return _flat(nested)

        compare(plan.document, run)


def _nest_arguments(plan: Plan, flat: Sequence[torch.Tensor]) -> dict[str, Any]:
    from syft_ext.plans.checking.binding import nest

    return {argument.name: nest(argument.tree, flat) for argument in plan.document.arguments}


def _flat(nested: Any) -> list[torch.Tensor]:
    from syft_ext.plans.ir import flat_results

    return flat_results(nested)
