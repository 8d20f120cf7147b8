"""``PlanSandbox``: plans of strangers, run on tensors in a warm, locked-down child process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from syft_ext.plans.ir import Plan
from syft_ext.plans.sandbox.tensors import TensorSandbox

__all__ = ["PlanSandbox"]


class PlanSandbox(TensorSandbox):
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
        plan = plan if isinstance(plan, Plan) else Plan.loads(plan, self.limits, sandbox=self)
        flat = plan.flatten((), inputs) if isinstance(inputs, Mapping) else plan.flatten(inputs)
        plan.bind(flat)  # says what does not fit in the words of the plan
        return plan.nest(self.run_flat(plan.loaded(self.limits), flat, seconds))

    def self_test(self, plan: Plan) -> None:
        """The plan's self-test, in the child; raises :class:`InvalidPlan` if it is not reproduced."""
        from syft_ext.plans.checking.selftest import compare

        def run(flat: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
            return self.run_flat(plan.loaded(self.limits), flat)

        compare(plan.document, run)
