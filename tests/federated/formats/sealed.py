"""Sealed reports, for tests: each can be opened, once a key host gives the key, when the cycle is closed.

A report is 8 bytes (length of what is sealed), 16 bytes (nonce), the sealed tensor file, 32 bytes (tag). The
cipher is good enough to show that the seam is.
"""

from __future__ import annotations

import hmac
import secrets
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from blake3 import blake3

from grid.aggregation.base import Aggregator, Contribution
from grid.aggregation.tensor_file import TensorFile
from grid.aggregation.tensor_stream import TensorStream
from grid.federated.hosting.config import ServerConfig
from grid.federated.intake.format import ReportedCycle, ReportFormat, ReportReader, StoredReport, UploadCheck
from syft_ext.errors import InvalidConfig, InvalidTensors, TooLarge, Unsupported
from syft_ext.federated.formats import EncodedReport, ReportContext, ReportEncoder
from syft_ext.plans.training.parameters import parameter_diff
from syft_ext.tensors import Layout, encode_tensors
from tests.federated.formats.key_host import KEY_HOSTS

__all__ = ["SealedEncoder", "SealedFormat"]

HEAD, TAG = 24, 32


def _xor(data: bytes | memoryview, key: bytes, nonce: bytes) -> bytes:
    stream = np.frombuffer(blake3(nonce, key=key).digest(length=max(len(data), 1)), np.uint8)[: len(data)]
    return bytes(np.bitwise_xor(np.frombuffer(data, np.uint8), stream).tobytes())


def _tag(key: bytes, assignment_id: str, sealed: bytes | memoryview) -> bytes:
    return blake3(assignment_id.encode() + bytes(sealed), key=key).digest()


class SealedFormat(ReportFormat):
    name = "locked"
    streams = False

    def check_training(self, server: ServerConfig) -> None:
        if set(server.report_options) != {"key_host"}:
            raise InvalidConfig("sealed reports: state the key_host", field="report_options")

    def check_model(self, layout: Layout, options: Mapping[str, Any]) -> None:
        """Every model can be."""

    def upload(self, layout: Layout, kind: str, options: Mapping[str, Any], *, whole: bool) -> UploadCheck:
        return _Sizes(HEAD + 2 * layout.total_size + (64 << 10) + TAG)

    def reader(self, cycle: ReportedCycle, base: TensorFile, aggregator: Aggregator) -> ReportReader:
        return _Opening(cycle, base, aggregator)


class _Sizes:
    """All that can be seen of a sealed report: that it is whole, and not too large."""

    def __init__(self, limit: int) -> None:
        self.limit, self._size, self._head = limit, 0, b""

    def feed(self, chunk: memoryview) -> None:
        self._head += bytes(chunk[: 8 - len(self._head)])
        self._size += len(chunk)
        if self._size > self.limit:
            raise TooLarge(f"a sealed report of {self._size} bytes", limit=self.limit)

    def finish(self) -> None:
        if len(self._head) < 8 or self._size != HEAD + struct.unpack("<Q", self._head)[0] + TAG:
            raise InvalidTensors("the sealed report is not as long as it says")

    def check(self, file: memoryview) -> None:
        """There is nothing to look at."""


class _Opening(ReportReader):
    def __init__(self, cycle: ReportedCycle, base: TensorFile, aggregator: Aggregator) -> None:
        self._cycle, self._base, self._aggregator = cycle, base, aggregator
        self._key = b""

    def add(self, report: StoredReport) -> None:
        host = KEY_HOSTS[self._cycle.options["key_host"]]
        self._key = self._key or host.key_for_opening((self._cycle.process_id, self._cycle.cycle))
        sealed, tag = report.content[:-TAG], report.content[-TAG:]
        if not hmac.compare_digest(_tag(self._key, report.assignment_id, sealed), bytes(tag)):
            raise InvalidTensors("this is not what the worker sealed")
        opened = _xor(sealed[HEAD:], self._key, bytes(sealed[8:HEAD]))
        stream = TensorStream(self._base.layout, len(opened))
        stream.feed(opened)
        stream.finish()
        self._aggregator.accumulate(Contribution(TensorFile(opened), report.weight))

    def finish(self) -> None:
        """Each was opened by itself."""


class SealedEncoder(ReportEncoder):
    name = "locked"

    def check(self, options: Mapping[str, Any]) -> None:
        if options.get("key_host") not in KEY_HOSTS:
            raise Unsupported("this worker does not trust the key host")

    def encode(self, context: ReportContext, trained: Any) -> EncodedReport:
        file = encode_tensors(parameter_diff(context.base, trained))
        assignment, nonce = context.assignment, secrets.token_bytes(16)
        host = KEY_HOSTS[assignment.report_options["key_host"]]
        key = host.key_for_sealing((context.process_id, assignment.cycle), assignment.assignment_id)
        sealed = struct.pack("<Q", len(file)) + nonce + _xor(file, key, nonce)
        return EncodedReport([sealed, _tag(key, assignment.assignment_id, sealed)])
