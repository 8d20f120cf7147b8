"""A training's review: asked for when its definition is complete, and what follows from what is decided.

A word is for exactly one definition, by its digest. It is given at the desk (:mod:`grid.governance`), as on other
requests; what follows happens in the transaction in which it is given.
"""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.access.policy import current_policy
from grid.accounts.powers import OWNER, acting_flags
from grid.accounts.tables import Role, User
from grid.federated.cycles.lifecycle import Lifecycle
from grid.federated.hosting.training_definitions import TrainingDefinitions
from grid.federated.state.consent_tables import TrainingReviewRow
from grid.federated.state.machines import training as trainings
from grid.federated.state.store import TrainingStore
from grid.federated.state.tables import TrainingProcess
from grid.governance.decisions.events import TrainingRequestDecided
from grid.governance.decisions.machine import RequestState
from grid.governance.requests.manager import RequestManager
from grid.node.events import EventBus
from grid.storage.sql.followed import FollowedTransaction
from syft_ext.errors import Conflict, Forbidden
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.training_reviews import (
    DefinitionFacts,
    ReviewState,
    TrainingFacts,
    TrainingReview,
    content_digest,
    definition_digest,
)
from syft_ext.tensors import Layout

__all__ = ["REVIEW", "TrainingReviews", "review_of"]

HOSTS = "can_host_trainings"
_GIVEN: frozenset[str] = frozenset({"own", "open", "approved"})
"""Where a review stands of a training that may run."""


REVIEW = [each.label(f"review_{each.name}") for each in TrainingReviewRow.__table__.c]
"""The columns of a review beside those of its training, for a query that joins them."""


def review_of(row: Any) -> TrainingReview:
    """The review in a row with the columns :data:`REVIEW`; there may be none."""
    if row.review_state is None:
        return TrainingReview()
    return TrainingReview(
        state=row.review_state,
        digest=row.review_digest,
        reviewers=row.review_reviewers,
        reviewer_count=len(row.review_reviewers),
        request_id=row.review_request_id,
        at=row.review_at,
        reason=row.review_reason,
    )


