"""Standing rules: they answer a request in the transaction that creates it.

A rule's word is its author's decision (:mod:`grid.governance.decisions.approval`): it counts on the objects on
which they could decide themselves at that moment, is one of as many as the policy asks for, and is counted again
with the later ones only if they still could. A rule that denies goes before all that accept.
"""

from __future__ import annotations

import math
from contextlib import suppress

import msgspec
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from grid.access.sources import sources_of
from grid.accounts.tables import GroupMember
from grid.catalogue.tables import DatasetAsset, DatasetRow
from grid.governance.decisions.approval import approve, decides, objects_of
from grid.governance.decisions.machine import RequestEvent, RequestState, decide
from grid.governance.decisions.tables import (
    PlanRequest,
    RequestDecision,
    RequestRow,
    RequestRule,
    TrainingRequest,
)
from grid.spending.keeping import check_newest, is_waiting, note
from grid.storage.objects.tables import ObjectRow, ObjectTag
from syft_ext.errors import Conflict
from syft_ext.messages.plan_facts import PlanFacts
from syft_ext.messages.training_reviews import TrainingFacts

__all__ = ["MARKS", "answer", "spend_rule"]

MARKS = "rule"
"""The kind of a rule's marks in the record of what was spent."""


def answer(session: Session, row: RequestRow, now: float) -> list[str]:
    """Let the rules speak; returns the ids of those that did, and moves the request to its new state."""
    spoken: list[str] = []
    heard: set[str] = set()
    for rule in _matching(session, row, now):
        if rule.author_id in heard or not decides(session, row, rule.author_id):
            continue
        if not spend_rule(session, rule, 0 if rule.action == "deny" else _elements(session, row)):
            continue
        _say(session, row, rule, now)
        spoken.append(rule.id)
        heard.add(rule.author_id)
        if rule.action == "deny":
            row.state = decide(RequestState(row.state), RequestEvent.DENY)
            break
    if row.state == RequestState.PENDING:
        _approve(session, row, now)
    if row.state != RequestState.PENDING:
        row.pending_for = None
    session.flush()
    return spoken


def _approve(session: Session, row: RequestRow, now: float) -> None:
    """Approved, if enough was said. What cannot be approved (a plan that does not fit) waits for a person."""
    said = select(RequestDecision.reviewer_id).where(RequestDecision.request_id == row.id)
    giver = session.scalars(said.order_by(RequestDecision.rule_id.is_(None))).first()
    if giver is None:
        return
    with suppress(Conflict):
        row.state = approve(session, row, giver, now)


def _say(session: Session, row: RequestRow, rule: RequestRule, now: float) -> None:
    session.merge(
        RequestDecision(
            request_id=row.id,
            reviewer_id=rule.author_id,
            approved=rule.action == "accept",
            reason=rule.reason,
            at=now,
            expires_in=rule.expires_in,
            uses=rule.uses,
            max_output_bytes=rule.max_output_bytes,
            epsilon=rule.epsilon,
            rule_id=rule.id,
        )
    )
    session.flush()


def _matching(session: Session, row: RequestRow, now: float) -> list[RequestRule]:
    """The rules that speak of such a request, those that deny first, then in the order of their making."""
    groups = select(GroupMember.group_id).where(GroupMember.user_id == row.user_id)
    plan = session.get(PlanRequest, row.id)
    kind = row.scope if row.scope in ("plan", "budget", "training", "intersection") else "permission"
    query = (
        select(RequestRule)
        .where(
            or_(RequestRule.expires_at.is_(None), RequestRule.expires_at > now),
            or_(RequestRule.times_left.is_(None), RequestRule.times_left > 0),
            RequestRule.kind.in_(("", kind)),
            RequestRule.scope.in_(("", row.scope)),
            RequestRule.user_id.in_(("", row.user_id)),
            or_(RequestRule.group_id == "", RequestRule.group_id.in_(groups)),
            RequestRule.plan_id.in_(("", *_digests(session, row))),
        )
        .order_by(RequestRule.action.desc(), RequestRule.created_at, RequestRule.id)
    )
    found = [rule for rule in session.scalars(query) if _about(session, rule, row)]
    joint = plan is not None and any(plan.facts.get(terms) is not None for terms in ("shared", "split"))
    if plan is not None and (plan.values_digest or joint):
        # A plan that takes a mask from who asks is a different question with every mask: no rule accepts those;
        # nor one under terms with other Domains, which no rule speaks of.
        found = [rule for rule in found if rule.action == "deny"]
    if row.scope == "intersection":  # whom it is compared with, and what becomes known, no rule speaks of
        found = [rule for rule in found if rule.action == "deny"]
    if row.scope == "training":
        found = [rule for rule in found if rule.action == "deny" or _accepts_training(session, rule, row)]
    return found


