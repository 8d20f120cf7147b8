"""Who may do what with an object now: the rule (:mod:`grid.access.rule`), asked of the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.access.conditions import governed
from grid.access.liveness import live
from grid.access.rule import KnownGrant, KnownObject, Reason, Verdict, decide
from grid.access.scopes import Scope
from grid.access.shown import is_shown
from grid.access.tables import Grant, ObjectSource
from grid.access.viewer import Viewer
from grid.storage.objects.tables import ObjectPermission, ObjectRow
from syft_ext.errors import Forbidden, NotFound, TooLarge

__all__ = ["Scope", "allowed", "governs", "require", "sees"]

_DOING = {"read": "read it", "compute": "compute on it", "statistics": "have statistics of it"}


def allowed(
    session: Session,
    viewer: Viewer,
    scope: Scope,
    object_ids: Iterable[str],
    *,
    now: float,
    output_bytes: int = 0,
    spent: Collection[str] = (),
) -> dict[str, Verdict]:
    """Which of the objects the viewer may ``scope`` now, and why. Objects that do not exist are left out.

    ``output_bytes`` and ``spent`` as in :func:`grid.access.rule.decide`.
    """
    verdicts = _verdicts(session, viewer, scope, object_ids, now, output_bytes, spent)
    return {object_id: verdict for object_id, verdict in verdicts.items() if verdict.allowed}


def require(
    session: Session,
    viewer: Viewer,
    scope: Scope,
    object_ids: Iterable[str],
    *,
    now: float,
    output_bytes: int = 0,
    spent: Collection[str] = (),
) -> frozenset[str]:
    """The grants that doing this to all the objects rests on.

    Raises :class:`NotFound` for an object that the viewer may not even find and is not shown by anything else,
    else :class:`Forbidden`, which says what to ask for, else (only the cap of a grant stands in the way)
    :class:`TooLarge`.
    """
    verdicts = _verdicts(session, viewer, scope, object_ids, now, output_bytes, spent)
    refused = {object_id: each.reason for object_id, each in verdicts.items() if not each.allowed}
    if not refused:
        return frozenset().union(*(verdict.grants for verdict in verdicts.values()))
    if set(refused.values()) == {Reason.OUTPUT}:
        raise TooLarge("this is more than your grant allows to take out at once", size=output_bytes)
    for object_id, reason in refused.items():
        if reason is Reason.UNKNOWN and not is_shown(session, viewer, object_id):
            raise NotFound("there is no such object", id=object_id)
    raise Forbidden(
        f"you may see this, not {_DOING.get(scope, scope)}; ask: .request('why', {scope!r})",
        id=next(iter(refused)),
        scope=scope,
    )


def sees(session: Session, viewer: Viewer, object_id: str, *, now: float) -> bool:
    """Whether the viewer may find the object."""
    return bool(allowed(session, viewer, "find", [object_id], now=now))


def governs(session: Session, user_id: str, object_id: str) -> bool:
    """Whether the user decides who else may have the object. A Network ("") governs nothing."""
    if not user_id:
        return False
    found = select(ObjectRow.id).where(ObjectRow.id == object_id, governed(user_id))
    return session.scalars(found).first() is not None


def _verdicts(
    session: Session,
    viewer: Viewer,
    scope: Scope,
    object_ids: Iterable[str],
    now: float,
    output_bytes: int,
    spent: Collection[str],
) -> dict[str, Verdict]:
    """Of each object, in the order in which they were named."""
    ids = list(dict.fromkeys(object_ids))
    if not ids:
        return {}

    def judged(known: Mapping[str, KnownObject]) -> dict[str, Verdict]:
        return {
            each: decide(viewer, scope, each, known, now=now, output_bytes=output_bytes, spent=spent)
            for each in ids
        }

    known = _with_lists(session, viewer, ids)
    verdicts = judged(known)
    # A list goes before every grant: who is on one need not be asked about any.
    if viewer.is_network or all(verdict.reason is Reason.LIST for verdict in verdicts.values()):
        return verdicts
    granted = _grants(session, viewer, known, now)
    if not granted:
        return verdicts
    return judged({each: replace(it, grants=tuple(granted.get(each, ()))) for each, it in known.items()})


def _with_lists(session: Session, viewer: Viewer, ids: Collection[str]) -> dict[str, KnownObject]:
    """The objects that are there and their sources, with the places on lists that mean the viewer."""
    owners: dict[str, str | None] = {}
    sources: dict[str, set[str]] = defaultdict(set)
    rows = (
        select(ObjectRow.id, ObjectRow.owner, ObjectSource.source_id)
        .outerjoin(ObjectSource, ObjectSource.object_id == ObjectRow.id)
        .where(ObjectRow.id.in_(ids))
    )
    for object_id, owner, source_id in session.execute(rows):
        owners[object_id] = owner
        if source_id is not None:
            sources[object_id].add(source_id)
    behind = set().union(*sources.values()) - owners.keys()
    if behind:
        there = select(ObjectRow.id, ObjectRow.owner).where(ObjectRow.id.in_(behind))
        owners.update((object_id, owner) for object_id, owner in session.execute(there))
    lists: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    if owners:
        places = select(ObjectPermission.object_id, ObjectPermission.scope, ObjectPermission.verify_key)
        places = places.where(
            ObjectPermission.object_id.in_(owners), ObjectPermission.verify_key.in_(viewer.subjects)
        )
        for object_id, name, subject in session.execute(places):
            lists[object_id][name].add(subject)
    return {
        object_id: KnownObject(owner, lists[object_id], frozenset(sources[object_id]))
        for object_id, owner in owners.items()
    }


def _grants(
    session: Session, viewer: Viewer, object_ids: Collection[str], now: float
) -> dict[str, list[KnownGrant]]:
    """The viewer's grants on the objects, without those that are worth nothing to anybody any more."""
    if not object_ids:
        return {}
    statement = select(
        Grant.object_id,
        Grant.id,
        Grant.scope,
        Grant.user_id,
        Grant.expires_at,
        Grant.uses_left,
        Grant.max_output_bytes,
        Grant.revoked_at,
    ).where(Grant.user_id == viewer.user_id, Grant.object_id.in_(object_ids), live(now, used=True))
    found: dict[str, list[KnownGrant]] = defaultdict(list)
    for row in session.execute(statement):
        found[row.object_id].append(
            KnownGrant(
                id=row.id,
                scope=row.scope,
                user_id=row.user_id,
                expires_at=row.expires_at,
                uses_left=row.uses_left,
                max_output_bytes=row.max_output_bytes,
                revoked_at=row.revoked_at,
            )
        )
    return found
