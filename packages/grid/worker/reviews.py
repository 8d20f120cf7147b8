"""Trainings as their owner is shown them: what the board knows, and what the participant reads of them when
asked."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Mapping

import msgspec

from grid.worker.protocol import ParticipantCommand, ParticipantEvent, TrainingLook
from grid.worker.tables import SeenTraining
from syft_ext.errors import BadRequest, Conflict, DeadlineExceeded
from syft_ext.ids import new_id
from syft_ext.messages.training_reviews import TrainingReview, WorkerBounds
from syft_ext.messages.worker import OfferView, SeenTrainingView
from syft_ext.messages.worker_bounds import describe_bounds

__all__ = ["Reviews", "ended", "offer_view", "seen_view"]

PATIENCE = 180.0
"""Seconds that reading and trying out a training may take."""


class Reviews:
    """Asks the participant to look at trainings, and hands what it saw to whoever waits for it."""

    def __init__(self, tell: Callable[[ParticipantCommand], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[threading.Event, list[ParticipantEvent]]] = {}

    def look(self, row: SeenTraining, *, trial: bool) -> TrainingLook:
        """What the participant reads of a training. Raises :class:`BadRequest` with what it could not do, and
        :class:`DeadlineExceeded`."""
        ticket, arrived, answer = new_id(), threading.Event(), list[ParticipantEvent]()
        with self._lock:
            self._waiting[ticket] = (arrived, answer)
        try:
            self._tell(
                ParticipantCommand(
                    action="look",
                    name=row.name,
                    version=row.version,
                    digest=row.digest,
                    domain_key=row.domain_key,
                    ticket=ticket,
                    trial=trial,
                )
            )
            if not arrived.wait(PATIENCE):
                raise DeadlineExceeded(f"the training was not read within {PATIENCE:.0f} s")
        finally:
            with self._lock:
                del self._waiting[ticket]
        look = answer[0].look
        if look is None:
            raise BadRequest(f"this training cannot be read: {answer[0].text}")
        return look

    def arrived(self, event: ParticipantEvent) -> None:
        """Hand over what the participant saw. Who asked may have gone."""
        with self._lock:
            found = self._waiting.get(event.ticket)
            if found is not None and not found[1]:
                found[1].append(event)
                found[0].set()

    def give_up(self, why: str) -> None:
        """Nobody is there to look any more."""
        with self._lock:
            tickets = list(self._waiting)
        for ticket in tickets:
            self.arrived(ParticipantEvent(event="looked", ticket=ticket, text=why))


def seen_view(row: SeenTraining) -> SeenTrainingView:
    """A training as its owner sees it in the list."""
    return SeenTrainingView(
        name=row.name,
        version=row.version,
        digest=row.digest,
        review=msgspec.convert(row.review, TrainingReview),
        decision=row.decision,  # type: ignore[arg-type]
        decided_by=row.decided_by,
        state=row.state,  # type: ignore[arg-type]
        reports=row.reports,
        last_cycle=row.last_cycle,
        last_loss=row.last_loss,
        last_error=row.last_error,
        seen_at=row.seen_at,
        updated_at=row.updated_at,
    )


def offer_view(
    row: SeenTraining, look: TrainingLook, before: SeenTraining | None, bounds: WorkerBounds
) -> OfferView:
    """A training with all that was read of it, and how it differs from the version approved ``before``."""
    return OfferView(
        training=seen_view(row),
        definition=look.definition,
        plans=look.plans,
        leaves=describe_bounds(bounds),
        earlier="" if before is None else before.version,
        difference="" if before is None else _difference(before, look.shown, row),
        trial=look.trial,
        data=look.data,
    )


def ended(row: SeenTraining) -> Conflict:
    """That a training cannot be read any more because it is over at its Domain, with what is known of it here.

    ``extra["shown"]``: its definition and plans as text by name, if they were read while it ran.
    """
    by = f" by {row.decided_by}" if row.decided_by else ""
    return Conflict(
        f"{row.name}/{row.version} has ended: its Domain shows it no more. Here it was {row.decision}{by}, with "
        f"{row.reports} reports",
        reason="ended",
        shown=row.shown or {},
    )


def _difference(before: SeenTraining, shown: Mapping[str, str], row: SeenTraining) -> str:
    lines: list[str] = []
    old = before.shown or {}
    for name in sorted({*old, *shown}):
        lines += difflib.unified_diff(
            old.get(name, "").splitlines(),
            shown.get(name, "").splitlines(),
            f"{name} of {before.version} ({before.digest[:12]})",
            f"{name} of {row.version} ({row.digest[:12]})",
            lineterm="",
        )
    return "\n".join(lines)
