"""The rule as SQL: conditions on objects for listings and searches, and the question of one list, prepared.

Beside each condition stands what it says in :mod:`grid.access.rule`; tests hold them together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, false, or_, select, true
from sqlalchemy.orm import aliased

from grid.access.scopes import LADDER, ListName, Scope
from grid.access.tables import ObjectSource
from grid.access.viewer import EVERYBODY, GROUP, Viewer
from grid.accounts.tables import GroupMember
from grid.storage.objects.tables import ObjectPermission, ObjectRow
from grid.storage.sql.connections import DriverConnection
from grid.storage.sql.prepared import PreparedSizes, places

__all__ = ["all_listed", "governed", "in_listing", "on_a_list", "searchable"]


def on_a_list(viewer: Viewer, *lists: ListName) -> ColumnElement[bool]:
    """The viewer is on one of these lists of an object (:func:`grid.access.rule.on_a_list`)."""
    return exists().where(
        ObjectPermission.object_id == ObjectRow.id,
        ObjectPermission.scope.in_(lists),
        ObjectPermission.verify_key.in_(viewer.subjects),
    )


def searchable(viewer: Viewer) -> ColumnElement[bool]:
    """A search shows the viewer an object: less than they may find, because readers and those who hold a grant are
    told its id by whoever let them."""
    return on_a_list(viewer, "search")


def in_listing(viewer: Viewer) -> ColumnElement[bool]:
    """A listing shows the viewer an object: what a search shows, and everything to a manager."""
    return true() if viewer.manager else searchable(viewer)


def governed(user_id: str) -> ColumnElement[bool]:
    """The user owns each of an object's sources, and all are still there (:func:`grid.access.rule.governs`)."""
    if not user_id:
        return false()
    source = aliased(ObjectRow)
    derived = exists().where(ObjectSource.object_id == ObjectRow.id)
    gone_or_foreign = (
        select(ObjectSource.source_id)
        .outerjoin(source, source.id == ObjectSource.source_id)
        .where(
            ObjectSource.object_id == ObjectRow.id,
            or_(source.id.is_(None), source.owner.is_(None), source.owner != user_id),
        )
        .exists()
    )
    return or_(and_(~derived, ObjectRow.owner == user_id), and_(derived, ~gone_or_foreign))


def _listed(scope: Scope) -> Callable[[int], Select[Any]]:
    def of_size(size: int) -> Select[Any]:
        """Those of ``size`` objects that the user is on a list of; their groups are those of the moment."""
        of_group = select(GroupMember.group_id).where(
            GroupMember.user_id == bindparam("user_id"),
            ObjectPermission.verify_key == GROUP + GroupMember.group_id,
        )
        themselves = or_(
            ObjectPermission.verify_key == EVERYBODY, ObjectPermission.verify_key == bindparam("user_id")
        )
        return select(ObjectPermission.object_id).where(
            ObjectPermission.object_id.in_(places("object_id", size)),
            or_(*(ObjectPermission.scope == name for name in LADDER[scope].lists)),
            or_(themselves, of_group.exists()),
        )

    return of_size


_LISTED = {scope: PreparedSizes(_listed(scope)) for scope in LADDER}


def all_listed(connection: DriverConnection, user_id: str, scope: Scope, object_ids: Sequence[str]) -> bool:
    """Whether lists alone allow the scope on all of the objects: the common case, for one prepared query.

    False does not say that anything is refused: :func:`grid.access.decision.allowed` knows of grants and derived
    objects, too.
    """
    wanted = set(object_ids)
    if not wanted or not user_id:
        return not wanted
    found = _LISTED[scope].run(connection, {"user_id": user_id}, object_id=object_ids).all()
    return {row.object_id for row in found} == wanted
