"""The lists of an object, for whoever may see or change them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from grid.access.scopes import ListName
from grid.storage.objects.tables import ObjectPermission

__all__ = ["members", "set_members"]


def members(session: Session, object_id: str, name: ListName) -> list[str]:
    """The subjects on a list, in the order of their names."""
    listed = select(ObjectPermission.verify_key).where(
        ObjectPermission.object_id == object_id, ObjectPermission.scope == name
    )
    return sorted(session.scalars(listed))


def set_members(session: Session, object_id: str, name: ListName, subjects: Collection[str]) -> None:
    """Put these subjects, and nobody else, on a list."""
    session.execute(
        delete(ObjectPermission).where(
            ObjectPermission.object_id == object_id, ObjectPermission.scope == name
        )
    )
    if subjects:
        rows = [{"object_id": object_id, "scope": name, "verify_key": subject} for subject in set(subjects)]
        session.execute(insert(ObjectPermission), rows)
