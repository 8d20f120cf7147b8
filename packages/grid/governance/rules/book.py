"""Standing rules: made, listed, ended. What they do to a request is :mod:`grid.governance.rules.answering`."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from grid.access.conditions import governed
from grid.access.decision import governs
from grid.accounts.powers import OWNER, acting_flags
from grid.accounts.tables import User
from grid.governance.decisions.grants import ReviewerLoader
from grid.governance.decisions.tables import RequestRule
from grid.privacy.budget.service import epsilon_of, units_of
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import BadRequest, Forbidden, NotFound
from syft_ext.ids import new_id
from syft_ext.messages.rules import CreateRule, ListRules, RuleView

__all__ = ["RuleBook"]


class RuleBook:
    """Standing rules in the database, each with its author, whose word it repeats."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    def create(self, load_reviewer: ReviewerLoader, message: CreateRule) -> RuleView:
        """Raises :class:`Forbidden` for a rule that could never speak: nobody's word counts on what they
        neither own nor review."""
        now = self._clock.now()
        _check(message)
        with self._db.transaction() as session:
            viewer, reviewer = load_reviewer(session)
            if not reviewer and not _owns(session, viewer.user_id, message):
                raise Forbidden("you decide on no request that this rule could answer", action=message.action)
            rule = RequestRule(
                id=new_id(),
                author_id=viewer.user_id,
                action=message.action,
                reason=message.reason,
                created_at=now,
                expires_at=None if message.lifetime is None else now + message.lifetime,
                kind=message.kind,
                scope=message.scope,
                object_id=message.object_id,
                dataset_id=message.dataset_id,
                tags=list(message.tags),
                user_id=message.user_id,
                group_id=message.group_id,
                plan_id=message.plan_id,
                times_left=message.times,
                elements_left=message.elements,
                expires_in=message.expires_in,
                uses=message.uses,
                max_output_bytes=message.max_output_bytes,
                epsilon=None if message.epsilon is None else units_of(message.epsilon),
            )
            session.add(rule)
            session.flush()
            return _views(session, [rule], now)[0]

    def all(self, load_reviewer: ReviewerLoader, message: ListRules) -> list[RuleView]:
        """One's own rules, for a reviewer all, the oldest first."""
        with self._db.read() as session:
            viewer, reviewer = load_reviewer(session)
            query = select(RequestRule).order_by(RequestRule.created_at, RequestRule.id)
            if not reviewer:
                query = query.where(RequestRule.author_id == viewer.user_id)
            rows = session.scalars(query.limit(message.limit).offset(message.offset)).all()
            return _views(session, list(rows), self._clock.now())

    def delete(self, load_reviewer: ReviewerLoader, rule_id: str, role: str) -> None:
        """End a rule; what it approved stays. Only the Owner (by ``role``) ends another's: :class:`Forbidden`."""
        with self._db.transaction() as session:
            viewer, reviewer = load_reviewer(session)
            rule = session.get(RequestRule, rule_id)
            if rule is None or not (reviewer or rule.author_id == viewer.user_id):
                raise NotFound("there is no such rule", id=rule_id)
            if rule.author_id != viewer.user_id and role != OWNER:
                raise Forbidden("this rule is not yours", id=rule_id)
            session.delete(rule)

    def clear(self, load_reviewer: ReviewerLoader) -> int:
        """End all of the viewer's rules; returns how many there were."""
        with self._db.transaction() as session:
            viewer, _ = load_reviewer(session)
            ended = session.execute(delete(RequestRule).where(RequestRule.author_id == viewer.user_id))
            return int(ended.rowcount)  # type: ignore[attr-defined]


def _check(message: CreateRule) -> None:
    """Raise :class:`BadRequest` for fields that contradict each other."""
    if message.kind in ("plan", "budget", "training") and message.scope:
        raise BadRequest(f"scope is of requests for permission, not of kind {message.kind}", field="scope")
    if message.plan_id and message.kind not in ("", "plan", "training"):
        raise BadRequest("plan_id is of requests of kind plan or training", field="plan_id")
    if message.kind in ("budget", "training") and (message.object_id or message.dataset_id or message.tags):
        raise BadRequest(f"a request of kind {message.kind} is for no object", field="kind")
    limits = (message.expires_in, message.uses, message.max_output_bytes, message.epsilon)
    if message.kind == "training" and any(each is not None for each in limits):
        raise BadRequest("the approval of a training has no conditions", field="kind")
    if message.epsilon is not None and message.kind not in ("", "budget"):
        raise BadRequest("epsilon is of requests of kind budget", field="epsilon")
    conditions = (message.expires_in, message.uses, message.max_output_bytes, message.epsilon)
    if message.action == "deny" and any(each is not None for each in (*conditions, message.elements)):
        raise BadRequest("what is denied has no conditions", field="action")


def _owns(session: Session, user_id: str, message: CreateRule) -> bool:
    """Whether somebody who reviews nothing decides on something that the rule speaks of."""
    if message.object_id:
        return governs(session, user_id, message.object_id)
    own = select(ObjectRow.id).where(governed(user_id)).limit(1)
    return message.kind not in ("budget", "training") and session.scalars(own).first() is not None


def _views(session: Session, rules: list[RequestRule], now: float) -> list[RuleView]:
    authors = {rule.author_id for rule in rules}
    users = {user.id: user for user in session.scalars(select(User).where(User.id.in_(authors)))}
    flags = {author: acting_flags(session, author) for author in authors}
    return [_view(session, rule, users[rule.author_id], flags[rule.author_id], now) for rule in rules]


def _view(session: Session, rule: RequestRule, author: User, flags: frozenset[str], now: float) -> RuleView:
    decides = "can_triage_requests" in flags or (
        governs(session, author.id, rule.object_id)
        if rule.object_id
        else session.scalars(select(ObjectRow.id).where(governed(author.id)).limit(1)).first() is not None
    )
    if rule.expires_at is not None and rule.expires_at <= now:
        state = "expired"
    elif 0 in (rule.times_left, rule.elements_left):
        state = "used up"
    else:
        state = "live" if author.disabled_at is None and decides else "idle"
    return RuleView(
        id=rule.id,
        author_id=author.id,
        author=author.email,
        action=rule.action,
        state=state,
        created_at=rule.created_at,
        expires_at=rule.expires_at,
        kind=rule.kind,
        scope=rule.scope,
        object_id=rule.object_id,
        dataset_id=rule.dataset_id,
        tags=list(rule.tags),
        user_id=rule.user_id,
        group_id=rule.group_id,
        plan_id=rule.plan_id,
        reason=rule.reason,
        times_left=rule.times_left,
        elements_left=rule.elements_left,
        expires_in=rule.expires_in,
        uses=rule.uses,
        max_output_bytes=rule.max_output_bytes,
        epsilon=None if rule.epsilon is None else epsilon_of(rule.epsilon),
    )
