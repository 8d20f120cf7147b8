"""Requests: made, listed and decided. Whose word counts is :mod:`grid.governance.decisions.approval`'s."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec
from sqlalchemy import delete, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.access.conditions import governed
from grid.access.decision import governs
from grid.access.viewer import Viewer
from grid.governance.decisions.approval import approve, covered, objects_of, revoke
from grid.governance.decisions.followers import tell
from grid.governance.decisions.grants import ReviewerLoader
from grid.governance.decisions.machine import RequestEvent, RequestState, decide
from grid.governance.decisions.tables import (
    PlanRequest,
    RequestDecision,
    RequestObject,
    RequestRow,
    TrainingRequest,
)
from grid.governance.decisions.views import views
from grid.governance.requests.submission import ask, label_of, settle
from grid.node.events import EventBus
from grid.privacy.budget.service import units_of
from grid.quotas.enforcing import require_room
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.database import Database
from grid.storage.sql.followed import FollowedTransaction, followed
from syft_ext.clock import Clock
from syft_ext.errors import BadRequest, Conflict, Forbidden, NotFound
from syft_ext.messages import requests as m
from syft_ext.messages.training_reviews import TrainingFacts

__all__ = ["RequestManager", "visible_request"]

_LOOK_AGAIN = 1.0  # seconds: another replica's decisions are seen no later

Ask = Callable[[Session, Viewer, float], RequestRow]


class RequestManager:
    """``load_reviewer`` arguments are asked inside the transaction, so that rights are those of the moment."""

    def __init__(self, db: Database, clock: Clock, bus: EventBus) -> None:
        self._db = db
        self._clock = clock
        self._bus = bus
        self._decided = threading.Condition()

    # -- ask ----------------------------------------------------------------------------------------

    def create(self, load_reviewer: ReviewerLoader, message: m.CreateRequest) -> m.RequestView:
        """Ask for an object that the caller may find, in one scope; raises as :meth:`asked`."""

        def for_object(session: Session, viewer: Viewer, now: float) -> RequestRow:
            return ask(
                session,
                viewer,
                scope=message.scope,
                same=f"{message.object_id}:{message.scope}",
                object_id=message.object_id,
                label=label_of(session, viewer, message.object_id, now),
                objects=[message.object_id],
                reason=message.reason,
                now=now,
            )

        return self.asked(load_reviewer, for_object)

    def create_budget(self, load_reviewer: ReviewerLoader, message: m.CreateBudgetRequest) -> m.RequestView:
        """Ask for privacy budget; raises as :meth:`asked`."""

        def for_budget(session: Session, viewer: Viewer, now: float) -> RequestRow:
            return ask(
                session,
                viewer,
                scope="budget",
                same="budget",
                reason=message.reason,
                epsilon=units_of(message.epsilon),
                now=now,
            )

        return self.asked(load_reviewer, for_budget)

    def asked(self, load_reviewer: ReviewerLoader, make: Ask) -> m.RequestView:
        """The request that ``make`` writes down, after the standing rules have spoken.

        Raises :class:`Conflict` when one for the same is pending.
        """
        now = self._clock.now()
        try:
            with self._db.transaction() as session:
                viewer, _ = load_reviewer(session)
                row = make(session, viewer, now)
                settle(session, row, now)
                require_room(session, viewer.user_id, "pending_requests")
                return views(session, [row], viewer)[0]
        except IntegrityError as error:
            raise Conflict("a request of yours for the same is pending") from error

    def withdraw(
        self, load_reviewer: ReviewerLoader, request_id: str, dropped: Callable[[list[str], str], None]
    ) -> m.RequestView:
        """Take back a pending request of one's own; the bytes of a plan go with it. Of one that was denied or
        revoked they go too, and it stays what it is.

        ``dropped`` is given the digests of contents that this no longer refers to, and whose they were, once that
        is committed.

        Raises :class:`Forbidden` for another's, :class:`Conflict` when it is approved, or has nothing to take.
        """
        with followed(self._db) as transaction:
            session = transaction.session
            viewer, reviewer = load_reviewer(session)
            row = visible_request(session, viewer, reviewer, request_id, lock=True)
            if row.user_id != viewer.user_id:
                raise Forbidden("this request is not yours", id=request_id)
            kept = session.get(PlanRequest, row.id)
            over = kept is not None and row.state in (RequestState.DENIED, RequestState.REVOKED)
            state = RequestState(
                row.state if over else decide(RequestState(row.state), RequestEvent.WITHDRAW)
            )
            if kept is not None:
                contents = [each for each in (kept.plan_digest, kept.values_digest) if each]
                session.execute(delete(PlanRequest).where(PlanRequest.request_id == row.id))
                transaction.after_commit(lambda: dropped(contents, viewer.user_id))
            view = self._move(transaction, row, state, viewer)
        self._wake()
        return view

    # -- trainings ----------------------------------------------------------------------------------

    def submit_training(
        self, transaction: FollowedTransaction, user_id: str, facts: TrainingFacts, reason: str
    ) -> None:
        """Ask, within ``transaction``, whether a training may run; standing rules answer at once.

        Raises :class:`TooManyRequests`.
        """
        session, now = transaction.session, self._clock.now()
        viewer = Viewer(user_id, frozenset())
        row = ask(
            session,
            viewer,
            scope="training",
            same=f"training:{facts.process_id}",
            label=f"{facts.name} {facts.version}",
            reason=reason,
            now=now,
        )
        subject = TrainingRequest(
            request_id=row.id,
            process_id=facts.process_id,
            digest=facts.digest,
            facts=msgspec.to_builtins(facts),
        )
        session.add(subject)
        session.flush()
        tell(self._bus, transaction, row, [user_id])
        settle(session, row, now)
        if row.state != RequestState.PENDING:
            tell(self._bus, transaction, row, [])
        transaction.after_commit(self._wake)

    def end_training(self, transaction: FollowedTransaction, process_id: str, by: str, reason: str) -> bool:
        """Withdraw the pending request of a training that is given up; False where there is none."""
        session = transaction.session
        query = select(TrainingRequest.request_id).where(TrainingRequest.process_id == process_id)
        row = session.get(RequestRow, session.scalar(query) or "", with_for_update=True)
        if row is None or row.state != RequestState.PENDING:
            return False
        row.state, row.pending_for = decide(RequestState(row.state), RequestEvent.WITHDRAW), None
        tell(self._bus, transaction, row, [by], reason)
        transaction.after_commit(self._wake)
        return True

    # -- look ---------------------------------------------------------------------------------------

    def all(self, load_reviewer: ReviewerLoader, message: m.ListRequests) -> list[m.RequestView]:
        """The caller's own, those on objects that they govern, and for a reviewer all; newest first."""
        with self._db.read() as session:
            viewer, reviewer = load_reviewer(session)
            query = select(RequestRow)
            if not reviewer:
                own = select(ObjectRow.id).where(governed(viewer.user_id))
                about = select(RequestObject.request_id).where(RequestObject.object_id.in_(own))
                query = query.where(or_(RequestRow.user_id == viewer.user_id, RequestRow.id.in_(about)))
            if message.state:
                query = query.where(RequestRow.state == message.state)
            page = query.order_by(RequestRow.created_at.desc(), RequestRow.id)
            rows = session.scalars(page.limit(message.limit).offset(message.offset)).all()
            return views(session, rows, viewer)

    def get(self, load_reviewer: ReviewerLoader, request_id: str, wait: float) -> m.RequestView:
        """One request, as soon as it is decided, or as it is after ``wait`` seconds. Raises :class:`NotFound`."""
        deadline = time.monotonic() + wait
        while True:
            with self._db.read() as session:
                viewer, reviewer = load_reviewer(session)
                row = visible_request(session, viewer, reviewer, request_id)
                (view,) = views(session, [row], viewer)
            left = deadline - time.monotonic()
            if view.state != RequestState.PENDING or left <= 0:
                return view
            with self._decided:
                self._decided.wait(min(left, _LOOK_AGAIN))

    # -- decide -------------------------------------------------------------------------------------

    def approve(self, load_reviewer: ReviewerLoader, message: m.ApproveRequest) -> m.RequestView:
        """Also counts the approvals that were there, of those who could still give them; a reviewer who
        decides again changes their conditions."""
        now = self._clock.now()
        try:
            with followed(self._db) as transaction:
                session = transaction.session
                viewer, row = self._reviewed(session, load_reviewer, message.request_id)
                _check_conditions(row, message)
                decide(RequestState(row.state), RequestEvent.APPROVE)
                said = RequestDecision(
                    request_id=row.id,
                    reviewer_id=viewer.user_id,
                    approved=True,
                    reason=message.reason,
                    at=now,
                    expires_in=message.expires_in,
                    uses=message.uses,
                    max_output_bytes=message.max_output_bytes,
                    epsilon=None if message.epsilon is None else units_of(message.epsilon),
                    rule_id=None,
                )
                session.merge(said)
                session.flush()
                state = approve(session, row, viewer.user_id, now)
                view = self._move(transaction, row, state, viewer, message.reason)
        except IntegrityError as error:
            raise Conflict("something else was decided at the same time; look again") from error
        self._wake()
        return view

    def deny(self, load_reviewer: ReviewerLoader, message: m.DenyRequest) -> m.RequestView:
        """One reviewer's word is enough. Raises :class:`Conflict` when it is not pending any more."""
        with followed(self._db) as transaction:
            session = transaction.session
            viewer, row = self._reviewed(session, load_reviewer, message.request_id)
            state = decide(RequestState(row.state), RequestEvent.DENY)
            said = RequestDecision(
                request_id=row.id,
                reviewer_id=viewer.user_id,
                approved=False,
                reason=message.reason,
                at=self._clock.now(),
                rule_id=None,
            )
            session.merge(said)
            view = self._move(transaction, row, state, viewer, message.reason)
        self._wake()
        return view

    def revoke(self, load_reviewer: ReviewerLoader, request_id: str) -> m.RequestView:
        """Take the grants back that it gave. Raises :class:`Conflict` unless it is approved."""
        with followed(self._db) as transaction:
            session = transaction.session
            viewer, row = self._reviewed(session, load_reviewer, request_id)
            state = decide(RequestState(row.state), RequestEvent.REVOKE)
            revoke(session, row, viewer.user_id, self._clock.now())
            return self._move(transaction, row, state, viewer)

    def _reviewed(
        self, session: Session, load_reviewer: ReviewerLoader, request_id: str
    ) -> tuple[Viewer, RequestRow]:
        """The request, locked, for somebody who may decide on it (on one of its objects at least)."""
        viewer, reviewer = load_reviewer(session)
        row = visible_request(session, viewer, reviewer, request_id, lock=True)
        if not covered(session, row, viewer.user_id, triages=reviewer):
            if row.user_id == viewer.user_id and reviewer:
                raise Forbidden("nobody decides on their own request", id=request_id)
            raise Forbidden("this request is not yours to decide", id=request_id)
        return viewer, row

    def _move(
        self,
        transaction: FollowedTransaction,
        row: RequestRow,
        state: RequestState,
        viewer: Viewer,
        reason: str = "",
    ) -> m.RequestView:
        session, before = transaction.session, row.state
        row.state = state
        if state is not RequestState.PENDING:
            row.pending_for = None
        session.flush()
        if state != before:
            tell(
                self._bus,
                transaction,
                row,
                [] if state is RequestState.APPROVED else [viewer.user_id],
                reason,
            )
        return views(session, [row], viewer)[0]

    def _wake(self) -> None:
        with self._decided:
            self._decided.notify_all()


def _check_conditions(row: RequestRow, message: m.ApproveRequest) -> None:
    """Raise :class:`BadRequest` for conditions that nobody would hold a training to."""
    if row.scope != "training":
        return
    for name in ("expires_in", "uses", "max_output_bytes", "epsilon"):
        if getattr(message, name) is not None:
            raise BadRequest(f"the approval of a training has no {name}: revoke it to end it", field=name)


def visible_request(
    session: Session, viewer: Viewer, reviewer: bool, request_id: str, *, lock: bool = False
) -> RequestRow:
    """The request, for its author, whoever governs one of its objects, and reviewers; else NotFound."""
    row = session.get(RequestRow, request_id, with_for_update=lock or None)
    if row is not None and (
        reviewer
        or row.user_id == viewer.user_id
        or any(governs(session, viewer.user_id, each) for each in objects_of(session, [row.id])[row.id])
    ):
        return row
    raise NotFound("there is no such request", id=request_id)
