"""Grants: giving them, listing them, taking them back."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from grid.access.decision import governs
from grid.access.grants import give, grant_view, locked, shown_to, take_back
from grid.access.policy import current_policy
from grid.access.viewer import Viewer
from grid.accounts.tables import User
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import Forbidden, NotFound
from syft_ext.messages.grants import CreateGrant, GrantView, ListGrants

__all__ = ["GrantManager"]

ReviewerLoader = Callable[[Session], tuple[Viewer, bool]]


class GrantManager:
    """``load_reviewer`` arguments give the viewer, and whether they may triage requests, as of the transaction."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def create(self, load_reviewer: ReviewerLoader, message: CreateGrant) -> GrantView:
        """Give a grant that nobody asked for: who governs the object may, or a reviewer, but not to themselves."""
        now = self._clock.now()
        with self._db.transaction() as session:
            viewer, reviewer = load_reviewer(session)
            self._check_giver(session, viewer, reviewer, message.object_id, message.user_id)
            if session.get(User, message.user_id) is None:
                raise NotFound("there is no such user", id=message.user_id)
            grant = give(
                session,
                scope=message.scope,
                user_id=message.user_id,
                object_id=message.object_id,
                giver=viewer.user_id,
                now=now,
                expires_at=None if message.expires_in is None else now + message.expires_in,
                uses=message.uses,
                max_output_bytes=message.max_output_bytes,
            )
            session.flush()
            return grant_view(grant, now)

    def all(self, load_reviewer: ReviewerLoader, message: ListGrants) -> list[GrantView]:
        """Those that the caller holds or could have given, newest first; a reviewer sees all."""
        with self._db.read() as session:
            viewer, reviewer = load_reviewer(session)
            page = shown_to(viewer.user_id, reviewer=reviewer, object_id=message.object_id)
            rows = session.scalars(page.limit(message.limit).offset(message.offset))
            return [grant_view(grant, self._clock.now()) for grant in rows]

    def revoke(self, load_reviewer: ReviewerLoader, grant_id: str) -> GrantView:
        """Revoking twice changes nothing more."""
        now = self._clock.now()
        with self._db.transaction() as session:
            viewer, reviewer = load_reviewer(session)
            grant = locked(session, grant_id)
            mine = grant is not None and grant.user_id == viewer.user_id
            decides = grant is not None and (reviewer or governs(session, viewer.user_id, grant.object_id))
            if grant is None or not (mine or decides):
                raise NotFound("there is no such grant", id=grant_id)
            if not decides:
                raise Forbidden("this grant is not yours to revoke", id=grant_id)
            take_back(session, grant, viewer.user_id, now)
            session.flush()
            return grant_view(grant, now)

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