def _digests(session: Session, row: RequestRow) -> set[str]:
    """What a rule's ``plan_id`` may name of a request: its plan; a training, its content, or any of its plans."""
    plan, training = session.get(PlanRequest, row.id), session.get(TrainingRequest, row.id)
    digests = {plan.plan_digest} if plan else set()
    if training is not None:
        facts = msgspec.convert(training.facts, TrainingFacts)
        digests |= {training.digest, *filter(None, [facts.content]), *facts.files()}
    return digests


def _accepts_training(session: Session, rule: RequestRule, row: RequestRow) -> bool:
    """Only a rule that was made for trainings accepts one, and never by a plan alone: its configurations and its
    first model decide what a plan that somebody knows does (one row a batch, a step so large that it is all that
    is left)."""
    if rule.kind != "training":
        return False
    training = session.get_one(TrainingRequest, row.id)
    content = msgspec.convert(training.facts, TrainingFacts).content
    return rule.plan_id in ("", training.digest, *filter(None, [content]))


def _about(session: Session, rule: RequestRule, row: RequestRow) -> bool:
    """Whether the rule speaks of the request: one that accepts of every object, one that denies of any of them,
    and of what these were computed from."""
    objects = objects_of(session, [row.id])[row.id]
    named = bool(rule.object_id or rule.dataset_id or rule.tags)
    if rule.action == "deny":
        behind = sources_of(session, objects).values()
        return not named or any(_is_meant(session, rule, each) for each in set(objects).union(*behind))
    return (bool(objects) or not named) and all(_accepts(session, rule, row.scope, each) for each in objects)


def _accepts(session: Session, rule: RequestRule, scope: str, object_id: str) -> bool:
    """Whoever computed something chose its tags and its rows, so neither says anything: its sources do, all of
    them, and a rule on statistics is none on statistics of rows that somebody chose. A rule may name it."""
    sources = sources_of(session, [object_id])[object_id]
    if object_id in sources or rule.object_id == object_id:
        return _is_meant(session, rule, object_id)
    if scope == rule.scope == "statistics":
        return False
    return not rule.object_id and all(_is_meant(session, rule, each) for each in sources)


def _is_meant(session: Session, rule: RequestRule, object_id: str) -> bool:
    """Whether the rule speaks of this object, by its id, datasets and tags."""
    if rule.object_id and rule.object_id != object_id:
        return False
    datasets = select(DatasetAsset.dataset_id).where(DatasetAsset.object_id == object_id)
    if rule.dataset_id and rule.dataset_id not in session.scalars(datasets).all():
        return False
    if rule.tags:
        tags = set(session.scalars(select(ObjectTag.tag).where(ObjectTag.object_id == object_id)))
        for found in session.scalars(select(DatasetRow.tags).where(DatasetRow.id.in_(datasets))):
            tags.update(found)
        return tags.issuperset(rule.tags)
    return True


def _elements(session: Session, row: RequestRow) -> int:
    """How much an approval would give away."""
    training = session.get(TrainingRequest, row.id)
    if training is not None:
        return msgspec.convert(training.facts, TrainingFacts).parameters
    plan = session.get(PlanRequest, row.id)
    if plan is not None:
        outputs = msgspec.convert(plan.facts, PlanFacts).outputs
        return sum(math.prod(each.shape or []) for each in outputs)
    found = session.get(ObjectRow, row.object_id)
    if found is None:
        return 0
    return found.size if found.shape is None else math.prod(found.shape)


def spend_rule(session: Session, rule: RequestRule, elements: int) -> bool:
    """Take the request from the rule's quota; False if it has not enough left. Requests that come at the same
    time cannot both have the last of it. While a restored database waits for its owner no rule speaks, whatever
    it has left: a person does."""
    if is_waiting(session):
        return False
    enough = (
        (RequestRule.id == rule.id)
        & or_(RequestRule.times_left.is_(None), RequestRule.times_left > 0)
        & or_(RequestRule.elements_left.is_(None), RequestRule.elements_left >= elements)
    )
    spent = session.execute(
        update(RequestRule)
        .where(enough)
        .values(
            times_left=RequestRule.times_left - 1,  # NULL, which is "no quota", stays NULL
            elements_left=RequestRule.elements_left - elements,
        )
        .execution_options(synchronize_session=False)
    )
    if spent.rowcount != 1:  # type: ignore[attr-defined]
        return False
    left = session.execute(
        select(RequestRule.times_left, RequestRule.elements_left).where(RequestRule.id == rule.id)
    ).one()
    if left.times_left is not None or left.elements_left is not None:
        check_newest(session)
        facts = {"times_left": left.times_left, "elements_left": left.elements_left}
        note(session, MARKS, rule.id, facts)
    return True
