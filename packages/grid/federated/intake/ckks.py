"""Encrypted reports: ciphertexts under a key that this node has not. They are summed by
:mod:`grid.federated.encrypted`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NoReturn

from grid.aggregation.base import Aggregator
from grid.aggregation.summed import summed_length
from grid.aggregation.tensor_file import TensorFile
from grid.federated.hosting.config import ServerConfig
from grid.federated.intake.format import ReportedCycle, ReportFormat, ReportReader, UploadCheck
from syft_ext.encrypted.statement import CKKS, sentences
from syft_ext.encrypted.sums import EncryptedSumTerms
from syft_ext.errors import InvalidConfig, InvalidTensors, Unsupported
from syft_ext.tensors import Layout

__all__ = ["CkksFormat", "terms_of"]


def terms_of(server: ServerConfig) -> EncryptedSumTerms:
    """What a training says of its encrypted sums. Raises :class:`InvalidConfig`, naming the field."""
    try:
        return EncryptedSumTerms.parse(server.report_options)
    except InvalidConfig as error:
        raise _refuse("report_options", error.detail) from error


class CkksFormat(ReportFormat):
    """The sum of a cycle is opened by the holder of the key alone, and the next model made of what they say it
    is."""

    name = CKKS
    kinds = (CKKS,)
    reveals = "sum"
    streams = False
    repeatable = False  # what the holder has opened goes with its cycle
    outside = True

    def check_training(self, server: ServerConfig) -> None:
        terms = terms_of(server)
        if server.weighting != "none":
            raise _refuse("weighting", 'encrypted reports count alike: weighting must be "none"')
        if server.goal is None or server.goal != terms.participants:
            raise _refuse(
                "max_diffs",
                f"the reports of a cycle are as many as the terms of its sum say, {terms.participants}, and not "
                f"{server.goal or 'any number'}",
            )
        fewest = server.goal if server.cycle_length is None else server.min_diffs or 1
        if fewest < terms.minimum:
            raise _refuse(
                "min_diffs",
                f"a cycle may close with {fewest} reports, and the holder of the key is given sums of "
                f"{terms.minimum}",
            )

    def check_model(self, layout: Layout, options: Mapping[str, Any]) -> None:
        if not summed_length(layout):
            raise InvalidTensors("the model has no parameters that could be summed")
        EncryptedSumTerms.parse(options).rules(summed_length(layout)).check()

    def upload(self, layout: Layout, kind: str, options: Mapping[str, Any], *, whole: bool) -> UploadCheck:
        self._cannot()

    def reader(self, cycle: ReportedCycle, base: TensorFile, aggregator: Aggregator) -> ReportReader:
        self._cannot()

    @staticmethod
    def _cannot() -> NoReturn:
        raise Unsupported("encrypted reports are summed together, and read by nobody here")

    def fewest(self, server: ServerConfig) -> int:
        return terms_of(server).minimum

    def noise(self, server: ServerConfig) -> tuple[Fraction, Fraction] | None:
        terms = terms_of(server)
        if terms.norm is None or terms.noise is None:
            return None
        return Fraction(terms.norm), Fraction(terms.noise) * Fraction(terms.norm)

    def loss(self, server: ServerConfig, layout: Callable[[], Layout]) -> float:
        terms = terms_of(server)
        if terms.noise is None:
            return 0.0
        length = summed_length(layout())
        shared = terms.rules(length).shared_noise
        assert shared is not None
        return shared.rho(length)

    def statement(self, layout: Layout, server: ServerConfig) -> list[str]:
        return sentences(terms_of(server), summed_length(layout), server.num_cycles)


def _refuse(field: str, reason: str) -> InvalidConfig:
    return InvalidConfig(f"server_config: {reason} - at `$.{field}`", field=field)
