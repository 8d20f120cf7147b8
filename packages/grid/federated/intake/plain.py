"""Plain reports: a tensor file with the tensors of the model, which everybody who has it can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

from grid.aggregation.base import Aggregator, Contribution, Kind
from grid.aggregation.magnitude import Magnitude, largest_of
from grid.aggregation.tensor_file import TensorFile
from grid.aggregation.tensor_stream import TensorStream
from grid.federated.hosting.config import ServerConfig
from grid.federated.intake.format import ReportedCycle, ReportFormat, ReportReader, StoredReport
from syft_ext.errors import InvalidConfig
from syft_ext.tensors import Layout

__all__ = ["PlainFormat"]


class PlainFormat(ReportFormat):
    """Base minus trained (``diff``, as PyGrid has it), or the trained parameters (``params``)."""

    name = "plain"
    kinds = get_args(Kind)

    def check_training(self, server: ServerConfig) -> None:
        if server.report_options:
            raise InvalidConfig(
                "server_config: plain reports have no options - at `$.report_options`", field="report_options"
            )

    def check_model(self, layout: Layout, options: Mapping[str, Any]) -> None:
        """Every model can be."""

    def upload(self, layout: Layout, kind: str, options: Mapping[str, Any], *, whole: bool) -> TensorStream:
        return TensorStream(layout, _limit(layout), values=not whole, bools=True)

    def hiding_upload(
        self, layout: Layout, kind: str, options: Mapping[str, Any], *, whole: bool
    ) -> TensorStream:
        return TensorStream(layout, _limit(layout), finite=False, bools=True)

    def magnitude(self, report: StoredReport, base: TensorFile) -> Magnitude:
        contribution = Contribution(TensorFile(report.content), report.weight, cast(Kind, report.kind))
        return largest_of(base, contribution)

    def reader(self, cycle: ReportedCycle, base: TensorFile, aggregator: Aggregator) -> ReportReader:
        return _PlainReader(aggregator)


def _limit(layout: Layout) -> int:
    """A header may be written with more room than ours; the data are as large as the model's."""
    return 4 * layout.data_offset + (64 << 10) + layout.data_size


class _PlainReader(ReportReader):
    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator

    def add(self, report: StoredReport) -> None:
        file = TensorFile(report.content)
        self._aggregator.accumulate(Contribution(file, report.weight, cast(Kind, report.kind)))

    def finish(self) -> None:
        """Nothing had to wait."""
