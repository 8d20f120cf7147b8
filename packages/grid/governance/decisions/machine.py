"""The life of a request, sans-IO.

PENDING ─approve (by enough reviewers)→ APPROVED ─revoke→ REVOKED
        ─deny→ DENIED
        ─withdraw→ WITHDRAWN
"""

from __future__ import annotations

from enum import StrEnum

from syft_ext.errors import Conflict

__all__ = ["Event", "State", "decide"]


class State(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    REVOKED = "revoked"


class Event(StrEnum):
    APPROVE = "approve"
    DENY = "deny"
    WITHDRAW = "withdraw"
    REVOKE = "revoke"


def decide(state: State, event: Event, *, approvals: int = 0, needed: int = 1) -> State:
    """The next state; ``approvals`` counts the different reviewers who approve, this one included.

    Raises :class:`Conflict` when ``state`` forbids ``event``.
    """
    match state, event:
        case State.PENDING, Event.APPROVE:
            return State.APPROVED if approvals >= needed else State.PENDING
        case State.PENDING, Event.DENY:
            return State.DENIED
        case State.PENDING, Event.WITHDRAW:
            return State.WITHDRAWN
        case State.APPROVED, Event.REVOKE:
            return State.REVOKED
    raise Conflict(f"a request that is {state} cannot be changed so: {event}", state=str(state))
