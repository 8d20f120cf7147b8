"""Plans that run in the sandbox instead of in this process: what a Worker does with every stranger's plan."""

from __future__ import annotations

import threading

import torch

from syft_ext.errors import BadRequest, InvalidPlan
from syft_ext.plans.checking.binding import const_tensor
from syft_ext.plans.checking.noise import refuse_noise
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.ir import Plan
from syft_ext.plans.sandbox.process import PlanExecutor
from syft_ext.plans.sandbox.sandbox import PlanSandbox
from syft_ext.plans.training.training_plan import TrainingPlan

__all__ = ["SandboxedPlan", "SandboxedPlans", "complete"]


class SandboxedPlan(TrainingPlan):
    """A training plan whose steps run in a sandbox of this Worker; this process only reads it."""


class SandboxedPlans:
    """One warm sandbox, and the plans that were loaded into it.

    Args:
        seconds: wall-clock and CPU time of one run.
        memory: bytes that the sandbox may use beyond what torch itself needs.
        permissive: it goes on without protections that this machine lacks: for development only.
        limits: what one run of a plan may cost.
        executor: what runs plans there.
    """

    def __init__(
        self,
        *,
        seconds: float,
        memory: int,
        permissive: bool = False,
        limits: Limits | None = None,
        executor: PlanExecutor = "torch",
    ) -> None:
        self._limits, self._executor = limits, executor
        self._seconds, self._memory, self._permissive = seconds, memory, permissive
        self._lock = threading.Lock()
        self._sandbox: PlanSandbox | None = None

    @property
    def sandbox(self) -> PlanSandbox:
        """The sandbox; started at the first use."""
        with self._lock:
            if self._sandbox is None:
                self._sandbox = PlanSandbox(
                    self._limits,
                    seconds=self._seconds,
                    memory_bytes=self._memory,
                    permissive=self._permissive,
                    executor=self._executor,
                )
            return self._sandbox

    def warm_up(self) -> None:
        """Start the sandbox, and do not wait for it."""
        assert self.sandbox is not None

    @property
    def warm(self) -> bool:
        """Whether the sandbox was started."""
        return self._sandbox is not None

    def load(self, data: bytes) -> SandboxedPlan:
        """Read and check a downloaded plan; its self-test runs in the sandbox. Raises :class:`InvalidPlan`."""
        plan = SandboxedPlan.loads(data, self._limits, sandbox=self.sandbox)
        plan.self_test()  # in the sandbox, which checks what the plan costs before it allocates anything
        return plan

    def close(self) -> None:
        """End the sandbox; a plan that runs in it fails. The next one starts another."""
        with self._lock:
            sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.close()


def complete(plan: Plan, given: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """The flat inputs of ``plan``: ``given`` by input name, else the plan's defaults.

    Raises :class:`BadRequest` for a name that the plan has not, or an input that has neither.
    """
    refuse_noise(plan.document)
    names = [item.name for item in plan.inputs]
    unknown = set(given) - set(names)
    if unknown:
        raise BadRequest(f"the plan has no input {min(unknown)!r}; it has: {', '.join(names[:50])}")
    flat = []
    for item in plan.inputs:
        if item.name in given:
            flat.append(given[item.name])
        elif item.default is not None:
            flat.append(const_tensor(item.default))
        else:
            raise BadRequest(f"the plan's input {item.name!r} is missing and has no default")
    if len(set(names)) != len(names):
        raise InvalidPlan("two inputs of the plan have the same name")
    return flat
