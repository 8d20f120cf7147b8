"""What a plan may cost, and what it does cost."""

from __future__ import annotations

from dataclasses import dataclass

from syft_ext.errors import InvalidPlan
from syft_ext.units import scaled

__all__ = ["Cost", "Limits"]


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
        for what, value, name in (
            ("operations", self.ops, "max_ops"),
            ("bytes alive", self.peak_bytes, "max_bytes"),
            ("elements in one tensor", self.largest, "max_numel"),
            ("floating-point operations", self.flops, "max_flops"),
            ("bytes of results", self.output_bytes, "max_output_bytes"),
        ):
            limit = getattr(limits, name)
            if value > limit:
                raise InvalidPlan(f"the plan needs {value} {what}, the limit is {limit}", limit=name)
