"""Plain reports: the difference between the cycle's model and the trained parameters, as a tensor file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syft_ext.errors import Unsupported
from syft_ext.federated.formats.encoder import EncodedReport, ReportContext, ReportEncoder
from syft_ext.plans.training.parameters import parameter_diff
from syft_ext.tensors import iter_tensors

__all__ = ["PlainEncoder"]


class PlainEncoder(ReportEncoder):
    """Whoever has the report can read it. Its pieces are views on the difference's own memory. Constants, such as
    frozen weights, are not in it."""

    name = "plain"

    def check(self, options: Mapping[str, Any]) -> None:
        if options:
            raise Unsupported(f"plain reports have no options, the training has {', '.join(sorted(options))}")

    def encode(self, context: ReportContext, trained: Any) -> EncodedReport:
        difference = parameter_diff(context.base, trained)
        moving = {
            name: tensor
            for name, tensor in difference.items()
            if context.base.kind(name, tensor) != "constant"
        }
        return EncodedReport(list(iter_tensors(moving or difference)), "diff")
