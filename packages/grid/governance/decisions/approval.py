"""Whose word on a request counts, when there is enough of it, and what an approval gives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.access.decision import governs
from grid.access.grants import give, take_back_request
from grid.access.policy import current_policy
from grid.accounts.powers import acting_flags
from grid.accounts.tables import User
from grid.governance.decisions.machine import RequestEvent, RequestState, decide
from grid.governance.decisions.tables import (
    IntersectionRequest,
    PlanRequest,
    RequestDecision,
    RequestObject,
    RequestRow,
)
from grid.privacy.budget.service import add_budget, take_back_budget
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import Conflict

__all__ = [
    "approve",
    "check_contents",
    "covered",
    "decisions_of",
    "needed",
    "objects_of",
    "revoke",
    "standing",
]

_NOTHING = [""]  # what a request for budget or a training is about: no object, so that only reviewers decide


def needed(session: Session) -> int:
    """How many different reviewers each object of a request takes now."""
    return current_policy(session).required_approvals


def objects_of(session: Session, request_ids: Collection[str]) -> dict[str, list[str]]:
    """The objects whose owners have to agree, by request."""
    rows = select(RequestObject).where(RequestObject.request_id.in_(request_ids))
    found: dict[str, list[str]] = defaultdict(list)
    for row in session.scalars(rows.order_by(RequestObject.request_id, RequestObject.object_id)):
        found[row.request_id].append(row.object_id)
    return found


def covered(session: Session, row: RequestRow, reviewer_id: str, *, triages: bool) -> frozenset[str]:
    """The objects of the request on which this person decides: a reviewer all (of what others ask for), an
    owner those that they govern."""
    objects = objects_of(session, [row.id])[row.id] or _NOTHING
    if triages and reviewer_id != row.user_id:
        return frozenset(objects)
    return frozenset(each for each in objects if governs(session, reviewer_id, each))


def decisions_of(session: Session, request_ids: Collection[str]) -> dict[str, list[RequestDecision]]:
    """What was said, by request, in the order in which it was said."""
    query = select(RequestDecision).where(RequestDecision.request_id.in_(request_ids))
    found: dict[str, list[RequestDecision]] = defaultdict(list)
    for said in session.scalars(query.order_by(RequestDecision.at, RequestDecision.reviewer_id)):
        found[said.request_id].append(said)
    return found


def standing(session: Session, row: RequestRow) -> list[tuple[RequestDecision, frozenset[str]]]:
    """What the reviewers said who could say it now, too, and on which objects: who was disabled, lost the
    permission or no longer owns the data does not count any more."""
    said = decisions_of(session, [row.id])[row.id]
    counting = []
    for each in said:
        on = decides(session, row, each.reviewer_id)
        if on:
            counting.append((each, on))
    return counting


def decides(session: Session, row: RequestRow, reviewer_id: str) -> frozenset[str]:
    """As :func:`covered`, by what this person is and may do now."""
    enabled = select(User.id).where(User.id == reviewer_id, User.disabled_at.is_(None))
    if session.scalar(enabled) is None:
        return frozenset()
    flags = acting_flags(session, reviewer_id)
    return covered(session, row, reviewer_id, triages="can_triage_requests" in flags)


def approve(session: Session, row: RequestRow, giver: str, now: float) -> RequestState:
    """The state after an approval was written down; gives what was asked for when there are enough."""
    for object_id in objects_of(session, [row.id])[row.id]:
        if session.get(ObjectRow, object_id) is None:
            raise Conflict("an object that this request is for is gone", id=object_id)
    check_contents(session, row)
    counting = [(said, on) for said, on in standing(session, row) if said.approved]
    objects = objects_of(session, [row.id])[row.id] or _NOTHING
    fewest = min(sum(each in on for _, on in counting) for each in objects)
    state = decide(RequestState(row.state), RequestEvent.APPROVE, approvals=fewest, needed=needed(session))
    if state is RequestState.APPROVED:
        _give(session, row, [said for said, _ in counting], giver, now)
    return state


def check_contents(session: Session, row: RequestRow) -> None:
    """Raise :class:`Conflict` when a plan's inputs, or the table of an intersection, are not what they were when
    its author asked."""
    plan, pair = session.get(PlanRequest, row.id), session.get(IntersectionRequest, row.id)
    if plan is not None:
        if plan.facts["problem"]:
            raise Conflict(f"this plan cannot run on this data: {plan.facts['problem']}", id=row.id)
        for given in plan.inputs.values():
            _check_content(session, given["object_id"], given["digest"])
    if pair is not None:
        if pair.problem:
            raise Conflict(f"this table is not what the terms say: {pair.problem}", id=row.id)
        _check_content(session, pair.object_id, pair.content)


def _check_content(session: Session, object_id: str, digest: str) -> None:
    now = session.get(ObjectRow, object_id)
    if now is None:
        raise Conflict("an object that this would run on is gone", id=object_id)
    if now.blob_digest != digest:
        raise Conflict(
            "the data changed since this was asked for: withdraw the request, and ask again",
            id=object_id,
            reason="content-changed",
        )


def revoke(session: Session, row: RequestRow, by: str, now: float) -> None:
    """Take back what an approval gave."""
    take_back_request(session, row.id, by, now)
    if row.scope == "budget" and row.given:
        take_back_budget(session, row.user_id, row.given, by=by, now=now)


def _give(session: Session, row: RequestRow, said: Sequence[RequestDecision], giver: str, now: float) -> None:
    """The strictest of each of the reviewers' conditions."""
    if row.scope == "training":
        return  # what follows is done by whoever runs trainings: see grid.governance.decisions.events
    if row.scope == "budget":
        assert row.epsilon is not None
        row.given = min([row.epsilon, *(each.epsilon for each in said if each.epsilon is not None)])
        add_budget(session, row.user_id, row.given, by=giver, now=now)
        return
    ends = [each.at + each.expires_in for each in said if each.expires_in is not None]
    uses = [each.uses for each in said if each.uses is not None]
    caps = [each.max_output_bytes for each in said if each.max_output_bytes is not None]
    plan = session.get(PlanRequest, row.id)
    for object_id in objects_of(session, [row.id])[row.id]:
        grant = give(
            session,
            scope=row.scope,
            user_id=row.user_id,
            object_id=object_id,
            giver=giver,
            now=now,
            expires_at=min(ends, default=None),
            uses=min(uses, default=None),
            max_output_bytes=min(caps, default=None),
            request_id=row.id,
            plan_id="" if plan is None else plan.plan_digest,
            inputs={} if plan is None else plan.inputs,
        )
        if row.grant_id is None:
            row.grant_id = grant.id
