"""The life of a training (FL process in the paper, task in the compute server).

CREATED ─start→ RUNNING ⇄ PAUSED
                   │          │
                   └──────────┴─→ COMPLETED | CANCELLED | FAILED
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from syft_ext.errors import Conflict

__all__ = ["TERMINAL", "Effect", "Event", "Facts", "Status", "decide"]


class Status(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


TERMINAL = frozenset({Status.COMPLETED, Status.CANCELLED, Status.FAILED})


class Event(StrEnum):
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    CYCLE_COMPLETED = "cycle-completed"
    CYCLE_FAILED = "cycle-failed"


class Effect(StrEnum):
    OPEN_CYCLE = "open-cycle"
    RESUME_CYCLE = "resume-cycle"
    CANCEL_CYCLE = "cancel-cycle"


@dataclass(frozen=True, slots=True)
class Facts:
    """``num_cycles``: wanted, 0 = no end. ``completed``: finished cycles, the one of this event included."""

    num_cycles: int
    completed: int
    cycle_in_progress: bool


@dataclass(frozen=True, slots=True)
class Decision:
    status: Status
    effects: tuple[Effect, ...] = ()


def decide(status: Status, event: Event, facts: Facts) -> Decision:
    """The next status and what has to be done. Raises :class:`Conflict` when ``status`` forbids ``event``."""
    match status, event:
        case Status.CREATED, Event.START:
            return Decision(Status.RUNNING, (Effect.OPEN_CYCLE,))
        case Status.RUNNING, Event.PAUSE:
            return Decision(Status.PAUSED)
        case Status.PAUSED, Event.RESUME:
            effect = Effect.RESUME_CYCLE if facts.cycle_in_progress else Effect.OPEN_CYCLE
            return Decision(Status.RUNNING, (effect,))
        case ((Status.CREATED | Status.RUNNING | Status.PAUSED), Event.CANCEL):
            return Decision(Status.CANCELLED, (Effect.CANCEL_CYCLE,) if facts.cycle_in_progress else ())
        case ((Status.RUNNING | Status.PAUSED), Event.CYCLE_COMPLETED):
            return _after_cycle(status, facts)
        case ((Status.RUNNING | Status.PAUSED), Event.CYCLE_FAILED):
            return Decision(Status.FAILED)
    raise Conflict(f"a training that is {status} cannot {event}", status=str(status))


def _after_cycle(status: Status, facts: Facts) -> Decision:
    if facts.num_cycles and facts.completed >= facts.num_cycles:
        return Decision(Status.COMPLETED)
    # A cycle that was being averaged when the training was paused is finished; the next one waits.
    return Decision(status, (Effect.OPEN_CYCLE,) if status is Status.RUNNING else ())
