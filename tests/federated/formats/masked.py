"""Masked reports, for tests: the node adds numbers that mean nothing; a key host tells it the sum of the masks.

A report is the difference as fixed-point numbers (``scale`` steps to 1), modulo 2^64, plus a mask. The sum of any
number of reports is as large as one of them, and is made while they arrive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from grid.aggregation.base import Aggregator, Contribution
from grid.aggregation.tensor_file import TensorFile
from grid.federated.hosting.config import ServerConfig
from grid.federated.intake.format import ReportedCycle, ReportFormat, ReportReader, StoredReport, UploadCheck
from syft_ext.errors import InvalidConfig, InvalidTensors, TooLarge, Unsupported
from syft_ext.federated.formats import EncodedReport, ReportContext, ReportEncoder
from syft_ext.plans.training.parameters import parameter_diff
from syft_ext.tensors import Layout, encode_tensors
from tests.federated.formats.key_host import KEY_HOSTS, mask_of

__all__ = ["MaskedEncoder", "MaskedFormat"]

_FLOATS = {"F32", "F64"}


def _count(layout: Layout) -> int:
    return sum(spec.numel for spec in layout.specs)


class MaskedFormat(ReportFormat):
    name = "masked"
    reveals = "sum"

    def check_training(self, server: ServerConfig) -> None:
        if set(server.report_options) != {"key_host", "scale"}:
            raise InvalidConfig("masked reports: state the key_host and the scale", field="report_options")
        if server.weighting != "none":
            raise InvalidConfig("masked reports count alike", field="weighting")

    def check_model(self, layout: Layout, options: Mapping[str, Any]) -> None:
        if any(spec.dtype not in _FLOATS for spec in layout.specs):
            raise InvalidTensors("masked reports carry float32 and float64")

    def upload(self, layout: Layout, kind: str, options: Mapping[str, Any], *, whole: bool) -> UploadCheck:
        return _ExactSize(8 * _count(layout))

    def reader(self, cycle: ReportedCycle, base: TensorFile, aggregator: Aggregator) -> ReportReader:
        return _MaskedSum(cycle, base, aggregator)


class _ExactSize:
    def __init__(self, size: int) -> None:
        self.limit, self._size = size, 0

    def feed(self, chunk: memoryview) -> None:
        self._size += len(chunk)
        if self._size > self.limit:
            raise TooLarge(f"a masked report of {self._size} bytes", limit=self.limit)

    def finish(self) -> None:
        if self._size != self.limit:
            raise InvalidTensors(f"a masked report of {self._size} bytes, it has {self.limit}")

    def check(self, file: memoryview) -> None:
        """There is nothing to look at."""


class _MaskedSum(ReportReader):
    def __init__(self, cycle: ReportedCycle, base: TensorFile, aggregator: Aggregator) -> None:
        self._cycle, self._base, self._aggregator = cycle, base, aggregator
        self._sum = np.zeros(_count(base.layout), np.uint64)
        self._assignments: list[str] = []

    def add(self, report: StoredReport) -> None:
        self._sum += np.frombuffer(report.content, np.uint64)
        self._assignments.append(report.assignment_id)

    def finish(self) -> None:
        options, count = self._cycle.options, len(self._assignments)
        round_ = (self._cycle.process_id, self._cycle.cycle)
        masks = KEY_HOSTS[options["key_host"]].sum_of_masks(round_, self._assignments, len(self._sum))
        mean = (self._sum - masks).view(np.int64) / (options["scale"] * count)
        parts, position = {}, 0
        for spec in self._base.layout.specs:
            values = mean[position : position + spec.numel].reshape(spec.shape)
            parts[spec.name] = torch.from_numpy(values).to(spec.torch_dtype)
            position += spec.numel
        self._aggregator.accumulate(Contribution(TensorFile(encode_tensors(parts)), float(count)))


class MaskedEncoder(ReportEncoder):
    name = "masked"

    def check(self, options: Mapping[str, Any]) -> None:
        if options.get("key_host") not in KEY_HOSTS or not options.get("scale"):
            raise Unsupported("this worker does not trust the key host")

    def encode(self, context: ReportContext, trained: Any) -> EncodedReport:
        assignment = context.assignment
        options, round_ = assignment.report_options, (context.process_id, assignment.cycle)
        parts = [part.double().reshape(-1) for part in parameter_diff(context.base, trained).values()]
        steps = np.rint(torch.cat(parts).numpy() * options["scale"]).astype(np.int64).view(np.uint64)
        seed = KEY_HOSTS[options["key_host"]].seed_of(round_, assignment.assignment_id)
        return EncodedReport([(steps + mask_of(seed, len(steps))).tobytes()])
