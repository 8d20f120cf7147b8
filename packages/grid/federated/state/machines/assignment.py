"""The life of an assignment (worker cycle in the paper): one worker's slot in one cycle.

ASSIGNED ─report→ REPORTED ─→ INCLUDED
   │                  └─→ REJECTED (unusable when it was averaged) | CANCELLED
   └─→ FAILED_BY_WORKER | TIMED_OUT | LATE (the cycle closed without it) | CANCELLED
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from syft_ext.errors import Conflict

__all__ = ["HOLDING", "TERMINAL", "Decision", "Effect", "Event", "Status", "decide", "refusal"]


class Status(StrEnum):
    ASSIGNED = "assigned"
    REPORTED = "reported"
    INCLUDED = "included"
    REJECTED = "rejected"
    FAILED_BY_WORKER = "failed-by-worker"
    TIMED_OUT = "timed-out"
    LATE = "late"
    CANCELLED = "cancelled"


HOLDING = frozenset({Status.ASSIGNED, Status.REPORTED, Status.INCLUDED})
"""Statuses that occupy a slot: a worker has at most one such assignment in a cycle."""

TERMINAL = frozenset(Status) - {Status.ASSIGNED, Status.REPORTED}


class Event(StrEnum):
    REPORT = "report"
    WORKER_FAILED = "worker-failed"
    LEASE_EXPIRED = "lease-expired"
    CYCLE_CLOSED = "cycle-closed"
    INCLUDE = "include"
    UNUSABLE = "unusable"
    CANCEL = "cancel"


class Effect(StrEnum):
    COUNT_REPORT = "count-report"
    FREE_SLOT = "free-slot"
    UNCOUNT_REPORT = "uncount-report"


@dataclass(frozen=True, slots=True)
class Decision:
    status: Status
    effects: tuple[Effect, ...] = ()


_TABLE: dict[tuple[Status, Event], Decision] = {
    (Status.ASSIGNED, Event.REPORT): Decision(Status.REPORTED, (Effect.COUNT_REPORT,)),
    (Status.ASSIGNED, Event.WORKER_FAILED): Decision(Status.FAILED_BY_WORKER, (Effect.FREE_SLOT,)),
    (Status.ASSIGNED, Event.LEASE_EXPIRED): Decision(Status.TIMED_OUT, (Effect.FREE_SLOT,)),
    (Status.ASSIGNED, Event.CYCLE_CLOSED): Decision(Status.LATE, (Effect.FREE_SLOT,)),
    (Status.ASSIGNED, Event.CANCEL): Decision(Status.CANCELLED),
    (Status.REPORTED, Event.INCLUDE): Decision(Status.INCLUDED),
    (Status.REPORTED, Event.UNUSABLE): Decision(Status.REJECTED, (Effect.UNCOUNT_REPORT, Effect.FREE_SLOT)),
    (Status.REPORTED, Event.CANCEL): Decision(Status.CANCELLED),
}

_REFUSALS: dict[Status, tuple[str, str]] = {
    Status.REPORTED: ("duplicate", "this assignment has reported already"),
    Status.INCLUDED: ("duplicate", "this assignment has reported already"),
    Status.REJECTED: ("duplicate", "this assignment has reported already, and could not be used"),
    Status.FAILED_BY_WORKER: ("failed", "the worker gave this assignment up"),
    Status.TIMED_OUT: ("timed-out", "the assignment's time is over, its slot went to another worker"),
    Status.LATE: ("late", "the cycle closed before this report came"),
    Status.CANCELLED: ("cancelled", "the training was cancelled"),
}


def decide(status: Status, event: Event) -> Decision:
    """The next status and what has to be done. Raises :class:`Conflict` when ``status`` forbids ``event``."""
    decision = _TABLE.get((status, event))
    if decision is None:
        raise refusal(status)
    return decision


def refusal(status: Status) -> Conflict:
    """Why an assignment in ``status`` takes nothing more from its worker; ``extra["reason"]`` is stable."""
    reason, text = _REFUSALS.get(status, ("state", f"an assignment that is {status} does not allow this"))
    return Conflict(text, reason=reason, status=str(status))
