"""What of a model leaves a participant.

The other half of :mod:`syft_ext.confidential.kernel.numbers`, for participants and Domains; no worker needs it.
"""

from __future__ import annotations

from syft_ext.confidential.rounds import ReportLayout, ReportTensor
from syft_ext.errors import InvalidTensors
from syft_ext.tensors import Layout

__all__ = ["report_layout"]


def report_layout(model: Layout) -> ReportLayout:
    """What leaves a participant of a model with this file: its parameters, in the file's order.

    Running statistics and counters are functions of rows as much as gradients are, and no clipping norm is theirs;
    constants are the same everywhere (ADR 33). Empty tensors have nothing to say.

    Raises :class:`InvalidTensors` for a model without parameters.
    """
    tensors = tuple(
        ReportTensor(name=spec.name, dtype=spec.dtype, shape=spec.shape)  # type: ignore[arg-type]
        for spec in model.specs
        if spec.kind == "parameter" and spec.numel
    )
    if not tensors:
        raise InvalidTensors("this model has no parameters: there is nothing to learn")
    return ReportLayout(tensors=tensors)
