"""Requests: asking, deciding, and the grant that an approval makes."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.accounts.powers import flags_of_users
from grid.accounts.tables import User
from grid.catalogue.access import Viewer
from grid.catalogue.datasets import shown_as
from grid.governance.access import governed, governs, require
from grid.governance.grants import Look
from grid.governance.machine import Event, State, decide
from grid.governance.policy import current_policy
from grid.governance.request_tables import RequestDecision, RequestRow
from grid.governance.tables import Grant
from grid.storage.database import Database
from grid.storage.tables import ObjectRow
from syft_ext.clock import Clock
from syft_ext.errors import Conflict, Forbidden, NotFound
from syft_ext.ids import new_id
from syft_ext.messages import requests as m

__all__ = ["RequestManager"]

_LOOK_AGAIN = 1.0  # seconds: another replica's decisions are seen no later


class RequestManager:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._decided = threading.Condition()

    # -- ask ----------------------------------------------------------------------------------------

    def create(self, look: Look, message: m.CreateRequest) -> m.RequestView:
        now = self._clock.now()
        try:
            with self._db.transaction() as session:
                viewer, _ = look(session)
                label = shown_as(session, viewer, message.object_id)
                if label is None:
                    require(session, viewer, "find", [message.object_id], now=now)
                    label = session.get_one(ObjectRow, message.object_id).description[:500]
                row = RequestRow(
                    id=new_id(),
                    user_id=viewer.user_id,
                    object_id=message.object_id,
                    scope=message.scope,
                    label=label,
                    reason=message.reason,
                    state=State.PENDING,
                    pending_for=f"{viewer.user_id}:{message.object_id}:{message.scope}",
                    created_at=now,
                )
                session.add(row)
                session.flush()
                return _views(session, [row])[0]
        except IntegrityError as error:
            raise Conflict("a request of yours for the same is pending") from error

    def withdraw(self, look: Look, request_id: str) -> m.RequestView:
        with self._db.transaction() as session:
            viewer, reviewer = look(session)
            row = _visible(session, viewer, reviewer, request_id, lock=True)
            if row.user_id != viewer.user_id:
                raise Forbidden("this request is not yours", id=request_id)
            view = self._move(session, row, decide(State(row.state), Event.WITHDRAW))
        self._wake()
        return view

    # -- look ---------------------------------------------------------------------------------------

    def all(self, look: Look, message: m.ListRequests) -> list[m.RequestView]:
        with self._db.read() as session:
            viewer, reviewer = look(session)
            query = select(RequestRow)
            if not reviewer:
                own = select(ObjectRow.id).where(governed(viewer.user_id))
                mine = or_(RequestRow.user_id == viewer.user_id, RequestRow.object_id.in_(own))
                query = query.where(mine)
            if message.state:
                query = query.where(RequestRow.state == message.state)
            page = query.order_by(RequestRow.created_at.desc(), RequestRow.id)
            return _views(session, session.scalars(page.limit(message.limit).offset(message.offset)).all())

    def get(self, look: Look, request_id: str, wait: float) -> m.RequestView:
        deadline = time.monotonic() + wait
        while True:
            with self._db.read() as session:
                viewer, reviewer = look(session)
                (view,) = _views(session, [_visible(session, viewer, reviewer, request_id)])
            left = deadline - time.monotonic()
            if view.state != State.PENDING or left <= 0:
                return view
            with self._decided:
                self._decided.wait(min(left, _LOOK_AGAIN))

    # -- decide -------------------------------------------------------------------------------------

    def approve(self, look: Look, message: m.ApproveRequest) -> m.RequestView:
        """Also counts the approvals that were there, of those who could still give them; a reviewer who
        repeats himself changes his conditions."""
        now = self._clock.now()
        with self._db.transaction() as session:
            viewer, row = self._reviewed(session, look, message.request_id)
            said = RequestDecision(
                request_id=row.id,
                reviewer_id=viewer.user_id,
                approved=True,
                reason=message.reason,
                at=now,
                expires_in=message.expires_in,
                uses=message.uses,
                max_output_bytes=message.max_output_bytes,
            )
            state = State(row.state)
            decide(state, Event.APPROVE)
            if session.get(ObjectRow, row.object_id) is None:
                raise Conflict("the object that this request is for is gone", id=row.object_id)
            session.merge(said)
            session.flush()
            decisions = _standing(session, row)
            state = decide(state, Event.APPROVE, approvals=len(decisions), needed=_needed(session))
            if state is State.APPROVED:
                grant = _grant(row, decisions, viewer.user_id, now)
                session.add(grant)
                row.grant_id = grant.id
            view = self._move(session, row, state)
        self._wake()
        return view

    def deny(self, look: Look, message: m.DenyRequest) -> m.RequestView:
        with self._db.transaction() as session:
            viewer, row = self._reviewed(session, look, message.request_id)
            state = decide(State(row.state), Event.DENY)
            said = RequestDecision(
                request_id=row.id,
                reviewer_id=viewer.user_id,
                approved=False,
                reason=message.reason,
                at=self._clock.now(),
            )
            session.merge(said)
            view = self._move(session, row, state)
        self._wake()
        return view

    def revoke(self, look: Look, request_id: str) -> m.RequestView:
        with self._db.transaction() as session:
            viewer, row = self._reviewed(session, look, request_id)
            state = decide(State(row.state), Event.REVOKE)
            grant = session.get(Grant, row.grant_id, with_for_update=True) if row.grant_id else None
            if grant is not None and grant.revoked_at is None:
                grant.revoked_at, grant.revoked_by = self._clock.now(), viewer.user_id
            return self._move(session, row, state)

    def _reviewed(self, session: Session, look: Look, request_id: str) -> tuple[Viewer, RequestRow]:
        """The request, locked, for somebody who may decide on it."""
        viewer, reviewer = look(session)
        row = _visible(session, viewer, reviewer, request_id, lock=True)
        own = governs(session, viewer.user_id, row.object_id)
        if not (own or reviewer):
            raise Forbidden("this request is not yours to decide", id=request_id)
        if row.user_id == viewer.user_id and not own:
            raise Forbidden("nobody decides on his own request", id=request_id)
        return viewer, row

    @staticmethod
    def _move(session: Session, row: RequestRow, state: State) -> m.RequestView:
        row.state = state
        if state is not State.PENDING:
            row.pending_for = None
        session.flush()
        return _views(session, [row])[0]

    def _wake(self) -> None:
        with self._decided:
            self._decided.notify_all()


def _visible(
    session: Session, viewer: Viewer, reviewer: bool, request_id: str, *, lock: bool = False
) -> RequestRow:
    row = session.get(RequestRow, request_id, with_for_update=lock or None)
    if row is not None and (
        reviewer or row.user_id == viewer.user_id or governs(session, viewer.user_id, row.object_id)
    ):
        return row
    raise NotFound("there is no such request", id=request_id)


def _decisions(session: Session, request_ids: Collection[str]) -> dict[str, list[RequestDecision]]:
    query = select(RequestDecision).where(RequestDecision.request_id.in_(request_ids))
    found: dict[str, list[RequestDecision]] = defaultdict(list)
    for said in session.scalars(query.order_by(RequestDecision.at, RequestDecision.reviewer_id)):
        found[said.request_id].append(said)
    return found


def _standing(session: Session, row: RequestRow) -> list[RequestDecision]:
    """What the reviewers said who could say it now, too: who was disabled, lost the permission or no longer
    owns the data does not count any more."""
    said = _decisions(session, [row.id])[row.id]
    ids = [each.reviewer_id for each in said]
    enabled = set(session.scalars(select(User.id).where(User.id.in_(ids), User.disabled_at.is_(None))))
    flags = flags_of_users(session, enabled)

    def counts(reviewer_id: str) -> bool:
        if reviewer_id not in enabled:
            return False
        triages = "can_triage_requests" in flags[reviewer_id] and reviewer_id != row.user_id
        return triages or governs(session, reviewer_id, row.object_id)

    return [each for each in said if counts(each.reviewer_id)]


def _needed(session: Session) -> int:
    return current_policy(session).required_approvals


def _grant(row: RequestRow, decisions: Iterable[RequestDecision], giver: str, now: float) -> Grant:
    """The strictest of each of the reviewers' conditions."""
    said = list(decisions)
    ends = [each.at + each.expires_in for each in said if each.expires_in is not None]
    uses = [each.uses for each in said if each.uses is not None]
    caps = [each.max_output_bytes for each in said if each.max_output_bytes is not None]
    return Grant(
        id=new_id(),
        scope=row.scope,
        user_id=row.user_id,
        object_id=row.object_id,
        request_id=row.id,
        granted_by=giver,
        created_at=now,
        expires_at=min(ends, default=None),
        uses_left=min(uses, default=None),
        max_output_bytes=min(caps, default=None),
    )


def _views(session: Session, rows: Sequence[RequestRow]) -> list[m.RequestView]:
    """With three queries, however many there are."""
    decisions = _decisions(session, [row.id for row in rows])
    people = {row.user_id for row in rows} | {
        each.reviewer_id for said in decisions.values() for each in said
    }
    names = {
        user.id: user.email
        for user in session.execute(select(User.id, User.email).where(User.id.in_(people)))
    }
    needed = _needed(session)
    return [_view(row, decisions[row.id], names, needed) for row in rows]


def _view(
    row: RequestRow, decisions: Iterable[RequestDecision], names: dict[str, str], needed: int
) -> m.RequestView:
    return m.RequestView(
        id=row.id,
        user_id=row.user_id,
        user=names.get(row.user_id, ""),
        object_id=row.object_id,
        object=row.label,
        scope=row.scope,
        reason=row.reason,
        state=row.state,
        created_at=row.created_at,
        needed=needed,
        decisions=[
            m.DecisionView(
                reviewer=each.reviewer_id,
                name=names.get(each.reviewer_id, ""),
                approved=each.approved,
                reason=each.reason,
                at=each.at,
            )
            for each in decisions
        ],
        grant_id=row.grant_id,
    )
