"""Datasets as search finds them: one query for what is published, which stands ready beside each dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from grid.access.viewer import Viewer
from grid.accounts.tables import User
from grid.catalogue.column_statistics import published_statistics, with_statistics
from grid.catalogue.published_index import PublishedIndex
from grid.catalogue.search import Query
from grid.catalogue.tables import DatasetColumn, DatasetRow, DatasetTag
from grid.catalogue.visibility import findable
from grid.storage.sql.database import Database
from syft_ext.messages.datasets import SearchEntry

__all__ = ["DatasetSearch"]

_decode = msgspec.msgpack.Decoder(SearchEntry).decode


class DatasetSearch:
    """The source of datasets: from memory for associated Networks, which ask often, else from the database."""

    kind = "dataset"

    def __init__(self, db: Database) -> None:
        self._db = db
        self._index = PublishedIndex(db)

    def search(self, query: Query, viewer: Viewer) -> list[SearchEntry]:
        """What fits and the viewer may find, newest first, with published statistics and owners' addresses."""
        found = self._index.search(query) if viewer.is_network else None
        if found is None:
            return self._ask(query, viewer)
        if not any("owner" in row.published for row in found.rows):
            return found.entries
        with self._db.read() as session:
            return _with_owners(session, found.rows, found.entries)

    def _ask(self, query: Query, viewer: Viewer) -> list[SearchEntry]:
        statement = (
            select(
                DatasetRow.id,
                DatasetRow.owner_id,
                DatasetRow.entry,
                DatasetRow.published,
                DatasetRow.has_statistics,
            )
            .where(findable(viewer), *_conditions(query))
            .order_by(DatasetRow.created_at.desc(), DatasetRow.id)
            .limit(query.limit)
        )
        with self._db.read() as session:
            rows = session.execute(statement).all()
            numbers = published_statistics(session, [row.id for row in rows if row.has_statistics])
            entries = [with_statistics(_decode(row.entry), numbers.get(row.id)) for row in rows]
            return _with_owners(session, rows, entries)


def _conditions(query: Query) -> list[ColumnElement[bool]]:
    """What is not published is NULL or missing in all of these, and so finds nothing."""
    found: list[ColumnElement[bool]] = [
        DatasetRow.search_text.contains(word, autoescape=True) for word in query.words
    ]
    for tag in query.tags:
        found.append(exists().where(DatasetTag.dataset_id == DatasetRow.id, DatasetTag.tag == tag))
    for name in query.columns:
        found.append(exists().where(DatasetColumn.dataset_id == DatasetRow.id, DatasetColumn.name == name))
    if query.name:
        found.append(DatasetRow.name == query.name)
    for column, low, high in (
        (DatasetRow.published_bytes, query.min_bytes, query.max_bytes),
        (DatasetRow.published_rows, query.min_rows, query.max_rows),
    ):
        if low is not None:
            found.append(column >= low)
        if high is not None:
            found.append(column <= high)
    return found


def _with_owners(session: Session, rows: Sequence[Any], entries: Sequence[SearchEntry]) -> list[SearchEntry]:
    """The entries with the addresses of their owners, where these are published; what is given stays as it is."""
    named = {row.owner_id for row in rows if "owner" in row.published}
    if not named:
        return list(entries)
    emails = dict(session.execute(select(User.id, User.email).where(User.id.in_(named))).all())
    return [
        msgspec.structs.replace(entry, details={**entry.details, "owner": emails.get(row.owner_id, "")})
        if "owner" in row.published
        else entry
        for row, entry in zip(rows, entries, strict=True)
    ]
