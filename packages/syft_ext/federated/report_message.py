"""What goes beside a report: samples and metrics, as far as they may be told, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syft_ext.federated.bounds import BoundedReports
from syft_ext.federated.events import Sent
from syft_ext.messages.federated import CheckInReply, Report
from syft_ext.messages.policy import CyclePolicy
from syft_ext.plans.training.training_plan import Account

__all__ = ["Stated", "report_message", "sent_of"]


@dataclass(frozen=True, slots=True)
class Stated:
    """Samples, loss and accuracy as somebody states them; None where nobody does."""

    samples: Any
    loss: Any
    accuracy: Any

    def within(
        self, bounded: BoundedReports, known: Account, counted: int, policy: CyclePolicy | None
    ) -> Stated:
        """What of it leaves: the plan's own account where nothing is stated, and no more than the bounds allow."""
        return Stated(
            bounded.samples((counted or None) if self.samples is None else int(self.samples)),
            bounded.metric(known.loss if self.loss is None else float(self.loss), policy),
            bounded.metric(known.accuracy if self.accuracy is None else float(self.accuracy), policy),
        )


def report_message(assignment: CheckInReply, kind: str, stated: Stated | None) -> Report:
    """The message that brings a report; with None, nothing is told beside it."""
    told = Stated(None, None, None) if stated is None else stated
    return Report(
        assignment_id=assignment.assignment_id,
        request_key=assignment.request_key,
        kind=kind,
        samples=told.samples,
        loss=told.loss,
        accuracy=told.accuracy,
    )


def sent_of(cycle: int, stated: Stated | None) -> Sent:
    """What the Domain was told of ``cycle``, for this end's own listeners."""
    told = Stated(None, None, None) if stated is None else stated
    return Sent(cycle, told.samples, told.loss, told.accuracy)