class TrainingReviews:
    """Begins trainings that have the word that they need, and ends those that lose it."""

    def __init__(
        self,
        store: TrainingStore,
        bus: EventBus,
        definitions: TrainingDefinitions,
        lifecycle: Lifecycle,
        desk: RequestManager,
    ) -> None:
        self._store, self._definitions, self._lifecycle, self._desk = store, definitions, lifecycle, desk
        bus.subscribe(TrainingRequestDecided, self._decided)

    # -- asked --------------------------------------------------------------------------------------

    def submit(self, transaction: FollowedTransaction, process_id: str, layout: Layout, reason: str) -> None:
        """The training has its model: begin it if its host decides that here, else ask.

        Standing rules may answer at once, and then it runs, or is over, when this returns.
        """
        session = transaction.session
        facts = self._definitions.facts(session, process_id)
        digest = definition_digest(facts)
        owner = self._definitions.get(process_id).owner
        state = _own_word(session, current_policy(session), owner)
        self._write(session, process_id, digest, state)
        event = trainings.TrainingEvent.SUBMIT if state == "pending" else trainings.TrainingEvent.START
        with self._store.within(transaction, process_id) as unit:
            self._lifecycle.process(unit, event)
        if state == "pending":
            asked = _facts(process_id, facts, digest, layout)
            self._desk.submit_training(transaction, owner, asked, reason)

    def _write(
        self, session: Session, process_id: str, digest: str, state: ReviewState, *reviewers: str
    ) -> None:
        session.add(
            TrainingReviewRow(
                process_id=process_id,
                digest=digest,
                state=state,
                reviewers=list(reviewers),
                request_id="",
                reason="",
                at=self._store.clock.now(),
            )
        )
        session.flush()

    # -- decided ------------------------------------------------------------------------------------

    def _decided(self, event: TrainingRequestDecided) -> None:
        session = event.transaction.session
        row = session.get(TrainingReviewRow, event.process_id, with_for_update=True)
        if row is None:
            raise Conflict("this training is not there any more", id=event.process_id)
        if event.state is RequestState.PENDING:
            row.request_id = event.request_id
            return
        if event.state is RequestState.APPROVED:
            self._check(session, row, event)
        row.state, row.at, row.reason = str(event.state), self._store.clock.now(), event.reason
        row.reviewers = [] if event.state is RequestState.WITHDRAWN else event.people
        with self._store.within(event.transaction, event.process_id) as unit:
            status = trainings.TrainingStatus(unit.process.status)
            if event.state is RequestState.APPROVED:
                self._lifecycle.process(unit, trainings.TrainingEvent.START)
            elif status not in trainings.TERMINAL:
                self._lifecycle.process(unit, trainings.TrainingEvent.CANCEL, _why(event))

    def _check(self, session: Session, row: TrainingReviewRow, event: TrainingRequestDecided) -> None:
        """Compare and set: what is approved is what was asked for, and what would run."""
        stored = definition_digest(self._definitions.facts(session, event.process_id))
        if not stored == row.digest == event.digest:
            raise Conflict(
                "the training is not what this request asks for",
                id=event.process_id,
                reason="definition-changed",
            )
        owner = self._definitions.get(event.process_id).owner
        if session.scalar(select(User.id).where(User.id == owner, User.disabled_at.is_(None))) is None:
            raise Conflict("the account of this training's host is disabled", id=event.process_id)

    # -- without the desk ---------------------------------------------------------------------------

    def cancel(self, transaction: FollowedTransaction, process_id: str, by: str, reason: str) -> None:
        """End a training, and its request if one is pending. Raises :class:`Conflict` when it has ended."""
        if self._desk.end_training(transaction, process_id, by, reason):
            return
        with self._store.within(transaction, process_id) as unit:
            waited = unit.process.status == trainings.TrainingStatus.WAITING
            self._lifecycle.process(unit, trainings.TrainingEvent.CANCEL, reason)
        row = transaction.session.get(TrainingReviewRow, process_id)
        if waited and row is not None:  # its request is gone with the account of who made it
            row.state, row.reason, row.at = "withdrawn", reason, self._store.clock.now()

    def vouch(self, transaction: FollowedTransaction, process_id: str, by: str) -> None:
        """Give a manager's word on a training that was hosted before there were reviews, and that they resume.

        Raises :class:`Forbidden` where nobody gave one, and ``by`` (an e-mail address) is ""; :class:`Conflict`
        where it was denied, or taken back.
        """
        session = transaction.session
        status = session.scalar(select(TrainingProcess.status).where(TrainingProcess.id == process_id))
        row = session.get(TrainingReviewRow, process_id)
        if (
            row is not None and row.state not in _GIVEN
        ):  # it may have been taken back since the training failed
            raise Conflict(f"nobody's word stands for this training: it is {row.state}", id=process_id)
        if row is not None or status not in (
            trainings.TrainingStatus.PAUSED,
            trainings.TrainingStatus.FAILED,
        ):
            return
        if not by:
            raise Forbidden("nobody has reviewed this training: whoever manages this site may resume it")
        if current_policy(session).required_approvals > 1:
            raise Conflict("nobody has reviewed this training, and one word is not enough: host it anew")
        digest = definition_digest(self._definitions.facts(session, process_id))
        self._write(session, process_id, digest, "approved", by)


def _own_word(session: Session, policy: SitePolicy, owner: str) -> ReviewState:
    """Whether the host needs anybody's word: "pending" if so."""
    role = session.scalar(select(Role.name).join(User, User.role_id == Role.id).where(User.id == owner))
    if role == OWNER:
        return "own"
    if policy.trainings == "open":
        return "open"
    if policy.trainings == "trusted-users" and HOSTS in acting_flags(session, owner):
        return "open"
    return "pending"


def _facts(process_id: str, facts: DefinitionFacts, digest: str, layout: Layout) -> TrainingFacts:
    return TrainingFacts(
        process_id=process_id,
        name=facts.name,
        version=facts.version,
        digest=digest,
        content=content_digest(facts),
        plans=facts.plans,
        protocols=facts.protocols,
        averaging_plan=facts.averaging_plan,
        parameters=sum(math.prod(spec.shape) for spec in layout.specs),
    )


def _why(event: TrainingRequestDecided) -> str:
    """What a training's page says of why it ended."""
    what = {RequestState.REVOKED: "its approval was revoked", RequestState.DENIED: "denied"}
    said = what.get(event.state, "withdrawn")
    by = f" by {', '.join(event.people)}" if event.people else ""
    return f"{said}{by}{event.reason and f': {event.reason}'}"[:500]
