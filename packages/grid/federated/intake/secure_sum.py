"""Masked reports: words that mean nothing by themselves. They are summed by :mod:`grid.federated.masked`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import msgspec

from grid.aggregation.base import Aggregator
from grid.aggregation.summed import summed_length, summed_tensors
from grid.aggregation.tensor_file import TensorFile
from grid.federated.hosting.config import ServerConfig
from grid.federated.hosting.secure_sums import SECURE_SUM
from grid.federated.intake.format import ReportedCycle, ReportFormat, ReportReader, UploadCheck
from syft_ext.errors import InvalidConfig, InvalidTensors, TooLarge, Unsupported
from syft_ext.secure_aggregation.rules import SumRules
from syft_ext.secure_aggregation.statement import loss_of_round, sentences
from syft_ext.tensors import Layout

__all__ = ["SecureSumFormat", "masked_size"]


def masked_size(layout: Layout, rules: SumRules) -> int:
    """Bytes of one participant's masked words: one for each number, and one for its weight."""
    return (summed_length(layout) + 1) * rules.bits // 8


class SecureSumFormat(ReportFormat):
    name = SECURE_SUM
    kinds = ("masked",)
    reveals = "sum"
    streams = False
    repeatable = False  # what opens a sum is forgotten with its cycle
    outside = True

    def check_training(self, server: ServerConfig) -> None:
        if server.secure_aggregation is None:
            raise InvalidConfig(
                'server_config: masked reports need their rules, "secure_aggregation" - at `$.report_format`',
                field="report_format",
            )

    def check_model(self, layout: Layout, options: Mapping[str, Any]) -> None:
        if not any(spec.numel for spec in summed_tensors(layout)):
            raise InvalidTensors("the model has no parameters that could be summed")

    def upload(self, layout: Layout, kind: str, options: Mapping[str, Any], *, whole: bool) -> UploadCheck:
        return _ExactSize(masked_size(layout, msgspec.convert(options, SumRules)))

    def reader(self, cycle: ReportedCycle, base: TensorFile, aggregator: Aggregator) -> ReportReader:
        self._cannot()

    @staticmethod
    def _cannot() -> NoReturn:
        raise Unsupported("masked reports are summed together, or not at all")

    def loss(self, server: ServerConfig, layout: Callable[[], Layout]) -> float:
        rules = msgspec.convert(server.report_options, SumRules)
        if rules.noise is None:
            return 0.0
        return loss_of_round(rules, summed_length(layout())) or 0.0

    def statement(self, layout: Layout, server: ServerConfig) -> list[str]:
        rules = msgspec.convert(server.report_options, SumRules)
        return sentences(rules, summed_length(layout), server.num_cycles)


class _ExactSize:
    """Every word is as good as another: all that can be wrong is how many there are."""

    def __init__(self, size: int) -> None:
        self.limit, self._size = size, 0

    def feed(self, chunk: memoryview) -> None:
        self._size += len(chunk)
        if self._size > self.limit:
            raise TooLarge("a masked report has as many words as its model has parameters", limit=self.limit)

    def finish(self) -> None:
        if self._size != self.limit:
            raise InvalidTensors(f"{self._size} bytes of masked words, {self.limit} are expected")

    def check(self, file: memoryview) -> None:
        """All was seen."""
