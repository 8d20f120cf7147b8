"""The life of a cycle (iteration in the compute server).

OPEN ─pool filled→ COLLECTING ─goal or time→ AGGREGATING ─→ APPLYING ─→ COMPLETED
  │                    ↑ └── time, too few: extended ──┐         │
  │                    └── too few usable reports ─────┤         │
  └──────────────────────────────────────────────→ EXPIRED | FAILED | CANCELLED
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from syft_ext.errors import Conflict

__all__ = ["ADMITTING", "TERMINAL", "Decision", "Effect", "Event", "Facts", "Status", "decide", "initial"]


class Status(StrEnum):
    OPEN = "open"
    COLLECTING = "collecting"
    AGGREGATING = "aggregating"
    APPLYING = "applying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED})
ADMITTING = frozenset({Status.OPEN, Status.COLLECTING})


class Event(StrEnum):
    ARRIVED = "arrived"
    REPORTED = "reported"
    DEADLINE = "deadline"
    RESUMED = "resumed"
    AGGREGATED = "aggregated"
    SHORT = "short"
    APPLIED = "applied"
    ABANDONED = "abandoned"
    CANCEL = "cancel"


class Effect(StrEnum):
    DEAL_SLOTS = "deal-slots"
    CLOSE_STRAGGLERS = "close-stragglers"
    AGGREGATE = "aggregate"
    EXTEND = "extend"
    FAIL_PROCESS = "fail-process"
    COMPLETE_PROCESS_STEP = "complete-process-step"
    CANCEL_ASSIGNMENTS = "cancel-assignments"


@dataclass(frozen=True, slots=True)
class Facts:
    """Counters of the cycle after the event, and the limits of its training (see ``ServerConfig``)."""

    goal: int | None
    min_diffs: int
    min_workers: int
    arrived: int
    reported: int
    extensions: int
    max_extensions: int | None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    status: Status
    effects: tuple[Effect, ...] = ()


def initial(min_workers: int) -> Status:
    """A cycle whose pool needs one worker at most deals slots at once."""
    return Status.OPEN if min_workers > 1 else Status.COLLECTING


_CLOSE = Decision(Status.AGGREGATING, (Effect.CLOSE_STRAGGLERS, Effect.AGGREGATE))


def decide(status: Status, event: Event, facts: Facts) -> Decision:
    """The next status and what has to be done. Raises :class:`Conflict` when ``status`` forbids ``event``."""
    match status, event:
        case Status.OPEN, Event.ARRIVED:
            if facts.arrived >= facts.min_workers:
                return Decision(Status.COLLECTING, (Effect.DEAL_SLOTS,))
            return Decision(status)
        case Status.COLLECTING, Event.ARRIVED:
            return Decision(status)
        case Status.COLLECTING, (Event.REPORTED | Event.RESUMED):
            return _CLOSE if _goal_reached(facts) else Decision(status)
        case Status.OPEN, Event.RESUMED:
            return Decision(status)
        case ((Status.OPEN | Status.COLLECTING), Event.DEADLINE):
            return _on_deadline(status, facts)
        case Status.AGGREGATING, Event.AGGREGATED:
            return Decision(Status.APPLYING)
        case Status.AGGREGATING, Event.SHORT:
            return Decision(Status.COLLECTING, (Effect.EXTEND, Effect.DEAL_SLOTS))
        case Status.APPLYING, Event.APPLIED:
            return Decision(Status.COMPLETED, (Effect.COMPLETE_PROCESS_STEP,))
        case ((Status.AGGREGATING | Status.APPLYING), Event.ABANDONED):
            return Decision(Status.FAILED, (Effect.CANCEL_ASSIGNMENTS, Effect.FAIL_PROCESS))
        case _, Event.CANCEL if status not in TERMINAL:
            return Decision(Status.CANCELLED, (Effect.CANCEL_ASSIGNMENTS,))
    raise Conflict(f"a cycle that is {status} cannot take {event}", status=str(status))


def _goal_reached(facts: Facts) -> bool:
    return not facts.paused and facts.goal is not None and facts.reported >= facts.goal


def _on_deadline(status: Status, facts: Facts) -> Decision:
    if facts.paused:
        return Decision(status)
    if facts.reported >= max(facts.min_diffs, 1):
        return _CLOSE
    if facts.max_extensions is None or facts.extensions < facts.max_extensions:
        return Decision(status, (Effect.EXTEND,))
    return Decision(Status.EXPIRED, (Effect.CANCEL_ASSIGNMENTS, Effect.FAIL_PROCESS))
