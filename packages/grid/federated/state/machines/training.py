"""The life of a training (FL process in the paper, task in the compute server).

CREATED ─submit→ WAITING ─start→ RUNNING ⇄ PAUSED
   │                │               │          │
   └─────start──────│──────────────→┤          │
                    └───────────────┴──────────┴─→ COMPLETED | CANCELLED | FAILED ─resume→ RUNNING
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from syft_ext.errors import Conflict

__all__ = ["TERMINAL", "TrainingEffect", "TrainingEvent", "TrainingFacts", "TrainingStatus", "decide"]


class TrainingStatus(StrEnum):
    """Where a training is; the last three end it (``TERMINAL``), but one that failed can be taken up again."""

    CREATED = "created"
    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


TERMINAL = frozenset({TrainingStatus.COMPLETED, TrainingStatus.CANCELLED, TrainingStatus.FAILED})


class TrainingEvent(StrEnum):
    """SUBMIT and START follow from its model's upload and from its review; PAUSE, RESUME and CANCEL are its host's
    or a manager's word; the others come from its cycles. CYCLE_EXPIRED: one came to nothing, and is tried anew."""

    SUBMIT = "submit"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    CYCLE_COMPLETED = "cycle-completed"
    CYCLE_EXPIRED = "cycle-expired"
    CYCLE_FAILED = "cycle-failed"


class TrainingEffect(StrEnum):
    """What happens to the current cycle, in the same transaction."""

    OPEN_CYCLE = "open-cycle"
    RESUME_CYCLE = "resume-cycle"
    CANCEL_CYCLE = "cancel-cycle"


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """``num_cycles``: wanted, 0 = no end. ``completed``: finished cycles, the one of this event included."""

    num_cycles: int
    completed: int
    cycle_in_progress: bool


@dataclass(frozen=True, slots=True)
class TrainingDecision:
    """What :func:`decide` says: where the training is now, and what follows from that."""

    status: TrainingStatus
    effects: tuple[TrainingEffect, ...] = ()


def decide(status: TrainingStatus, event: TrainingEvent, facts: TrainingFacts) -> TrainingDecision:
    """The next status and what has to be done. Raises :class:`Conflict` when ``status`` forbids ``event``."""
    match status, event:
        case TrainingStatus.CREATED, TrainingEvent.SUBMIT:
            return TrainingDecision(TrainingStatus.WAITING)
        case ((TrainingStatus.CREATED | TrainingStatus.WAITING), TrainingEvent.START):
            return TrainingDecision(TrainingStatus.RUNNING, (TrainingEffect.OPEN_CYCLE,))
        case TrainingStatus.RUNNING, TrainingEvent.PAUSE:
            return TrainingDecision(TrainingStatus.PAUSED)
        case TrainingStatus.PAUSED, TrainingEvent.RESUME:
            effect = TrainingEffect.RESUME_CYCLE if facts.cycle_in_progress else TrainingEffect.OPEN_CYCLE
            return TrainingDecision(TrainingStatus.RUNNING, (effect,))
        case TrainingStatus.FAILED, TrainingEvent.RESUME:
            return TrainingDecision(TrainingStatus.RUNNING, (TrainingEffect.OPEN_CYCLE,))
        case (
            (
                TrainingStatus.CREATED
                | TrainingStatus.WAITING
                | TrainingStatus.RUNNING
                | TrainingStatus.PAUSED
            ),
            TrainingEvent.CANCEL,
        ):
            return TrainingDecision(
                TrainingStatus.CANCELLED, (TrainingEffect.CANCEL_CYCLE,) if facts.cycle_in_progress else ()
            )
        case ((TrainingStatus.RUNNING | TrainingStatus.PAUSED), TrainingEvent.CYCLE_COMPLETED):
            return _after_cycle(status, facts)
        case ((TrainingStatus.RUNNING | TrainingStatus.PAUSED), TrainingEvent.CYCLE_EXPIRED):
            return _next(status)
        case ((TrainingStatus.RUNNING | TrainingStatus.PAUSED), TrainingEvent.CYCLE_FAILED):
            return TrainingDecision(TrainingStatus.FAILED)
    raise Conflict(f"a training that is {status} cannot {event}", status=str(status))


def _after_cycle(status: TrainingStatus, facts: TrainingFacts) -> TrainingDecision:
    if facts.num_cycles and facts.completed >= facts.num_cycles:
        return TrainingDecision(TrainingStatus.COMPLETED)
    return _next(status)


def _next(status: TrainingStatus) -> TrainingDecision:
    # A cycle that was being averaged when the training was paused is finished; the next one waits.
    return TrainingDecision(status, (TrainingEffect.OPEN_CYCLE,) if status is TrainingStatus.RUNNING else ())
