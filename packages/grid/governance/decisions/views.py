"""Requests as callers see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.access.viewer import Viewer
from grid.accounts.tables import User
from grid.catalogue.computations import computation_of
from grid.governance.decisions.approval import decisions_of, needed, objects_of
from grid.governance.decisions.tables import (
    IntersectionRequest,
    PlanRequest,
    RequestDecision,
    RequestRow,
    TrainingRequest,
)
from grid.privacy.budget.service import epsilon_of
from syft_ext.messages import requests as m
from syft_ext.messages.intersection_terms import IntersectionFacts, IntersectionTerms
from syft_ext.messages.plan_facts import PlanFacts
from syft_ext.messages.training_reviews import TrainingFacts

__all__ = ["facts_for", "views"]

_KINDS = {each: each for each in ("plan", "budget", "training", "intersection")}


def facts_for(plan: PlanRequest, row: RequestRow, viewer: Viewer) -> PlanFacts:
    """What the viewer may know of a plan and the data that it would run on: who asks does not learn by asking
    what they were not shown."""
    facts = msgspec.convert(plan.facts, PlanFacts)
    return facts if plan.shown or row.user_id != viewer.user_id else facts.hidden()


def views(session: Session, rows: Sequence[RequestRow], viewer: Viewer) -> list[m.RequestView]:
    """With seven queries, however many there are."""
    ids = [row.id for row in rows]
    decisions, objects = decisions_of(session, ids), objects_of(session, ids)
    plans = {
        plan.request_id: plan
        for plan in session.scalars(select(PlanRequest).where(PlanRequest.request_id.in_(ids)))
    }
    trainings = {
        each.request_id: msgspec.convert(each.facts, TrainingFacts)
        for each in session.scalars(select(TrainingRequest).where(TrainingRequest.request_id.in_(ids)))
    }
    pairs = {
        each.request_id: each
        for each in session.scalars(
            select(IntersectionRequest).where(IntersectionRequest.request_id.in_(ids))
        )
    }
    people = {row.user_id for row in rows} | {
        each.reviewer_id for said in decisions.values() for each in said
    }
    names = {
        user.id: user.email
        for user in session.execute(select(User.id, User.email).where(User.id.in_(people)))
    }
    count = needed(session)
    return [
        _view(
            row,
            decisions[row.id],
            names,
            needed=count,
            objects=objects[row.id],
            plan=facts_for(plans[row.id], row, viewer) if row.id in plans else None,
            training=trainings.get(row.id),
            intersection=_intersection(pairs[row.id], row, viewer) if row.id in pairs else None,
            computed=_computed(session, row, viewer),
        )
        for row in rows
    ]


def _intersection(pair: IntersectionRequest, row: RequestRow, viewer: Viewer) -> IntersectionFacts:
    shown = pair.shown or row.user_id != viewer.user_id
    return IntersectionFacts(
        terms=msgspec.convert(pair.terms, IntersectionTerms),
        agreement=pair.agreement,
        party=pair.party,
        problem=pair.problem if shown else "",
    )


def _computed(session: Session, row: RequestRow, viewer: Viewer) -> str:
    """What its author computed, for those who decide: it names what they may not know of the sources."""
    if row.user_id == viewer.user_id or not row.object_id:
        return ""
    return computation_of(session, row.object_id)


def _view(
    row: RequestRow,
    decisions: Iterable[RequestDecision],
    names: dict[str, str],
    *,
    needed: int,
    objects: list[str],
    plan: PlanFacts | None,
    training: TrainingFacts | None,
    intersection: IntersectionFacts | None,
    computed: str,
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
                rule=each.rule_id or "",
            )
            for each in decisions
        ],
        grant_id=row.grant_id,
        kind=_KINDS.get(row.scope, "permission"),
        objects=objects,
        plan=plan,
        training=training,
        intersection=intersection,
        epsilon=None if row.epsilon is None else epsilon_of(row.epsilon),
        given=None if row.given is None else epsilon_of(row.given),
        computed=computed,
    )
