"""Grants: written down, shown, spent, taken back. What they allow is :mod:`grid.access.rule`'s."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Select, or_, select, update
from sqlalchemy.orm import Session

from grid.access.conditions import governed
from grid.access.liveness import has_room, live, state_of
from grid.access.tables import Grant
from grid.spending.keeping import check_newest, note
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import Forbidden, TooLarge
from syft_ext.ids import new_id
from syft_ext.messages.grants import GrantView
from syft_ext.store.content import MATCHED

__all__ = [
    "MARKS",
    "check_room",
    "give",
    "grant_view",
    "locked",
    "of_request",
    "shown_to",
    "spend",
    "take_back",
    "take_back_request",
    "to_spend",
    "uses_left",
]

MARKS = "grant"
"""The kind of a grant's marks in the record of what was spent."""


# -- written down -----------------------------------------------------------------------------------


def give(
    session: Session,
    *,
    scope: str,
    user_id: str,
    object_id: str,
    giver: str,
    now: float,
    expires_at: float | None,
    uses: int | None,
    max_output_bytes: int | None,
    request_id: str | None = None,
    plan_id: str = "",
    inputs: Mapping[str, Any] | None = None,
) -> Grant:
    """A new grant, under these conditions (None: unlimited); whether ``giver`` may give it was asked before.

    Raises :class:`Forbidden` for rows of an intersection: they tell of another Domain's table, whose owner agreed
    to have them in computations on shares and nowhere else.
    """
    known = session.get(ObjectRow, object_id)
    if known is not None and known.kind == MATCHED:
        raise Forbidden("what two tables have in common is granted to nobody", id=object_id)
    grant = Grant(
        id=new_id(),
        scope=scope,
        user_id=user_id,
        object_id=object_id,
        plan_id=plan_id,
        inputs=dict(inputs or {}),
        request_id=request_id,
        granted_by=giver,
        created_at=now,
        expires_at=expires_at,
        uses_left=uses,
        max_output_bytes=max_output_bytes,
    )
    session.add(grant)
    return grant


def take_back(session: Session, grant: Grant, by: str, now: float) -> None:
    """Revoke a grant. Doing it twice changes nothing more."""
    if grant.revoked_at is None:
        grant.revoked_at, grant.revoked_by = now, by
        note(session, MARKS, grant.id, {"revoked_at": now, "revoked_by": by})


def take_back_request(session: Session, request_id: str, by: str, now: float) -> None:
    """Revoke all that the approval of a request gave."""
    given = (Grant.request_id == request_id) & Grant.revoked_at.is_(None)
    revoked = update(Grant).where(given).values(revoked_at=now, revoked_by=by).returning(Grant.id)
    for grant_id in session.scalars(revoked).all():
        note(session, MARKS, grant_id, {"revoked_at": now, "revoked_by": by})


# -- shown ------------------------------------------------------------------------------------------


def shown_to(user_id: str, *, reviewer: bool, object_id: str = "") -> Select[Grant]:
    """The grants that a user is shown, newest first: those that they hold or could have given, a reviewer all; on
    one object, if it is named."""
    query = select(Grant)
    if not reviewer:
        own = select(ObjectRow.id).where(governed(user_id))
        query = query.where(or_(Grant.user_id == user_id, Grant.object_id.in_(own)))
    if object_id:
        query = query.where(Grant.object_id == object_id)
    return query.order_by(Grant.created_at.desc(), Grant.id)


def locked(session: Session, grant_id: str) -> Grant | None:
    """The grant, so that nobody else changes it in this transaction."""
    return session.get(Grant, grant_id, with_for_update=True)


def grant_view(grant: Grant, now: float) -> GrantView:
    """The grant as it is shown, with what it is worth at ``now`` (seconds since the epoch)."""
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
        state=state_of(grant, now),
        plan_id=grant.plan_id,
        inputs=[_given(name, to) for name, to in grant.inputs.items()],
    )


def _given(name: str, to: dict[str, str]) -> str:
    """As in a request: ``input=object_id`` or ``input=object_id:tensor``."""
    return f"{name}={to['object_id']}" + (f":{to['tensor']}" if to["tensor"] else "")


# -- spent ------------------------------------------------------------------------------------------


def spend(session: Session, grants: Iterable[str], *, now: float) -> None:
    """Count one use of each grant, in the transaction that hands something out; the count outlives the database
    (:mod:`grid.spending`).

    Raises :class:`RestoredDatabase` while the database waits for that to be acknowledged, also for one that is not
    counted: an older database does not know that it was revoked;
    raises :class:`Forbidden`, and the transaction must not commit, when one has none left (two calls that
    raced for the last use), has expired or was revoked meanwhile.
    """
    for grant_id in sorted(grants):
        used = session.execute(
            update(Grant)
            .where(Grant.id == grant_id, live(now))
            .values(uses_left=Grant.uses_left - 1)  # NULL, which is "unlimited", stays NULL
        )
        if used.rowcount != 1:  # type: ignore[attr-defined]
            raise Forbidden("the grant that this rests on is used up, expired or revoked", grant=grant_id)
        check_newest(session)
        left = session.scalar(select(Grant.uses_left).where(Grant.id == grant_id))
        if left is not None:
            note(session, MARKS, grant_id, {"uses_left": left})


def to_spend(session: Session, grants: Collection[str], spent: Collection[str]) -> list[str]:
    """Those of the grants of which loading an object for computing costs a use: counted ones, for computing, not
    spent on this session yet. Grants for reading allow computing too, and lose no use by it: theirs are counted
    where something is handed out."""
    fresh = set(grants) - set(spent)
    if not fresh:
        return []
    statement = select(Grant.id).where(
        Grant.id.in_(fresh), Grant.scope == "compute", Grant.uses_left.is_not(None)
    )
    return sorted(session.scalars(statement))


def uses_left(session: Session, grants: Collection[str]) -> int | None:
    """The uses that all of the grants have left; None when none of them is counted."""
    left = session.scalars(select(Grant.uses_left).where(Grant.id.in_(grants))).all()
    return min((each for each in left if each is not None), default=None)


def check_room(session: Session, grants: Collection[str], size: int) -> None:
    """Raise :class:`TooLarge` when one of the grants does not let so many bytes out at once."""
    caps = session.scalars(select(Grant.max_output_bytes).where(Grant.id.in_(grants)))
    if not all(has_room(cap, size) for cap in caps):
        raise TooLarge("this is more than your grant allows to take out at once", size=size)


# -- of plans ---------------------------------------------------------------------------------------


def of_request(session: Session, request_id: str, user_id: str, *, now: float, used: bool) -> dict[str, str]:
    """The grants that the approval of a request gave and that are live, by the object that each is on.

    ``used``: also those of whose last use this run is made.
    """
    query = select(Grant.id, Grant.object_id).where(
        Grant.request_id == request_id, Grant.user_id == user_id, live(now, used=used)
    )
    return {object_id: grant_id for grant_id, object_id in session.execute(query)}
