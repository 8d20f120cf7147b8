"""Whether an analysis may go on: its grants were counted when it began, and still have to be good."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from grid.access.decision import allowed, require, sources_of
from grid.access.tables import Grant
from grid.access.viewer import Viewer

__all__ = ["require_still"]


def require_still(
    session: Session, viewer: Viewer, object_id: str, spent: Collection[str], *, now: float
) -> None:
    """Raise as :func:`grid.access.decision.require` unless the viewer may still have statistics of it.

    A grant that this analysis has spent a use of counts until it is revoked or expires, also when that was its
    last use: an analysis is one use, of however many rounds.
    """
    statement = select(Grant.object_id).where(
        Grant.id.in_(spent),
        Grant.user_id == viewer.user_id,
        Grant.revoked_at.is_(None),
        or_(Grant.expires_at.is_(None), Grant.expires_at > now),
    )
    covered = set(session.scalars(statement)) if spent else set()
    if object_id in covered:
        return
    if covered and object_id in allowed(session, viewer, "find", [object_id], now=now):
        sources = sources_of(session, [object_id])[object_id] - covered
        if object_id not in sources and sources <= set(allowed(session, viewer, "read", sources, now=now)):
            return
    require(session, viewer, "statistics", [object_id], now=now)
