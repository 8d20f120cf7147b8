"""What a reviewer is told of a plan that somebody wants to run on data."""

from __future__ import annotations

import msgspec

from syft_ext.units import scaled

__all__ = ["PlanCost", "PlanFacts", "PlanInput", "PlanOutput"]


class PlanCost(msgspec.Struct, kw_only=True):
    """What one run costs, by propagating shapes: operations, floating-point operations, bytes of the tensors
    alive at the peak, bytes that leave."""

    operations: int
    flops: int
    peak_bytes: int
    output_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.operations} operations, {scaled(self.flops, 'FLOP')}, "
            f"peak {scaled(self.peak_bytes, 'B')}, results {self.output_bytes:,} bytes"
        )


class PlanInput(msgspec.Struct, kw_only=True):
    """One input of the plan, and what it is given.

    Attributes:
        source: "object", "value" (sent with the request) or "default" (of the plan).
        object, tensor: what its author was shown of the object, and the tensor in it ("": the only one).
        dtype, shape: as plans write them; ``shape`` is None where it is not yours to know.
    """

    name: str
    role: str
    source: str
    dtype: str
    shape: list[int] | None
    object_id: str = ""
    object: str = ""
    tensor: str = ""


class PlanOutput(msgspec.Struct, kw_only=True):
    """One result; ``shape`` is None where the plan does not fit the data, or it is not yours to know."""

    name: str
    role: str
    dtype: str
    shape: list[int] | None


class PlanFacts(msgspec.Struct, kw_only=True):
    """A plan with its inputs.

    Attributes:
        plan_id: the digest of its bytes: what is approved is what runs.
        values: the digest of the values that were sent with it, "" without any.
        problem: why it does not fit the data; such a request cannot be approved.
    """

    plan_id: str
    name: str
    kind: str
    inputs: list[PlanInput]
    outputs: list[PlanOutput]
    cost: PlanCost | None = None
    values: str = ""
    problem: str = ""

    def hidden(self) -> PlanFacts:
        """Without what the data's sizes and names would follow from."""
        inputs = [
            msgspec.structs.replace(each, shape=None) if each.source == "object" else each
            for each in self.inputs
        ]
        outputs = [msgspec.structs.replace(each, shape=None) for each in self.outputs]
        return msgspec.structs.replace(self, inputs=inputs, outputs=outputs, cost=None, problem="")
