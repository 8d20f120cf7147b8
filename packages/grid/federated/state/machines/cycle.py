"""The life of a cycle (iteration in the compute server).

OPEN ─pool filled→ COLLECTING ─goal or time→ AGGREGATING ─→ APPLYING ─→ COMPLETED
  │                    ↑ └── time, too few: extended ──┐         │
  │                    └── too few usable reports ─────┤         │      (never where that is final)
  │                    └─ masked: ready → SECURING → AGGREGATING (| EXPIRED: too few stayed, another cycle begins)
  └──────────────────────────────────────────────→ EXPIRED | FAILED | CANCELLED
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from syft_ext.errors import Conflict

__all__ = [
    "ADMITTING",
    "TERMINAL",
    "CycleDecision",
    "CycleEffect",
    "CycleEvent",
    "CycleFacts",
    "CycleStatus",
    "decide",
    "initial",
]


class CycleStatus(StrEnum):
    """Where a cycle is; workers are admitted in the first two only (``ADMITTING``). SECURING: whose reports are
    summed is fixed, and they are masked, sent and opened together."""

    OPEN = "open"
    COLLECTING = "collecting"
    SECURING = "securing"
    AGGREGATING = "aggregating"
    APPLYING = "applying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TERMINAL = frozenset({CycleStatus.COMPLETED, CycleStatus.FAILED, CycleStatus.CANCELLED, CycleStatus.EXPIRED})
ADMITTING = frozenset({CycleStatus.OPEN, CycleStatus.COLLECTING})


class CycleEvent(StrEnum):
    """ARRIVED: a worker checked in. SHORT: too few reports were usable. ABANDONED: averaging cannot succeed.
    OPENED: the sum of masked reports can be read. BELOW: it never will be, too few are left."""

    ARRIVED = "arrived"
    REPORTED = "reported"
    OPENED = "opened"
    BELOW = "below"
    DEADLINE = "deadline"
    RESUMED = "resumed"
    AGGREGATED = "aggregated"
    SHORT = "short"
    APPLIED = "applied"
    ABANDONED = "abandoned"
    CANCEL = "cancel"


class CycleEffect(StrEnum):
    """What happens besides, in the same transaction. EXTEND gives the cycle more time, SECURE takes its masked
    reports one phase on if it can, NEXT_CYCLE tries anew after one that came to nothing."""

    ASSIGN_SLOTS = "assign-slots"
    CLOSE_STRAGGLERS = "close-stragglers"
    AGGREGATE = "aggregate"
    EXTEND = "extend"
    SECURE = "secure"
    NEXT_CYCLE = "next-cycle"
    FAIL_PROCESS = "fail-process"
    COMPLETE_PROCESS_STEP = "complete-process-step"
    CANCEL_ASSIGNMENTS = "cancel-assignments"


@dataclass(frozen=True, slots=True)
class CycleFacts:
    """Counters of the cycle after the event, and the limits of its training (see ``ServerConfig``).

    ``participants``: how many are behind its reports; ``min_participants``: how many the site's policy demands.
    ``final``: what was collected when it left COLLECTING is what is summed: it never returns there. ``over``: it
    cannot be given more time, whatever the training allows. ``secured``: reports are masked; while it collects,
    ``reported`` is how many are ready to send one.
    """

    goal: int | None
    min_diffs: int
    min_workers: int
    arrived: int
    reported: int
    extensions: int
    max_extensions: int | None
    paused: bool = False
    participants: int = 1
    min_participants: int = 1
    final: bool = False
    over: bool = False
    secured: bool = False


@dataclass(frozen=True, slots=True)
class CycleDecision:
    """What :func:`decide` says: where the cycle is now, and what follows from that, in this order."""

    status: CycleStatus
    effects: tuple[CycleEffect, ...] = ()


def initial(min_workers: int) -> CycleStatus:
    """A cycle whose pool needs one worker at most assigns slots at once."""
    return CycleStatus.OPEN if min_workers > 1 else CycleStatus.COLLECTING


_CLOSE = CycleDecision(CycleStatus.AGGREGATING, (CycleEffect.CLOSE_STRAGGLERS, CycleEffect.AGGREGATE))
_SECURE = CycleDecision(CycleStatus.SECURING, (CycleEffect.SECURE,))


def decide(status: CycleStatus, event: CycleEvent, facts: CycleFacts) -> CycleDecision:
    """The next status and what has to be done. Raises :class:`Conflict` when ``status`` forbids ``event``."""
    match status, event:
        case CycleStatus.OPEN, CycleEvent.ARRIVED:
            if facts.arrived >= facts.min_workers:
                return CycleDecision(CycleStatus.COLLECTING, (CycleEffect.ASSIGN_SLOTS,))
            return CycleDecision(status)
        case CycleStatus.COLLECTING, CycleEvent.ARRIVED:
            return CycleDecision(status)
        case CycleStatus.COLLECTING, (CycleEvent.REPORTED | CycleEvent.RESUMED):
            return _closed(facts) if _goal_reached(facts) else CycleDecision(status)
        case CycleStatus.SECURING, CycleEvent.REPORTED:
            return _SECURE
        case CycleStatus.SECURING, CycleEvent.OPENED:
            return _CLOSE
        case CycleStatus.SECURING, CycleEvent.BELOW:
            again = CycleEffect.NEXT_CYCLE if _more(facts) else CycleEffect.FAIL_PROCESS
            return CycleDecision(CycleStatus.EXPIRED, (CycleEffect.CANCEL_ASSIGNMENTS, again))
        case CycleStatus.OPEN, CycleEvent.RESUMED:
            return CycleDecision(status)
        case ((CycleStatus.OPEN | CycleStatus.COLLECTING), CycleEvent.DEADLINE):
            return _on_deadline(status, facts)
        case CycleStatus.AGGREGATING, CycleEvent.AGGREGATED:
            return CycleDecision(CycleStatus.APPLYING)
        case CycleStatus.AGGREGATING, CycleEvent.SHORT if not facts.final:
            return CycleDecision(CycleStatus.COLLECTING, (CycleEffect.EXTEND, CycleEffect.ASSIGN_SLOTS))
        case CycleStatus.APPLYING, CycleEvent.APPLIED:
            return CycleDecision(CycleStatus.COMPLETED, (CycleEffect.COMPLETE_PROCESS_STEP,))
        case (
            (CycleStatus.SECURING | CycleStatus.AGGREGATING | CycleStatus.APPLYING),
            CycleEvent.ABANDONED,
        ):
            return CycleDecision(
                CycleStatus.FAILED, (CycleEffect.CANCEL_ASSIGNMENTS, CycleEffect.FAIL_PROCESS)
            )
        case _, CycleEvent.CANCEL if status not in TERMINAL:
            return CycleDecision(CycleStatus.CANCELLED, (CycleEffect.CANCEL_ASSIGNMENTS,))
    raise Conflict(f"a cycle that is {status} cannot take {event}", status=str(status))


def _goal_reached(facts: CycleFacts) -> bool:
    enough = facts.goal is not None and facts.reported >= facts.goal
    return not facts.paused and enough and facts.participants >= facts.min_participants


def _closed(facts: CycleFacts) -> CycleDecision:
    return _SECURE if facts.secured else _CLOSE


def _more(facts: CycleFacts) -> bool:
    return not facts.over and (facts.max_extensions is None or facts.extensions < facts.max_extensions)


def _on_deadline(status: CycleStatus, facts: CycleFacts) -> CycleDecision:
    if facts.paused:
        return CycleDecision(status)
    if facts.reported >= max(facts.min_diffs, 1) and facts.participants >= facts.min_participants:
        return _closed(facts)
    if _more(facts):
        return CycleDecision(status, (CycleEffect.EXTEND,))
    return CycleDecision(CycleStatus.EXPIRED, (CycleEffect.CANCEL_ASSIGNMENTS, CycleEffect.FAIL_PROCESS))
