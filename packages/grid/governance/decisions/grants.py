"""Grants: giving them, listing them, taking them back."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from grid.access.decision import governed, governs
from grid.access.policy import current_policy
from grid.access.tables import Grant
from grid.access.viewer import Viewer
from grid.accounts.tables import User
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import Forbidden, NotFound
from syft_ext.ids import new_id
from syft_ext.messages.grants import CreateGrant, GrantView, ListGrants

__all__ = ["GrantManager"]

Look = Callable[[Session], tuple[Viewer, bool]]


class GrantManager:
    """``look`` arguments give the viewer, and whether they may triage requests, as of the transaction."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def create(self, look: Look, message: CreateGrant) -> GrantView:
        now = self._clock.now()
        with self._db.transaction() as session:
            viewer, reviewer = look(session)
            self._check_giver(session, viewer, reviewer, message.object_id, message.user_id)
            if session.get(User, message.user_id) is None:
                raise NotFound("there is no such user", id=message.user_id)
            grant = Grant(
                id=new_id(),
                scope=message.scope,
                user_id=message.user_id,
                object_id=message.object_id,
                granted_by=viewer.user_id,
                created_at=now,
                expires_at=None if message.expires_in is None else now + message.expires_in,
                uses_left=message.uses,
                max_output_bytes=message.max_output_bytes,
            )
            session.add(grant)
            session.flush()
            return _view(grant, now)

    def all(self, look: Look, message: ListGrants) -> list[GrantView]:
        with self._db.read() as session:
            viewer, reviewer = look(session)
            query = select(Grant)
            if not reviewer:
                own = select(ObjectRow.id).where(governed(viewer.user_id))
                query = query.where(or_(Grant.user_id == viewer.user_id, Grant.object_id.in_(own)))
            if message.object_id:
                query = query.where(Grant.object_id == message.object_id)
            page = query.order_by(Grant.created_at.desc(), Grant.id)
            rows = session.scalars(page.limit(message.limit).offset(message.offset))
            return [_view(grant, self._clock.now()) for grant in rows]

    def revoke(self, look: Look, grant_id: str) -> GrantView:
        """Revoking twice changes nothing more."""
        now = self._clock.now()
        with self._db.transaction() as session:
            viewer, reviewer = look(session)
            grant = session.get(Grant, grant_id, with_for_update=True)
            mine = grant is not None and grant.user_id == viewer.user_id
            decides = grant is not None and (reviewer or governs(session, viewer.user_id, grant.object_id))
            if grant is None or not (mine or decides):
                raise NotFound("there is no such grant", id=grant_id)
            if not decides:
                raise Forbidden("this grant is not yours to revoke", id=grant_id)
            if grant.revoked_at is None:
                grant.revoked_at, grant.revoked_by = now, viewer.user_id
            session.flush()
            return _view(grant, now)

    @staticmethod
    def _check_giver(session: Session, viewer: Viewer, reviewer: bool, object_id: str, user_id: str) -> None:
        if governs(session, viewer.user_id, object_id):
            return
        if not reviewer or session.get(ObjectRow, object_id) is None:
            raise NotFound("there is no such object of yours", id=object_id)
        if user_id == viewer.user_id:
            raise Forbidden("nobody grants themselves what another owns", id=object_id)
        needed = current_policy(session).required_approvals
        if needed > 1:
            raise Forbidden(
                f"the site's policy asks for {needed} reviewers: approve a request instead", needed=needed
            )


def _view(grant: Grant, now: float) -> GrantView:
    if grant.revoked_at is not None:
        state = "revoked"
    elif grant.expires_at is not None and grant.expires_at <= now:
        state = "expired"
    else:
        state = "used up" if grant.uses_left == 0 else "live"
    return GrantView(
        id=grant.id,
        scope=grant.scope,
        object_id=grant.object_id,
        user_id=grant.user_id,
        granted_by=grant.granted_by,
        created_at=grant.created_at,
        expires_at=grant.expires_at,
        uses_left=grant.uses_left,
        max_output_bytes=grant.max_output_bytes,
        revoked_at=grant.revoked_at,
        state=state,
        plan_id=grant.plan_id,
        inputs=[_given(name, to) for name, to in grant.inputs.items()],
    )


def _given(name: str, to: dict[str, str]) -> str:
    """As in a request: ``input=object_id`` or ``input=object_id:tensor``."""
    return f"{name}={to['object_id']}" + (f":{to['tensor']}" if to["tensor"] else "")
