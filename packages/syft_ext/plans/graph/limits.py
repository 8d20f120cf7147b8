"""What a plan may cost, and what it does cost."""

from __future__ import annotations

from dataclasses import dataclass

from syft_ext.errors import InvalidPlan
from syft_ext.units import scaled

__all__ = ["Cost", "Limits", "refusal"]

#: Limit → what it counts, and the setting of a node that raises it.
_COUNTED = {
    "max_ops": ("operations", "plan_operations"),
    "max_bytes": ("bytes alive", "plan_bytes"),
    "max_numel": ("elements in one tensor", "plan_elements"),
    "max_flops": ("floating-point operations", "plan_flops"),
    "max_output_bytes": ("bytes of results", "plan_output_bytes"),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds for one run of a plan, all checked before anything is allocated.

    ``max_bytes`` bounds the tensors alive at once (inputs and results included), ``max_numel`` any single
    tensor, views included; ``max_flops`` counts floating-point operations of products and convolutions, and
    touched elements of everything else; ``max_output_bytes`` what may leave; ``max_plan_bytes`` the plan.
    """

    max_ops: int = 20_000
    max_bytes: int = 2 << 30
    max_numel: int = 1 << 28
    max_flops: int = 10**13
    max_output_bytes: int = 1 << 30
    max_plan_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run costs, by shape propagation: operations, bytes of the tensors
    alive at the peak, elements of the largest tensor, floating-point operations, bytes that leave."""

    ops: int
    peak_bytes: int
    largest: int
    flops: int
    output_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.ops} operations, {scaled(self.flops, 'FLOP')}, peak {scaled(self.peak_bytes, 'B')}, "
            f"results {scaled(self.output_bytes, 'B')}"
        )

    def enforce(self, limits: Limits) -> None:
        """Raise :class:`InvalidPlan` if this cost passes ``limits``."""
        for name, value in (
            ("max_ops", self.ops),
            ("max_bytes", self.peak_bytes),
            ("max_numel", self.largest),
            ("max_flops", self.flops),
            ("max_output_bytes", self.output_bytes),
        ):
            if value > getattr(limits, name):
                raise refusal(name, value, limits)


def refusal(name: str, value: int, limits: Limits) -> InvalidPlan:
    """The error of a plan that needs more than the limit ``name``: how much, and what its owner may raise."""
    what, setting = _COUNTED[name]
    return InvalidPlan(
        f"the plan needs {value:,} {what}, the limit is {getattr(limits, name):,}. The machine's owner can raise "
        f"it: {setting} of a Domain or Worker, plan_limits=Limits({name}=…) of an FLClient",
        limit=name,
        needed=value,
        setting=setting,
    )
