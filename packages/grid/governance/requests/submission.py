"""How a request comes to be: written down, and answered at once where a standing rule says so."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session, aliased

from grid.access.decision import governs, require
from grid.access.viewer import Viewer
from grid.catalogue.datasets import shown_as
from grid.governance.decisions.approval import objects_of
from grid.governance.decisions.machine import RequestState
from grid.governance.decisions.tables import PlanRequest, RequestDecision, RequestObject, RequestRow
from grid.governance.rules.answering import answer
from grid.quotas.enforcing import require_fit
from grid.quotas.usage import OWNER, Kind, register_kind
from grid.storage.objects.tables import BlobRow, ObjectRow
from syft_ext.errors import TooManyRequests
from syft_ext.ids import new_id

__all__ = ["ask", "label_of", "settle"]

_LABEL = 500
_VALUES = aliased(BlobRow)
register_kind(
    Kind.of(
        "plans",
        select(
            func.coalesce(func.sum(BlobRow.size + func.coalesce(_VALUES.size, 0)), 0).label("size"),
            func.count().label("number"),
        )
        .select_from(PlanRequest)
        .join(RequestRow, RequestRow.id == PlanRequest.request_id)
        .join(BlobRow, BlobRow.digest == PlanRequest.plan_digest)
        .outerjoin(_VALUES, _VALUES.digest == PlanRequest.values_digest)
        .where(RequestRow.user_id == bindparam(OWNER)),
        size="plan_bytes",
    )
)
register_kind(
    Kind.of(
        "pending_requests",
        select(func.count().label("number")).where(
            RequestRow.user_id == bindparam(OWNER), RequestRow.state == str(RequestState.PENDING)
        ),
    )
)
MOST_A_DAY = 300
"""Requests of one user: anybody may make them. How many may be pending is a quota of theirs."""


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
    require_fit(session, viewer.user_id, "pending_requests", number=1)
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
    if (session.scalar(own.where(RequestRow.created_at > now - 86_400)) or 0) >= MOST_A_DAY:
        raise TooManyRequests(f"you made {MOST_A_DAY} requests within a day")


def settle(session: Session, row: RequestRow, now: float) -> list[str]:
    """What is said on a new request at once: by its author on data of their own that a plan also takes, or that
    are compared with others', and by standing rules. Returns the rules."""
    objects = objects_of(session, [row.id])[row.id] if row.scope in ("plan", "intersection") else []
    if any(governs(session, row.user_id, each) for each in objects):
        said = {"reviewer_id": row.user_id, "approved": True, "reason": "their own data"}
        session.add(RequestDecision(request_id=row.id, at=now, **said))
        session.flush()
    return answer(session, row, now)
