"""Reports in half the bytes, the node's half: differences of float32 parameters, one after the other, as float16.

Knows no torch: a node's server process has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from grid.aggregation.base import Aggregator, Contribution
from grid.aggregation.tensor_file import TensorFile
from grid.federated.hosting.config import ServerConfig
from grid.federated.intake.format import ReportedCycle, ReportFormat, ReportReader, StoredReport, UploadCheck
from syft_ext.errors import InvalidConfig, InvalidTensors, TooLarge
from syft_ext.tensors import Layout, tensor_header

__all__ = ["HalfFormat"]


class HalfFormat(ReportFormat):
    name = "example-half"

    def check_training(self, server: ServerConfig) -> None:
        if server.report_options:
            raise InvalidConfig("reports as float16 have no options", field="report_options")

    def check_model(self, layout: Layout, options: Mapping[str, Any]) -> None:
        if any(spec.dtype != "F32" for spec in layout.specs):
            raise InvalidTensors("reports as float16 are of float32 parameters")

    def upload(self, layout: Layout, kind: str, options: Mapping[str, Any], *, whole: bool) -> UploadCheck:
        return _HalfUpload(layout.data_size // 2)

    def reader(self, cycle: ReportedCycle, base: TensorFile, aggregator: Aggregator) -> ReportReader:
        return _HalfReader(base.layout, aggregator)


class _HalfUpload:
    def __init__(self, wanted: int) -> None:
        self.limit, self._size = wanted, 0

    def feed(self, chunk: memoryview) -> None:
        self._size += len(chunk)
        if self._size > self.limit:
            raise TooLarge(f"a report of {self._size} bytes", limit=self.limit)

    def finish(self) -> None:
        if self._size != self.limit:
            raise InvalidTensors(f"a report of {self._size} bytes, it has {self.limit}")

    def check(self, file: memoryview) -> None:
        if not np.isfinite(np.frombuffer(file, "<f2")).all():
            raise InvalidTensors("a report with NaN or infinity")


class _HalfReader(ReportReader):
    def __init__(self, layout: Layout, aggregator: Aggregator) -> None:
        self._head = tensor_header((spec.name, spec.dtype, spec.shape) for spec in layout.specs)
        self._aggregator = aggregator

    def add(self, report: StoredReport) -> None:
        values = np.frombuffer(report.content, "<f2").astype("<f4")
        self._aggregator.accumulate(Contribution(TensorFile(self._head + values.tobytes()), report.weight))

    def finish(self) -> None:
        """Nothing had to wait."""
