"""The encoders of report formats by name: Grid's own, and those of installed packages."""

from __future__ import annotations

from syft_ext.errors import Unsupported
from syft_ext.federated.formats.ckks import CkksEncoder
from syft_ext.federated.formats.encoder import ReportEncoder
from syft_ext.federated.formats.plain import PlainEncoder
from syft_ext.federated.formats.sealed import SealedEncoder
from syft_ext.federated.formats.secure_sum import SecureSumEncoder
from syft_ext.registry import Registry

__all__ = ["ENCODERS", "GROUP", "encoder_of"]

GROUP = "syft_ext.report_encoders"

ENCODERS: Registry[ReportEncoder] = Registry(
    "report format",
    GROUP,
    {each.name: each for each in (PlainEncoder, SealedEncoder, SecureSumEncoder, CkksEncoder)},
    Unsupported,
)


def encoder_of(name: str) -> ReportEncoder:
    """The encoder of the format that a training declares.

    Raises :class:`Unsupported` when this SDK has none: such a training is none of this worker's.
    """
    return ENCODERS.find(name)
