"""Whether what an approval gave is live: when a run begins, and again before anything of it leaves."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.access.grants import of_request
from grid.accounts.tables import User
from grid.governance.decisions.approval import objects_of
from grid.governance.decisions.machine import RequestState
from grid.governance.decisions.tables import RequestRow
from syft_ext.errors import Forbidden

__all__ = ["require_live", "require_still"]


def require_live(session: Session, row: RequestRow, now: float, *, used: bool = False) -> list[str]:
    """The grants of the request, one for each object that has to be asked for, all of them live. Raises
    :class:`Forbidden`; ``used``: a grant of whose last use this run is made counts."""
    if row.state != RequestState.APPROVED:
        raise Forbidden(f"this request is {row.state}, not approved", id=row.id, state=str(row.state))
    live = of_request(session, row.id, row.user_id, now=now, used=used)
    objects = objects_of(session, [row.id])[row.id]
    if live.keys() != set(objects):
        raise Forbidden("the grant that this rests on is used up, expired or revoked", id=row.id)
    return list(live.values())


def require_still(
    session: Session, request_id: str, user_id: str, grants: Collection[str], now: float
) -> None:
    """Raise :class:`Forbidden` where the approval that a run began under, or the account, ended while it ran."""
    row = session.get(RequestRow, request_id)
    enabled = select(User.id).where(User.id == user_id, User.disabled_at.is_(None))
    if row is None or session.scalar(enabled) is None:
        raise Forbidden("your account was disabled while this ran: its results stay here")
    if set(require_live(session, row, now, used=True)) != set(grants):
        raise Forbidden("this was revoked while it ran: its results stay here", id=row.id)
