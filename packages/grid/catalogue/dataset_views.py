"""A dataset as others see it: what its owner did not publish is not there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.accounts.tables import User
from grid.catalogue.access import Viewer
from grid.catalogue.tables import DatasetAsset, DatasetRow, DatasetViewer
from grid.storage.tables import ObjectRow
from syft_ext.messages.datasets import AssetView, Column, DatasetView, SearchEntry

__all__ = ["Loaded", "entry_of", "load", "published_text", "view_of"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A dataset with all that belongs to it."""

    row: DatasetRow
    owner: str
    assets: list[tuple[DatasetAsset, ObjectRow]]
    viewers: list[str]


def load(session: Session, rows: Sequence[DatasetRow]) -> list[Loaded]:
    """A page of datasets, in three queries for the whole page."""
    ids = [row.id for row in rows]
    owners = select(User.id, User.email).where(User.id.in_({row.owner_id for row in rows}))
    emails = dict(session.execute(owners).all())
    assets: dict[str, list[tuple[DatasetAsset, ObjectRow]]] = {}
    parts = (
        select(DatasetAsset, ObjectRow)
        .join(ObjectRow, ObjectRow.id == DatasetAsset.object_id)
        .where(DatasetAsset.dataset_id.in_(ids))
        .order_by(DatasetAsset.position)
    )
    for asset, private in session.execute(parts):
        assets.setdefault(asset.dataset_id, []).append((asset, private))
    viewers: dict[str, list[str]] = {}
    for viewer in session.scalars(select(DatasetViewer).where(DatasetViewer.dataset_id.in_(ids))):
        viewers.setdefault(viewer.dataset_id, []).append(viewer.subject)
    return [
        Loaded(row, emails.get(row.owner_id, ""), assets.get(row.id, []), sorted(viewers.get(row.id, [])))
        for row in rows
    ]


def view_of(dataset: Loaded, viewer: Viewer) -> DatasetView:
    """What ``viewer``, who may find the dataset, sees of it."""
    row = dataset.row
    mine = viewer.may_change(row.owner_id)
    shown = {*row.published, *(_ALL if mine else ())}
    return DatasetView(
        id=row.id,
        name=row.name,
        description=row.description if "description" in shown else "",
        tags=list(row.tags) if "tags" in shown else [],
        assets=_assets(dataset, shown),
        owner=dataset.owner if "owner" in shown else "",
        created_at=row.created_at,
        updated_at=row.updated_at,
        visibility=row.visibility if mine else "",
        published=list(row.published) if mine else [],
        viewers=dataset.viewers if mine else [],
    )


_ALL = ("description", "tags", "assets", "schema", "size", "mock", "owner")


def _assets(dataset: Loaded, shown: Iterable[str]) -> list[AssetView]:
    if "assets" not in shown:
        return []
    sized = "size" in shown
    return [
        AssetView(
            name=asset.name,
            description=asset.description,
            object_id=asset.object_id,
            columns=msgspec.convert(asset.columns, list[Column]) if "schema" in shown else [],
            kind=private.kind,
            dtype=private.dtype if sized else None,
            shape=private.shape if sized else None,
            size=private.size if sized else None,
            has_mock=asset.mock_id is not None and "mock" in shown,
        )
        for asset, private in dataset.assets
    ]


def entry_of(dataset: Loaded) -> SearchEntry:
    """What a search shows: only what is published, to the owner as well."""
    row, shown = dataset.row, dataset.row.published
    details: dict[str, object] = {"assets": msgspec.to_builtins(_assets(dataset, shown))}
    if "owner" in shown:
        details["owner"] = dataset.owner
    return SearchEntry(
        kind="dataset",
        id=row.id,
        name=row.name,
        description=row.description if "description" in shown else "",
        tags=list(row.tags) if "tags" in shown else [],
        created_at=row.created_at,
        details=details,
    )


def published_text(dataset: Loaded) -> str:
    """The text that a search looks into."""
    entry = entry_of(dataset)
    words = [entry.name, entry.description, *entry.tags]
    for asset in _assets(dataset, dataset.row.published):
        words += [asset.name, asset.description]
        for column in asset.columns:
            words += [column.name, column.description, column.unit]
    return "\n".join(words)
