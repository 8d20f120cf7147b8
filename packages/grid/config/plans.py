"""What plans may cost at a node: its owner's settings, as the limits of each run."""

from __future__ import annotations

from typing import Annotated, Protocol

from msgspec import Meta

from syft_ext.plans.graph.limits import Limits

__all__ = [
    "PLAN",
    "PlanBytes",
    "PlanElements",
    "PlanFlops",
    "PlanOperations",
    "PlanOutputBytes",
    "plan_limits",
]

PLAN = Limits()
PlanOperations = Annotated[
    int, Meta(ge=1, le=1_000_000, description="Operations that a plan may have, run by run.")
]
PlanBytes = Annotated[
    int,
    Meta(
        ge=1 << 20,
        description="Bytes that the tensors of a plan may take at once; plan_memory has to hold them too.",
    ),
]
PlanElements = Annotated[int, Meta(ge=1, description="Elements that one tensor of a plan may have.")]
PlanFlops = Annotated[int, Meta(ge=1, description="Floating-point operations that a run of a plan may take.")]
PlanOutputBytes = Annotated[int, Meta(ge=1, description="Bytes that the results of a run may take.")]


class _Settings(Protocol):
    @property
    def plan_operations(self) -> int: ...
    @property
    def plan_bytes(self) -> int: ...
    @property
    def plan_elements(self) -> int: ...
    @property
    def plan_flops(self) -> int: ...
    @property
    def plan_output_bytes(self) -> int: ...


def plan_limits(settings: _Settings) -> Limits:
    """What one run of a plan may cost at this node."""
    return Limits(
        max_ops=settings.plan_operations,
        max_bytes=settings.plan_bytes,
        max_numel=settings.plan_elements,
        max_flops=settings.plan_flops,
        max_output_bytes=settings.plan_output_bytes,
    )
