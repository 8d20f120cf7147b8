"""The encoders of report formats by name: Grid's own, and those of installed packages."""

from __future__ import annotations

from syft_ext.errors import Unsupported
from syft_ext.federated.formats.encoder import ReportEncoder
from syft_ext.federated.formats.plain import PlainEncoder
from syft_ext.registry import Registry

__all__ = ["ENCODERS", "GROUP", "encoder_of"]

GROUP = "syft_ext.report_encoders"

ENCODERS: Registry[ReportEncoder] = Registry(
    "report format", GROUP, {PlainEncoder.name: PlainEncoder}, Unsupported
)


def encoder_of(name: str) -> ReportEncoder:
    """The encoder of the format that a training declares.

    Raises :class:`Unsupported` when this SDK has none: such a training is none of this worker's.
    """
    return ENCODERS.find(name)
