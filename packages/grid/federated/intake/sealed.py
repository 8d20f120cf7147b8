"""Sealed reports: nobody at this node can open one. They are checked and summed outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from grid.aggregation.base import Aggregator
from grid.aggregation.tensor_file import TensorFile
from grid.federated.hosting.config import SEALED, ServerConfig
from grid.federated.intake.format import ReportedCycle, ReportFormat, ReportReader, UploadCheck
from syft_ext.errors import Conflict, InvalidConfig, Unsupported
from syft_ext.tensors import Layout

__all__ = ["SealedFormat"]


class SealedFormat(ReportFormat):
    """The only reports of confidential trainings; in the clear there are none, whoever sends them."""

    name = SEALED
    kinds = (SEALED,)
    reveals = "sum"
    streams = False
    repeatable = False
    outside = True

    def check_training(self, server: ServerConfig) -> None:
        if server.report_options:
            raise InvalidConfig(
                "server_config: the policy says all there is to say of sealed reports - at `$.report_options`",
                field="report_options",
            )
        if server.weighting != "none":
            raise InvalidConfig(
                'server_config: sealed reports count alike: weighting must be "none" - at `$.weighting`',
                field="weighting",
            )

    def check_model(self, layout: Layout, options: Mapping[str, Any]) -> None:
        """Who sums them does."""

    def kind_of(self, stated: str) -> str:
        if stated != SEALED:
            raise Conflict(
                f"this training is confidential: it takes sealed reports, and none of kind {stated[:80]!r}",
                reason="confidential",
            )
        return stated

    def upload(self, layout: Layout, kind: str, options: Mapping[str, Any], *, whole: bool) -> UploadCheck:
        self._cannot()

    def reader(self, cycle: ReportedCycle, base: TensorFile, aggregator: Aggregator) -> ReportReader:
        self._cannot()

    @staticmethod
    def _cannot() -> NoReturn:
        raise Unsupported("sealed reports cannot be read at this node")
