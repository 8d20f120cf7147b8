"""The rows of environments: who sees which, each step of their lives, and how they are shown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from grid.accounts.tables import User
from grid.environments.machine import ENDED, LIVE, EnvironmentEvent, EnvironmentState, decide
from grid.environments.tables import EnvironmentHistory, EnvironmentRow
from grid.node import Principal
from syft_ext.errors import Conflict, Forbidden, NotFound
from syft_ext.ids import new_id
from syft_ext.messages import environments as m

__all__ = ["MANAGES", "add", "find", "listing", "live", "move", "user_named", "view", "visible"]

#: Who carries this flag sees, makes and ends everybody's environments.
MANAGES = "can_manage_infrastructure"


def user_named(session: Session, text: str) -> str:
    """The id of the user who has this id or e-mail address. Raises :class:`NotFound` or :class:`Conflict`."""
    user = (
        session.get(User, text)
        or session.scalars(select(User).where(User.email == text.strip().casefold())).first()
    )
    if user is None:
        raise NotFound(f"there is no user {text!r} here")
    if user.disabled_at is not None:
        raise Conflict("this user is disabled", user=user.id)
    return user.id


def add(session: Session, user_id: str, creator: str, instance: m.InstanceType, now: float) -> EnvironmentRow:
    """A new environment, whose creation has begun."""
    row = EnvironmentRow(
        id=new_id(),
        user_id=user_id,
        created_by=creator,
        provider=instance.provider,
        instance_type=instance.name,
        memory=instance.memory,
        cpu_seconds=instance.cpu_seconds,
        seconds=instance.seconds,
        threads=instance.threads,
        state=EnvironmentState.CREATING,
        created_at=now,
        used_at=now,
    )
    session.add(row)
    session.flush()
    _step(session, row, "", creator, now)
    return row


def find(session: Session, environment_id: str) -> EnvironmentRow:
    """The row, locked. Raises :class:`NotFound`."""
    row = session.get(EnvironmentRow, environment_id, with_for_update=True)
    if row is None:
        raise NotFound("there is no such environment", id=environment_id)
    return row


def visible(
    session: Session, principal: Principal, environment_id: str, *, lock: bool = False
) -> EnvironmentRow:
    """An environment of the caller's, or anybody's for who manages infrastructure; others do not exist."""
    row = session.get(EnvironmentRow, environment_id, with_for_update=lock or None)
    if row is not None and (MANAGES in principal.flags or row.user_id == principal.id):
        return row
    raise NotFound("there is no such environment", id=environment_id)


def listing(session: Session, principal: Principal, message: m.ListEnvironments) -> list[m.EnvironmentView]:
    """Newest first. Raises :class:`Forbidden` when somebody else's are asked for without the permission."""
    states: set[EnvironmentState] = set(LIVE)
    if message.include_failed:
        states |= {EnvironmentState.FAILED, EnvironmentState.LOST}
    if message.include_destroyed:
        states |= {EnvironmentState.DESTROYED}
    query = select(EnvironmentRow).where(EnvironmentRow.state.in_(states))
    if not message.include_all:
        query = query.where(EnvironmentRow.user_id == principal.id)
    elif MANAGES not in principal.flags:
        raise Forbidden(f"the environments of others need the permission {MANAGES}")
    page = query.order_by(EnvironmentRow.created_at.desc(), EnvironmentRow.id)
    return _views(session, session.scalars(page.limit(message.limit).offset(message.offset)).all())


def live(session: Session) -> Sequence[EnvironmentRow]:
    """All that may be running."""
    return session.scalars(select(EnvironmentRow).where(EnvironmentRow.state.in_(LIVE))).all()


def move(
    session: Session,
    row: EnvironmentRow,
    event: EnvironmentEvent,
    now: float,
    *,
    reason: str = "",
    actor: str = "",
) -> None:
    """One step, with its history. Raises :class:`Conflict` when the row's state forbids it."""
    row.state = decide(EnvironmentState(row.state), event)
    if row.state in ENDED and row.ended_at is None:
        row.ended_at = now
    _step(session, row, reason, actor, now)


def _step(session: Session, row: EnvironmentRow, reason: str, actor: str, now: float) -> None:
    """The row is locked, or new: nobody else counts at the same time."""
    number = select(func.count()).where(EnvironmentHistory.environment_id == row.id)
    session.add(
        EnvironmentHistory(
            environment_id=row.id,
            number=session.scalar(number) or 0,
            at=now,
            state=row.state,
            reason=reason,
            actor=actor,
        )
    )
    session.flush()


def view(session: Session, row: EnvironmentRow) -> m.EnvironmentView:
    """One environment with its history."""
    (shown,) = _views(session, [row])
    shown.history = [
        m.EnvironmentEventView(at=step.at, state=step.state, reason=step.reason, actor=step.actor)
        for step in _steps(session, [row.id])
    ]
    return shown


def _steps(session: Session, ids: Collection[str]) -> Iterable[EnvironmentHistory]:
    query = select(EnvironmentHistory).where(EnvironmentHistory.environment_id.in_(ids))
    return session.scalars(query.order_by(EnvironmentHistory.environment_id, EnvironmentHistory.number))


def _views(session: Session, rows: Sequence[EnvironmentRow]) -> list[m.EnvironmentView]:
    """With two queries, however many there are."""
    people = select(User.id, User.email).where(User.id.in_({row.user_id for row in rows}))
    names = {user.id: user.email for user in session.execute(people)}
    reasons: dict[str, str] = {}
    for step in _steps(session, [row.id for row in rows]):
        # The reason stays until there is another: "destroyed" alone would hide that it was lost before.
        reasons[step.environment_id] = step.reason or reasons.get(step.environment_id, "")
    return [
        m.EnvironmentView(
            id=row.id,
            user_id=row.user_id or "",
            user=names.get(row.user_id or "", ""),
            created_by=row.created_by,
            provider=row.provider,
            instance_type=row.instance_type,
            state=row.state,
            reason=reasons[row.id],
            created_at=row.created_at,
            used_at=row.used_at,
            ended_at=row.ended_at,
            threads=row.threads,
            memory=row.memory,
            cpu_seconds=row.cpu_seconds,
            seconds=row.seconds,
        )
        for row in rows
    ]
