"""The interface of the SDK's half of a report format; the node's is ``grid.federated.intake.format``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from syft_ext.messages.federated import CheckInReply
from syft_ext.plans.training.parameters import Parameters

__all__ = ["EncodedReport", "ReportContext", "ReportEncoder"]

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class ReportContext:
    """What a report is about.

    Attributes:
        process_id: the training.
        assignment: the worker's part in the cycle, with the training's ``report_options``.
        base: the model that the cycle starts from; not to be changed.
    """

    process_id: str
    assignment: CheckInReply
    base: Parameters


@dataclass(frozen=True, slots=True)
class EncodedReport:
    """A report as it is uploaded.

    Attributes:
        pieces: its bytes, in order. They are sent again when an answer is lost: what is made once stays as it is.
        kind: what it is in the words of the format; "" where it has but one kind.
    """

    pieces: list[Buffer]
    kind: str = ""


class ReportEncoder(ABC):
    """Writes reports of one format. ``name`` is the one that trainings declare."""

    name: ClassVar[str]

    @abstractmethod
    def check(self, options: Mapping[str, Any]) -> None:
        """Raise :class:`~syft_ext.errors.Unsupported` for ``report_options`` that this encoder cannot honour.

        Called when the worker has its part in a cycle, before it trains. This is where a format looks at what it
        must trust: keys, evidence, policies.
        """

    @abstractmethod
    def encode(self, context: ReportContext, trained: Any) -> EncodedReport:
        """The report of what was learned.

        Called again for the same assignment when somebody tries anew after an error. The node may have the first
        one then: what others know of this assignment's report (a seed, a key) must stay as it was.

        Args:
            trained: the trained parameters: whatever :func:`~syft_ext.plans.training.parameters.named_parameters`
                takes.

        Raises :class:`~syft_ext.errors.InvalidTensors` when they are not shaped as the model.
        """
