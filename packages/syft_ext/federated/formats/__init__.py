"""How a worker's report is written: one encoder for each report format, by the name that the training declares.

Knows a training's model and what was learned from it; must not know when a report is sent.
"""

from syft_ext.federated.formats.encoder import EncodedReport, NodeLine, ReportContext, ReportEncoder
from syft_ext.federated.formats.registry import encoder_of

__all__ = ["EncodedReport", "NodeLine", "ReportContext", "ReportEncoder", "encoder_of"]
