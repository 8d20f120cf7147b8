"""Who may do what with an object: the one place that decides.

Scopes, each with its own list at the object and its own grants:

- *find*: see that the object is there, and its description. Everything else includes it. A derived object
  is found by its own lists, and by who governs it.
- *statistics*: have aggregates of it, under the site's policy.
- *compute*: name it in remote operations. What comes out is not readable for that: see below.
- *read*: have its content; includes compute and statistics.

Derived objects (with rows in ``object_source``) are nobody's by default: a viewer may do with one what they
may do with *every one* of its sources, or what a list or a grant on itself says (an approved request for
exactly this result). Statistics of a derived object need *read* on its sources: whoever chose what was
computed chose what an aggregate of it tells. A source that is gone grants nothing. Owners are on the lists
of what they put there; being the owner of a derived object grants nothing by itself. Managers see and
decide, and read what they may read: no role reads everything.

Who *governs* an object decides for others who reads it: whoever owns every one of its sources. Having
computed something from somebody else's data is not governing it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, and_, exists, or_, select, update
from sqlalchemy.orm import Session, aliased

from grid.access.tables import Grant, ObjectSource
from grid.access.viewer import Viewer
from grid.storage.objects.tables import ObjectPermission, ObjectRow
from syft_ext.errors import Forbidden, NotFound, TooLarge

__all__ = ["Allowed", "Scope", "allowed", "governed", "governs", "is_live", "require", "sources_of", "spend"]

Scope = Literal["find", "statistics", "compute", "read"]

#: The lists that allow a scope, the narrowest first.
_LISTS: dict[Scope, tuple[str, ...]] = {
    "find": ("search", "statistics", "compute", "read"),
    "statistics": ("statistics", "read"),
    "compute": ("compute", "read"),
    "read": ("read",),
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """Why something is allowed: ``grants`` are those that it rests on, empty when lists suffice."""

    grants: frozenset[str] = frozenset()


def sources_of(session: Session, object_ids: Collection[str]) -> dict[str, frozenset[str]]:
    """The sources of each object; an object that was not derived is its own."""
    found: dict[str, set[str]] = defaultdict(set)
    rows = select(ObjectSource.object_id, ObjectSource.source_id).where(
        ObjectSource.object_id.in_(object_ids)
    )
    for object_id, source_id in session.execute(rows):
        found[object_id].add(source_id)
    return {object_id: frozenset(found.get(object_id) or {object_id}) for object_id in object_ids}


def governed(user_id: str) -> ColumnElement[bool]:
    """The SQL condition that the user governs an object: owns each of its sources, and all are still there."""
    source = aliased(ObjectRow)
    derived = exists().where(ObjectSource.object_id == ObjectRow.id)
    gone_or_anothers = (
        select(ObjectSource.source_id)
        .outerjoin(source, source.id == ObjectSource.source_id)
        .where(
            ObjectSource.object_id == ObjectRow.id,
            or_(source.id.is_(None), source.owner.is_(None), source.owner != user_id),
        )
        .exists()
    )
    return or_(and_(~derived, ObjectRow.owner == user_id), and_(derived, ~gone_or_anothers))


def governs(session: Session, user_id: str, object_id: str) -> bool:
    """Whether the user decides who else may have the object. A Network ("") governs nothing."""
    if not user_id:
        return False
    found = select(ObjectRow.id).where(ObjectRow.id == object_id, governed(user_id))
    return session.scalars(found).first() is not None


def allowed(
    session: Session,
    viewer: Viewer,
    scope: Scope,
    object_ids: Iterable[str],
    *,
    now: float,
    output_bytes: int = 0,
) -> dict[str, Allowed]:
    """Which of the objects the viewer may ``scope`` now, and why. Objects that do not exist are left out.

    ``output_bytes`` is how much would be handed out: grants with a smaller cap do not count.
    """
    ids = set(object_ids)
    sources = sources_of(session, ids)
    every = _existing(session, ids.union(*sources.values()))
    direct = _direct(session, viewer, scope, every, now, output_bytes)
    result = {object_id: direct[object_id] for object_id in ids & direct.keys()}
    # The mean of a column that repeats one row is that row: of what was computed, statistics are reading.
    inherited = direct
    if scope == "statistics" and any(object_id not in sources[object_id] for object_id in ids):
        inherited = _direct(session, viewer, "read", every, now, output_bytes)
    derived = {
        object_id
        for object_id in (ids & every) - direct.keys()
        if object_id not in sources[object_id] and sources[object_id] <= inherited.keys()
    }
    # Reading all that it was made from does not let one find what somebody else made; owning all of that does.
    governing = _governed(session, viewer, {each for each in ids & every if each not in sources[each]})
    if scope == "find":
        result.update(dict.fromkeys(governing, Allowed()))
        return result
    for object_id in derived & (_direct(session, viewer, "find", derived, now, 0).keys() | governing):
        grants = frozenset().union(*(inherited[source].grants for source in sources[object_id]))
        result[object_id] = Allowed(grants)
    return result


def _governed(session: Session, viewer: Viewer, derived: set[str]) -> set[str]:
    """Those of the derived objects that the viewer governs: they find what they are asked to decide about."""
    if not derived or not viewer.user_id:
        return set()
    found = select(ObjectRow.id).where(ObjectRow.id.in_(derived), governed(viewer.user_id))
    return set(session.scalars(found))


def require(
    session: Session,
    viewer: Viewer,
    scope: Scope,
    object_ids: Iterable[str],
    *,
    now: float,
    output_bytes: int = 0,
) -> frozenset[str]:
    """The grants that doing this to all the objects rests on.

    Raises :class:`NotFound` for an object that the viewer may not even find, else :class:`Forbidden`, else
    (only the cap of a grant stands in the way) :class:`TooLarge`.
    """
    ids = list(dict.fromkeys(object_ids))
    found = allowed(session, viewer, scope, ids, now=now, output_bytes=output_bytes)
    missing = [object_id for object_id in ids if object_id not in found]
    if missing:
        if output_bytes and len(allowed(session, viewer, scope, ids, now=now)) == len(ids):
            raise TooLarge("this is more than your grant allows to take out at once", size=output_bytes)
        findable = allowed(session, viewer, "find", missing, now=now)
        seen = findable.keys() | (_existing(session, set(missing)) if viewer.manager else set())
        for object_id in missing:
            if object_id not in seen:
                raise NotFound("there is no such object", id=object_id)
        if scope == "find":
            return frozenset()  # a manager finds everything
        raise Forbidden(
            f"you may find this object, not {scope} it; request it from its owner", id=missing[0], scope=scope
        )
    return frozenset().union(*(found[object_id].grants for object_id in ids))


def spend(session: Session, grants: Iterable[str], *, now: float) -> None:
    """Count one use of each grant, in the transaction that hands something out.

    Raises :class:`Forbidden`, and the transaction must not commit, when one has none left (two calls that
    raced for the last use), has expired or was revoked meanwhile.
    """
    for grant_id in sorted(grants):
        used = session.execute(
            update(Grant)
            .where(Grant.id == grant_id, is_live(now))
            .values(uses_left=Grant.uses_left - 1)  # NULL, which is "unlimited", stays NULL
        )
        if used.rowcount != 1:  # type: ignore[attr-defined]
            raise Forbidden("the grant that this rests on is used up, expired or revoked", grant=grant_id)


def _direct(
    session: Session, viewer: Viewer, scope: Scope, ids: set[str], now: float, output_bytes: int
) -> Mapping[str, Allowed]:
    """By a list or a grant on the object itself. Lists first: they cost no use."""
    scopes = _LISTS[scope]
    rows = select(ObjectPermission.object_id).where(
        ObjectPermission.object_id.in_(ids),
        ObjectPermission.scope.in_(scopes),
        ObjectPermission.verify_key.in_(viewer.subjects),
    )
    direct = dict.fromkeys(session.scalars(rows), Allowed())
    rest = ids - direct.keys()
    if rest and not viewer.is_network:
        enough = or_(Grant.max_output_bytes.is_(None), Grant.max_output_bytes >= output_bytes)
        granted = (
            select(Grant.object_id, Grant.id)
            .where(
                Grant.user_id == viewer.user_id,
                Grant.object_id.in_(rest),
                Grant.scope.in_([name for name in scopes if name != "search"]),
                is_live(now),
                enough,
            )
            # Unlimited grants before counted ones, and of those the ones that expire first.
            .order_by(Grant.uses_left.is_not(None), Grant.expires_at.is_(None), Grant.expires_at, Grant.id)
        )
        for object_id, grant_id in session.execute(granted):
            direct.setdefault(object_id, Allowed(frozenset({grant_id})))
    return direct


def is_live(now: float, *, used: bool = False) -> ColumnElement[bool]:
    """The SQL condition that a grant is worth something now; ``used``: also when its last use is being had."""
    alive = Grant.revoked_at.is_(None) & or_(Grant.expires_at.is_(None), Grant.expires_at > now)
    return alive if used else alive & or_(Grant.uses_left.is_(None), Grant.uses_left > 0)


def _existing(session: Session, ids: set[str]) -> set[str]:
    return set(session.scalars(select(ObjectRow.id).where(ObjectRow.id.in_(ids))))
