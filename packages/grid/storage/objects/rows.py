"""Object descriptions as rows and back: the SQL of :class:`grid.storage.objects.store.DiskObjectStore`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, exists, insert, or_, select
from sqlalchemy.orm import Session

from grid.storage.objects.tables import ObjectPermission, ObjectRow, ObjectTag
from grid.storage.sql import dialect
from grid.storage.sql.dialect import table_of
from syft_ext.store.objects import ObjectInfo, fold, searchable
from syft_ext.store.permissions import VERIFYALL

__all__ = ["PERMISSIONS", "add_permissions", "infos_of", "matching", "upsert", "write_tags"]

OBJECTS, TAGS, PERMISSIONS = table_of(ObjectRow), table_of(ObjectTag), table_of(ObjectPermission)


def upsert(session: Session, info: ObjectInfo, digest: str) -> None:
    """Write all rows of a description, in place of those of an object with the same id."""
    values: dict[str, Any] = {
        "kind": info.kind,
        "blob_digest": digest,
        "size": info.size,
        "dtype": info.dtype,
        "shape": None if info.shape is None else list(info.shape),
        "description": info.description,
        "search_text": searchable(info.description, info.tags),
        "owner": info.owner,
        "created_at": info.created_at,
    }
    statement = dialect.insert(session, OBJECTS).values(id=info.id, **values)
    # Updated, not replaced: other tables refer to the row.
    session.execute(statement.on_conflict_do_update(index_elements=[OBJECTS.c.id], set_=values))
    write_tags(session, info.id, info.tags)
    lists = ("read", "search")  # the others are not of the store's making, and stay
    session.execute(
        delete(PERMISSIONS).where(PERMISSIONS.c.object_id == info.id, PERMISSIONS.c.scope.in_(lists))
    )
    for scope, keys in (("read", info.read_permissions), ("search", info.search_permissions)):
        for key in keys:
            add_permissions(session, info.id, key, [scope])


def write_tags(session: Session, object_id: str, tags: Sequence[str]) -> None:
    """Put these tags in place of the object's, in this order."""
    session.execute(delete(TAGS).where(TAGS.c.object_id == object_id))
    if tags:
        rows = [{"object_id": object_id, "position": i, "tag": tag} for i, tag in enumerate(tags)]
        session.execute(insert(TAGS), rows)


def add_permissions(session: Session, object_id: str, verify_key: str, scopes: Iterable[str]) -> None:
    """Put a key, a user or a group on lists of the object; where it is already, nothing changes."""
    statement = dialect.insert(session, PERMISSIONS).on_conflict_do_nothing()
    for scope in scopes:
        session.execute(statement.values(object_id=object_id, scope=scope, verify_key=verify_key))


def infos_of(session: Session, ids: Sequence[str]) -> list[ObjectInfo]:
    """The descriptions of ``ids``, in their order; unknown ones are left out."""
    if not ids:
        return []
    tags: dict[str, list[str]] = defaultdict(list)
    for object_id, tag in session.execute(
        select(TAGS.c.object_id, TAGS.c.tag).where(TAGS.c.object_id.in_(ids)).order_by(TAGS.c.position)
    ):
        tags[object_id].append(tag)
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for object_id, scope, key in session.execute(
        select(PERMISSIONS.c.object_id, PERMISSIONS.c.scope, PERMISSIONS.c.verify_key).where(
            PERMISSIONS.c.object_id.in_(ids)
        )
    ):
        keys[object_id, scope].add(key)
    rows = {row.id: row for row in session.execute(select(OBJECTS).where(OBJECTS.c.id.in_(ids)))}
    return [
        ObjectInfo(
            id=row.id,
            kind=row.kind,
            description=row.description,
            tags=tuple(tags[row.id]),
            read_permissions=frozenset(keys[row.id, "read"]),
            search_permissions=frozenset(keys[row.id, "search"]),
            owner=row.owner,
            created_at=row.created_at,
            size=row.size,
            dtype=row.dtype,
            shape=None if row.shape is None else tuple(row.shape),
        )
        for row in map(rows.get, ids)
        if row is not None
    ]


def matching(text: str, tags: Iterable[str], kind: str | None, visible_to: str | None) -> Select[str]:
    """The ids that a search finds, newest first; see :meth:`syft_ext.store.ObjectStore.search`."""
    conditions: list[ColumnElement[bool]] = [
        OBJECTS.c.search_text.contains(word, autoescape=True) for word in fold(text).split()
    ]
    for tag in set(tags):
        conditions.append(exists().where(TAGS.c.object_id == OBJECTS.c.id, TAGS.c.tag == tag))
    if kind is not None:
        conditions.append(OBJECTS.c.kind == kind)
    if visible_to is not None:
        conditions.append(
            exists().where(
                PERMISSIONS.c.object_id == OBJECTS.c.id,
                PERMISSIONS.c.scope == "search",
                or_(PERMISSIONS.c.verify_key == visible_to, PERMISSIONS.c.verify_key == VERIFYALL),
            )
        )
    return select(OBJECTS.c.id).where(*conditions).order_by(OBJECTS.c.created_at.desc(), OBJECTS.c.id)
