"""What a job needs of the client that made it, and how it makes plans of what it downloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from syft_ext.confidential.trust import Trust
from syft_ext.federated.bounds import BoundedReports
from syft_ext.federated.session import WorkerSession
from syft_ext.identity import Identity
from syft_ext.plans import Plan
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.sandbox.tensors import TensorSandbox
from syft_ext.plans.training.training_plan import TrainingPlan

__all__ = ["JobClient", "PlanLoader", "load_checked"]

PlanLoader = Callable[[bytes], Plan]


def load_checked(data: bytes, limits: Limits | None = None, *, sandbox: TensorSandbox | bool = True) -> Plan:
    """Read a downloaded plan, check what it may cost, and see that this machine computes it right: in a sandbox,
    for it is somebody else's."""
    plan = TrainingPlan.loads(data, limits, sandbox=sandbox)
    plan.check()
    plan.self_test()
    return plan


class JobClient(Protocol):
    """What a job needs of the client that made it; see :class:`~syft_ext.federated.fl_client.FLClient`."""

    worker_id: str | None
    report_metrics: bool
    sandbox: bool
    plan_limits: Limits | None
    reports: BoundedReports
    say: Callable[[str], object]
    identity: Identity
    trust: Trust | None

    @property
    def site(self) -> str:
        """Who takes part, apart from all others."""

    def session(self, name: str, version: str) -> WorkerSession:
        """The worker's part in that training."""
