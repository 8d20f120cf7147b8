"""torch's kernels for the operations of the op sets (:mod:`syft_ext.plans.graph.opset`)."""

from __future__ import annotations

import torch

from syft_ext.plans.graph.document import OPSET
from syft_ext.plans.graph.opset import NAMES, STRINGS, check_operation, opset_of
from syft_ext.plans.graph.signatures import signature_of

__all__ = ["ALLOWED", "STRINGS", "is_view", "op_overload", "opset_of", "result_count"]


def _resolve(name: str) -> torch._ops.OpOverload:
    _, packet, overload = name.split(".")
    op = getattr(getattr(torch.ops.aten, packet), overload)
    assert not op._schema.is_mutable and torch.Tag.nondeterministic_seeded not in op.tags, name
    return op  # type: ignore[no-any-return]


ALLOWED: dict[str, torch._ops.OpOverload] = {name: _resolve(name) for name in NAMES}


def op_overload(name: str, opset: int = OPSET) -> torch._ops.OpOverload:
    """The operation called ``name``; :class:`InvalidPlan` if that op set does not hold it."""
    check_operation(name, opset)
    return ALLOWED[name]


def result_count(name: str) -> int:
    """How many tensors the operation returns."""
    return signature_of(name).results


def is_view(name: str) -> bool:
    """Whether a result may share memory with an argument."""
    return signature_of(name).view
