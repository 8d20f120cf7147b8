"""What a stored object was computed from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from grid.access.tables import ObjectSource
from grid.storage.sql.dialect import table_of

__all__ = ["add_sources", "sources_of"]


def sources_of(session: Session, object_ids: Collection[str]) -> dict[str, frozenset[str]]:
    """The sources of each object; an object that was not derived is its own."""
    found: dict[str, set[str]] = defaultdict(set)
    rows = select(ObjectSource.object_id, ObjectSource.source_id).where(
        ObjectSource.object_id.in_(object_ids)
    )
    for object_id, source_id in session.execute(rows):
        found[object_id].add(source_id)
    return {object_id: frozenset(found.get(object_id) or {object_id}) for object_id in object_ids}


def add_sources(session: Session, object_id: str, sources: Iterable[str]) -> None:
    """Write down, in the transaction that makes the object, what it was computed from: objects that nobody
    computed here. Without any it is its owner's own."""
    rows = [{"object_id": object_id, "source_id": source} for source in sources]
    if rows:
        session.execute(insert(table_of(ObjectSource)), rows)
