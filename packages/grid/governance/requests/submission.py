"""How a request comes to be: written down, and answered at once where a standing rule says so."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from grid.access.decision import governs, require
from grid.access.viewer import Viewer
from grid.catalogue.datasets import shown_as
from grid.governance.decisions.approval import objects_of
from grid.governance.decisions.machine import RequestState
from grid.governance.decisions.tables import RequestDecision, RequestObject, RequestRow
from grid.governance.rules.answering import answer
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import TooManyRequests
from syft_ext.ids import new_id

__all__ = ["ask", "label_of", "settle"]

_LABEL = 500
MOST_PENDING, MOST_A_DAY = 100, 300
"""Requests of one user: anybody may make them, and each keeps something here (a plan: its bytes)."""


def label_of(session: Session, viewer: Viewer, object_id: str, now: float) -> str:
    """What the viewer is shown of an object that they ask for. Raises :class:`NotFound` if that is nothing."""
    label = shown_as(session, viewer, object_id)
    if label is None:
        require(session, viewer, "find", [object_id], now=now)
        label = session.get_one(ObjectRow, object_id).description[:_LABEL]
    return label


def ask(
    session: Session,
    viewer: Viewer,
    *,
    scope: str,
    same: str,
    reason: str,
    now: float,
    object_id: str = "",
    label: str = "",
    objects: Collection[str] = (),
    epsilon: int | None = None,
) -> RequestRow:
    """Write a pending request down. ``same`` tells what must not be asked for twice at once; the transaction
    fails with an IntegrityError when it is. Raises :class:`TooManyRequests`."""
    _check_number(session, viewer.user_id, now)
    row = RequestRow(
        id=new_id(),
        user_id=viewer.user_id,
        object_id=object_id,
        scope=scope,
        label=label,
        reason=reason,
        state=RequestState.PENDING,
        pending_for=f"{viewer.user_id}:{same}",
        created_at=now,
        epsilon=epsilon,
    )
    session.add(row)
    session.flush()
    session.add_all(RequestObject(request_id=row.id, object_id=each) for each in set(objects))
    session.flush()
    return row


def _check_number(session: Session, user_id: str, now: float) -> None:
    """Raise :class:`TooManyRequests` for who asks without end."""
    own = select(func.count()).where(RequestRow.user_id == user_id)
    if (session.scalar(own.where(RequestRow.state == RequestState.PENDING)) or 0) >= MOST_PENDING:
        raise TooManyRequests(f"{MOST_PENDING} requests of yours are pending already")
    if (session.scalar(own.where(RequestRow.created_at > now - 86_400)) or 0) >= MOST_A_DAY:
        raise TooManyRequests(f"you made {MOST_A_DAY} requests within a day")


def settle(session: Session, row: RequestRow, now: float) -> list[str]:
    """What is said on a new request at once: by its author on data of their own that a plan also takes, and by
    standing rules. Returns the rules."""
    objects = objects_of(session, [row.id])[row.id] if row.scope == "plan" else []
    if any(governs(session, row.user_id, each) for each in objects):
        said = {"reviewer_id": row.user_id, "approved": True, "reason": "their own data"}
        session.add(RequestDecision(request_id=row.id, at=now, **said))
        session.flush()
    return answer(session, row, now)
