"""Datasets as search finds them: one query for what is published, which stands ready beside each dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from grid.accounts.tables import User
from grid.catalogue.access import Viewer
from grid.catalogue.column_statistics import shown
from grid.catalogue.search import Query
from grid.catalogue.tables import DatasetAsset, DatasetColumn, DatasetRow, DatasetTag
from grid.catalogue.visibility import findable
from grid.governance.policy import current_policy
from grid.storage.database import Database
from syft_ext.messages.datasets import SearchEntry

__all__ = ["DatasetSource"]

_decode = msgspec.msgpack.Decoder(SearchEntry).decode


class DatasetSource:
    kind = "dataset"

    def __init__(self, db: Database) -> None:
        self._db = db

    def search(self, query: Query, viewer: Viewer) -> list[SearchEntry]:
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
            entries = [_decode(row.entry) for row in rows]
            _add_owners(session, rows, entries)
            _add_statistics(session, rows, entries)
        return entries


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


def _add_owners(session: Session, rows: Sequence[Any], entries: Sequence[SearchEntry]) -> None:
    named = {row.owner_id for row in rows if "owner" in row.published}
    if not named:
        return
    emails = dict(session.execute(select(User.id, User.email).where(User.id.in_(named))).all())
    for row, entry in zip(rows, entries, strict=True):
        if "owner" in row.published:
            entry.details["owner"] = emails.get(row.owner_id, "")


def _add_statistics(session: Session, rows: Sequence[Any], entries: Sequence[SearchEntry]) -> None:
    """Those that are ticked, as the site's policy lets them be seen now."""
    having = [row.id for row in rows if row.has_statistics]
    if not having:
        return
    policy = current_policy(session)
    statement = select(DatasetAsset.dataset_id, DatasetAsset.name, DatasetAsset.statistics).where(
        DatasetAsset.dataset_id.in_(having)
    )
    found = {(each.dataset_id, each.name): each.statistics for each in session.execute(statement)}
    for entry in entries:
        for asset in entry.details.get("assets", []):
            if (entry.id, asset["name"]) in found:
                asset["statistics"] = shown(found[entry.id, asset["name"]], policy)
