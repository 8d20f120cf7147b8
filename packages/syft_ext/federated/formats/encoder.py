"""The interface of the SDK's half of a report format; the node's is ``grid.federated.intake.format``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from syft_ext.federated.sealed.part import ConfidentialPart
from syft_ext.identity import Identity
from syft_ext.messages import Message
from syft_ext.messages.federated import CheckInReply
from syft_ext.plans.training.parameters import Parameters

__all__ = ["EncodedReport", "NodeLine", "ReportContext", "ReportEncoder"]

Buffer = bytes | bytearray | memoryview


def _nothing() -> None:
    pass


class NodeLine(Protocol):
    """What an encoder has that must speak with the node, or sign.

    Attributes:
        identity: of this worker. node_key: of the node, as it was met.
        authorities: keys (hex) of those whose word on participants counts for its owner; none: they pinned none.
        certificate: the word of one of them for this worker's key; empty without one.
    """

    @property
    def identity(self) -> Identity:
        """See above."""

    @property
    def node_key(self) -> str:
        """See above."""

    @property
    def authorities(self) -> frozenset[str]:
        """See above."""

    @property
    def certificate(self) -> bytes:
        """See above."""

    def stay(self) -> None:
        """Raise what ends the job where nobody wants to wait any more."""

    def call(self, message: Message, timeout: float) -> Any:
        """The node's answer; repeated as the job's patience says. ``timeout``: seconds of one attempt."""


@dataclass(frozen=True, slots=True)
class ReportContext:
    """What a report is about.

    Attributes:
        process_id: the training.
        assignment: the worker's part in the cycle, with the training's ``report_options``.
        base: the model that the cycle starts from; not to be changed.
        confidential: what was verified for this assignment, in a confidential training.
        samples: how many it was trained on, as far as the worker's owner lets that be said; None: not said.
        line: to the node; None where nobody is connected.
        protocols: what the training's definition hands its participants: name → bytes, held against their digests.
        secret: 32 bytes that only this participant knows, of this training, cycle and assignment alone: from it
            follows the noise that a format adds; b"": there is none.
    """

    process_id: str
    assignment: CheckInReply
    base: Parameters
    confidential: ConfidentialPart | None = None
    samples: int | None = None
    line: NodeLine | None = None
    protocols: Mapping[str, bytes] = field(default_factory=dict)
    secret: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class EncodedReport:
    """A report as it is uploaded.

    Attributes:
        pieces: its bytes, in order. They are sent again when an answer is lost: what is made once stays as it is.
        kind: what it is in the words of the format; "" where it has but one kind.
        first: what the Domain is told before its bytes come; None: nothing.
        finish: called when the node has it: what is still to be said of it, where others wait for that.
        close: called at the end, whatever came of it.
    """

    pieces: list[Buffer]
    kind: str = ""
    first: Message | None = None
    finish: Callable[[], None] = _nothing
    close: Callable[[], None] = _nothing


class ReportEncoder(ABC):
    """Writes reports of one format. ``name`` is the one that trainings declare.

    Attributes:
        tells_metrics: whether samples, loss and accuracy go beside a report; else nothing does.
    """

    name: ClassVar[str]
    tells_metrics: ClassVar[bool] = True

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
