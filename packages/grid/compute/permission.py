"""Who may compute on what: asked before every few actions, so that what was revoked stops the very next ones.

One use of a grant for computing is one session that loads the object. It is spent at the first load; from then
on the grant counts in this session until it is revoked or expires, also when that was its last use. Grants for
reading allow computing too, and lose no use by it: theirs are counted where something is handed out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Select, bindparam, or_, select
from sqlalchemy.orm import Session

from grid.access.decision import allowed, require, sources_of
from grid.access.tables import Grant
from grid.access.viewer import EVERYBODY, Viewer
from grid.accounts.tables import GroupMember
from grid.storage.objects.tables import ObjectPermission, ObjectRow
from grid.storage.sql.connections import Link
from grid.storage.sql.prepared import PreparedSizes, places

__all__ = ["all_listed", "may_compute", "require_compute", "to_spend"]


def _listed(size: int) -> Select[Any]:
    """Those of ``size`` objects that the user is on a list of; their groups are those of the moment."""
    of_group = select(GroupMember.group_id).where(
        GroupMember.user_id == bindparam("user_id"),
        ObjectPermission.verify_key == "group:" + GroupMember.group_id,
    )
    personal = or_(
        ObjectPermission.verify_key == EVERYBODY, ObjectPermission.verify_key == bindparam("user_id")
    )
    return select(ObjectPermission.object_id).where(
        ObjectPermission.object_id.in_(places("object_id", size)),
        or_(ObjectPermission.scope == "compute", ObjectPermission.scope == "read"),
        or_(personal, of_group.exists()),
    )


_LISTED = PreparedSizes(_listed)


def all_listed(link: Link, user_id: str, object_ids: Sequence[str]) -> bool:
    """Whether lists alone allow computing on all of the objects: the common case, for one prepared query.

    False does not say that anything is refused: :func:`may_compute` knows of grants and derived objects, too.
    """
    found = _LISTED.run(link, {"user_id": user_id}, object_id=object_ids).all()
    return len({row.object_id for row in found}) == len(object_ids)


def may_compute(
    session: Session, viewer: Viewer, object_ids: Collection[str], spent: Collection[str], *, now: float
) -> set[str]:
    """Which of the objects the viewer may compute on now; ``spent``: grants that this session has spent."""
    if not object_ids:
        return set()
    found = set(allowed(session, viewer, "compute", object_ids, now=now))
    rest = set(object_ids) - found
    if not rest or not spent:
        return found
    covered = _covered(session, viewer, spent, now)
    there = select(ObjectRow.id).where(ObjectRow.id.in_(rest & covered))
    found.update(session.scalars(there))
    for object_id in (rest - found) & allowed(session, viewer, "find", rest, now=now).keys():
        sources = sources_of(session, [object_id])[object_id]
        needed = sources - covered
        held = set(session.scalars(select(ObjectRow.id).where(ObjectRow.id.in_(sources & covered))))
        if object_id in sources or held != sources & covered:
            continue
        if needed <= allowed(session, viewer, "compute", needed, now=now).keys():
            found.add(object_id)
    return found


def _covered(session: Session, viewer: Viewer, spent: Collection[str], now: float) -> set[str]:
    statement = select(Grant.object_id).where(
        Grant.id.in_(spent),
        Grant.user_id == viewer.user_id,
        Grant.revoked_at.is_(None),
        or_(Grant.expires_at.is_(None), Grant.expires_at > now),
    )
    return set(session.scalars(statement))


def require_compute(
    session: Session, viewer: Viewer, object_ids: Iterable[str], spent: Collection[str], *, now: float
) -> frozenset[str]:
    """The grants that it rests on; raises as :func:`grid.access.decision.require`."""
    ids = list(object_ids)
    missing = set(ids) - may_compute(session, viewer, ids, spent, now=now)
    if missing:
        require(session, viewer, "compute", sorted(missing), now=now)
    found = allowed(session, viewer, "compute", ids, now=now)
    return frozenset().union(*(each.grants for each in found.values()))


def to_spend(session: Session, grants: Collection[str], spent: Collection[str]) -> list[str]:
    """Those of the grants that a load costs a use of: counted ones, for computing, not yet spent here."""
    fresh = set(grants) - set(spent)
    if not fresh:
        return []
    statement = select(Grant.id).where(
        Grant.id.in_(fresh), Grant.scope == "compute", Grant.uses_left.is_not(None)
    )
    return sorted(session.scalars(statement))
