"""The life of an assignment (worker cycle in the paper): one worker's slot in one cycle.

ASSIGNED ─report→ REPORTED ─→ INCLUDED
   │                  └─→ REJECTED (unusable when it was averaged) | CANCELLED
   └─→ FAILED_BY_WORKER | TIMED_OUT | LATE (the cycle closed without it) | CANCELLED
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from syft_ext.errors import Conflict

__all__ = [
    "HOLDING",
    "TERMINAL",
    "AssignmentDecision",
    "AssignmentEffect",
    "AssignmentEvent",
    "AssignmentStatus",
    "decide",
    "refusal",
]


class AssignmentStatus(StrEnum):
    """Where an assignment is; all but the first two are final (``TERMINAL``)."""

    ASSIGNED = "assigned"
    REPORTED = "reported"
    INCLUDED = "included"
    REJECTED = "rejected"
    FAILED_BY_WORKER = "failed-by-worker"
    TIMED_OUT = "timed-out"
    LATE = "late"
    CANCELLED = "cancelled"


HOLDING = frozenset({AssignmentStatus.ASSIGNED, AssignmentStatus.REPORTED, AssignmentStatus.INCLUDED})
"""Statuses that occupy a slot: a worker has at most one such assignment in a cycle."""

TERMINAL = frozenset(AssignmentStatus) - {AssignmentStatus.ASSIGNED, AssignmentStatus.REPORTED}


class AssignmentEvent(StrEnum):
    """What the worker, the clock, the cycle, the averaging (INCLUDE, UNUSABLE) or the owner (CANCEL) does."""

    REPORT = "report"
    WORKER_FAILED = "worker-failed"
    LEASE_EXPIRED = "lease-expired"
    CYCLE_CLOSED = "cycle-closed"
    INCLUDE = "include"
    UNUSABLE = "unusable"
    CANCEL = "cancel"


class AssignmentEffect(StrEnum):
    """What happens to the counters of the cycle, in the same transaction."""

    COUNT_REPORT = "count-report"
    FREE_SLOT = "free-slot"
    UNCOUNT_REPORT = "uncount-report"


@dataclass(frozen=True, slots=True)
class AssignmentDecision:
    """What :func:`decide` says: where the assignment is now, and what follows from that."""

    status: AssignmentStatus
    effects: tuple[AssignmentEffect, ...] = ()


_TABLE: dict[tuple[AssignmentStatus, AssignmentEvent], AssignmentDecision] = {
    (AssignmentStatus.ASSIGNED, AssignmentEvent.REPORT): AssignmentDecision(
        AssignmentStatus.REPORTED, (AssignmentEffect.COUNT_REPORT,)
    ),
    (AssignmentStatus.ASSIGNED, AssignmentEvent.WORKER_FAILED): AssignmentDecision(
        AssignmentStatus.FAILED_BY_WORKER, (AssignmentEffect.FREE_SLOT,)
    ),
    (AssignmentStatus.ASSIGNED, AssignmentEvent.LEASE_EXPIRED): AssignmentDecision(
        AssignmentStatus.TIMED_OUT, (AssignmentEffect.FREE_SLOT,)
    ),
    (AssignmentStatus.ASSIGNED, AssignmentEvent.CYCLE_CLOSED): AssignmentDecision(
        AssignmentStatus.LATE, (AssignmentEffect.FREE_SLOT,)
    ),
    (AssignmentStatus.ASSIGNED, AssignmentEvent.CANCEL): AssignmentDecision(AssignmentStatus.CANCELLED),
    (AssignmentStatus.REPORTED, AssignmentEvent.INCLUDE): AssignmentDecision(AssignmentStatus.INCLUDED),
    (AssignmentStatus.REPORTED, AssignmentEvent.UNUSABLE): AssignmentDecision(
        AssignmentStatus.REJECTED, (AssignmentEffect.UNCOUNT_REPORT, AssignmentEffect.FREE_SLOT)
    ),
    (AssignmentStatus.REPORTED, AssignmentEvent.CANCEL): AssignmentDecision(AssignmentStatus.CANCELLED),
}

_REFUSALS: dict[AssignmentStatus, tuple[str, str]] = {
    AssignmentStatus.REPORTED: ("duplicate", "this assignment has reported already"),
    AssignmentStatus.INCLUDED: ("duplicate", "this assignment has reported already"),
    AssignmentStatus.REJECTED: ("duplicate", "this assignment has reported already, and could not be used"),
    AssignmentStatus.FAILED_BY_WORKER: ("failed", "the worker gave this assignment up"),
    AssignmentStatus.TIMED_OUT: (
        "timed-out",
        "the assignment's time is over, its slot went to another worker",
    ),
    AssignmentStatus.LATE: ("late", "the cycle closed before this report came"),
    AssignmentStatus.CANCELLED: ("cancelled", "the training was cancelled"),
}


def decide(status: AssignmentStatus, event: AssignmentEvent) -> AssignmentDecision:
    """The next status and what has to be done. Raises :class:`Conflict` when ``status`` forbids ``event``."""
    decision = _TABLE.get((status, event))
    if decision is None:
        raise refusal(status)
    return decision


def refusal(status: AssignmentStatus) -> Conflict:
    """Why an assignment in ``status`` takes nothing more from its worker; ``extra["reason"]`` is stable."""
    reason, text = _REFUSALS.get(status, ("state", f"an assignment that is {status} does not allow this"))
    return Conflict(text, reason=reason, status=str(status))
