"""The interface of report formats: everything that the node does with a report's bytes.

A training declares its format when it is hosted (``server_config``: ``report_format``, ``report_options``). The
collector has the format check each upload while it comes in; the sum of a cycle has it read what was stored, and
recovery reads it again. Nobody else looks into a report, so that masked and sealed ones need nothing but a
format, and its other half in the SDK (:mod:`syft_ext.federated.formats`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Literal, Protocol

from grid.aggregation.base import Aggregator
from grid.aggregation.magnitude import Magnitude
from grid.aggregation.tensor_file import TensorFile
from grid.federated.hosting.config import ServerConfig
from syft_ext.errors import BadRequest
from syft_ext.tensors import Layout

__all__ = ["ReportFormat", "ReportReader", "ReportedCycle", "StoredReport", "UploadCheck"]


@dataclass(frozen=True, slots=True)
class ReportedCycle:
    """The cycle whose reports are read: its number in the training, and the checkpoint that it starts from, as its
    workers were told them. ``options``: the training's ``report_options``."""

    process_id: str
    cycle_id: str
    cycle: int
    checkpoint: int
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredReport:
    """An accepted report, as it was uploaded.

    Attributes:
        content: its bytes; memory, or a file that is mapped, as long as somebody holds the view.
        kind: one of the format's :attr:`ReportFormat.kinds`.
        weight: its weight in the mean, > 0.
    """

    assignment_id: str
    content: memoryview
    kind: str
    weight: float


class UploadCheck(Protocol):
    """Looks at one upload. Each method raises what refuses it; then nothing of it is kept.

    Attributes:
        limit: bytes that the report may have at most, also where it comes in parts.
    """

    limit: int

    def feed(self, chunk: memoryview) -> None:
        """The next bytes. Raises :class:`TooLarge` beyond what a report may have, before they are written."""

    def finish(self) -> object:
        """All bytes have come."""

    def check(self, file: memoryview) -> None:
        """The whole report, beside the event loop, before it gets its name."""


class ReportReader(ABC):
    """Takes the reports of one cycle into its aggregator, in the order in which they were accepted.

    The same reports in the same order must give the same sums: after a crash they are read again.
    """

    @abstractmethod
    def add(self, report: StoredReport) -> None:
        """One more. Raises :class:`InvalidTensors` for one that is unusable by itself: it is taken back.

        Check it before anything of it is added, where that can be done: after an error the others are read again,
        by another reader, from the first one on.
        """

    @abstractmethod
    def finish(self) -> None:
        """The cycle is closed with enough reports, and all are added: what could not be read before is now.

        What is raised is tried again a few times (:class:`BadRequest` and :class:`Unsupported` are not), from the
        first report on.
        """


class ReportFormat(ABC):
    """One way to carry what a worker learned.

    Attributes:
        name: how trainings declare it; the SDK's half has the same.
        kinds: what a report may say that it is (``Report.kind``), at most 8 characters each; the first is meant
            where it says nothing.
        reveals: what a strategy may see: "each" report's tensors (so that it can be clipped, or given to a hosted
            averaging plan), or nothing but their "sum".
        streams: reports are added while they arrive; else they stay closed until their cycle is.
        repeatable: what was stored can be read again at any time, also after the cycle. Where it cannot, a model
            is durable before any worker is given it.
        outside: this process cannot read its reports at all: they are checked and summed by who registered for the
            format (:mod:`grid.federated.cycles.outside`). The methods below that read are never called then.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ("",)
    reveals: ClassVar[Literal["each", "sum"]] = "each"
    streams: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    outside: ClassVar[bool] = False

    @abstractmethod
    def check_training(self, server: ServerConfig) -> None:
        """Raise :class:`InvalidConfig`, naming the field, for a training whose reports cannot be carried so.

        ``server.report_options`` are this format's own: it refuses what it does not know.
        """

    @abstractmethod
    def check_model(self, layout: Layout, options: Mapping[str, Any]) -> None:
        """Raise :class:`InvalidTensors`, when it is hosted, for a model whose tensors cannot be carried so."""

    @abstractmethod
    def upload(self, layout: Layout, kind: str, options: Mapping[str, Any], *, whole: bool) -> UploadCheck:
        """The check of one upload, of a training whose model has this ``layout``.

        Args:
            whole: it will be in memory as a whole: what costs time can wait for :meth:`UploadCheck.check`.
        """

    def hiding_upload(
        self, layout: Layout, kind: str, options: Mapping[str, Any], *, whole: bool
    ) -> UploadCheck:
        """As :meth:`upload`, of a cycle on which noise is demanded: numbers that are not finite are no reason to
        refuse a report, which would tell without noise that there are some.

        A format that looks at numbers while they come overrides this.
        """
        return self.upload(layout, kind, options, whole=whole)

    @abstractmethod
    def reader(self, cycle: ReportedCycle, base: TensorFile, aggregator: Aggregator) -> ReportReader:
        """Reads the reports of a cycle that starts from the model ``base``."""

    def statement(self, layout: Layout, server: ServerConfig) -> list[str]:
        """What reviewers and participants are told of who sees what of these reports, a sentence each."""
        return []

    def loss(self, server: ServerConfig, layout: Callable[[], Layout]) -> float:
        """ρ of zero-concentrated differential privacy that a cycle tells of one participant, by noise that
        participants put into these reports themselves; 0 where they put in none.

        Args:
            layout: what the model's is, where it matters.
        """
        return 0.0

    def fewest(self, server: ServerConfig) -> int:
        """Different participants who must be behind what somebody is told of a cycle, where the site knows who
        they are; 1: the policy alone says how many."""
        return 1

    def noise(self, server: ServerConfig) -> tuple[Fraction, Fraction] | None:
        """The L2 norm of a contribution, and the deviation of the discrete Gaussian noise in a sum of them, where
        participants see to both by themselves; None where they do not, or nobody may rely on it."""
        return None

    def magnitude(self, report: StoredReport, base: TensorFile) -> Magnitude | None:
        """The largest number of a report's difference to the model ``base``, and where it is; None where nobody
        can look into a single report."""
        return None

    def kind_of(self, stated: str) -> str:
        """The kind that a report states; raises :class:`BadRequest` for one that the format does not have."""
        if not stated:
            return self.kinds[0]
        if stated not in self.kinds:
            known = ", ".join(filter(None, self.kinds)) or "none"
            raise BadRequest(
                f"reports of format {self.name!r} have no kind {stated[:80]!r}, there are: {known}",
                field="kind",
            )
        return stated
