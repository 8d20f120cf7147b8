"""The life of a request, sans-IO.

PENDING ─approve (by enough reviewers)→ APPROVED ─revoke→ REVOKED
        ─deny→ DENIED
        ─withdraw→ WITHDRAWN
"""

from __future__ import annotations

from enum import StrEnum

from syft_ext.errors import Conflict

__all__ = ["RequestEvent", "RequestState", "decide"]


class RequestState(StrEnum):
    """Where a request is. DENIED, WITHDRAWN and REVOKED are final."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    REVOKED = "revoked"


class RequestEvent(StrEnum):
    """WITHDRAW is the author's, the others are a reviewer's or a standing rule's."""

    APPROVE = "approve"
    DENY = "deny"
    WITHDRAW = "withdraw"
    REVOKE = "revoke"


def decide(state: RequestState, event: RequestEvent, *, approvals: int = 0, needed: int = 1) -> RequestState:
    """The next state; ``approvals`` counts the different reviewers who approve, this one included.

    Raises :class:`Conflict` when ``state`` forbids ``event``.
    """
    match state, event:
        case RequestState.PENDING, RequestEvent.APPROVE:
            return RequestState.APPROVED if approvals >= needed else RequestState.PENDING
        case RequestState.PENDING, RequestEvent.DENY:
            return RequestState.DENIED
        case RequestState.PENDING, RequestEvent.WITHDRAW:
            return RequestState.WITHDRAWN
        case RequestState.APPROVED, RequestEvent.REVOKE:
            return RequestState.REVOKED
    raise Conflict(f"a request that is {state} cannot be changed so: {event}", state=str(state))
