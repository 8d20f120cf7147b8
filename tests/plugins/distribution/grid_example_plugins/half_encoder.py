"""Reports in half the bytes, the SDK's half of :mod:`grid_example_plugins.half_format`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syft_ext.errors import Unsupported
from syft_ext.federated.formats import EncodedReport, ReportContext, ReportEncoder
from syft_ext.plans.training.parameters import parameter_diff

__all__ = ["HalfEncoder"]


class HalfEncoder(ReportEncoder):
    name = "example-half"

    def check(self, options: Mapping[str, Any]) -> None:
        if options:
            raise Unsupported("reports as float16 have no options")

    def encode(self, context: ReportContext, trained: Any) -> EncodedReport:
        diff = parameter_diff(context.base, trained).values()
        return EncodedReport([part.half().contiguous().numpy().tobytes() for part in diff])
