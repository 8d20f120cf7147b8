"""A dataset as others see it: what its owner did not publish is not there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.access.viewer import Viewer
from grid.accounts.tables import User
from grid.catalogue.column_statistics import shown, ticked
from grid.catalogue.tables import DatasetAsset, DatasetRow, DatasetVersion, DatasetViewer
from grid.storage.objects.tables import ObjectRow
from syft_ext.messages.datasets import AssetView, Column, DatasetView, SearchEntry, VersionView
from syft_ext.messages.policy import SitePolicy

__all__ = ["LoadedDataset", "Published", "load", "published_of", "view_of"]

_ALL = frozenset({"description", "tags", "assets", "schema", "size", "mock", "owner", "subjects", "versions"})


@dataclass(frozen=True, slots=True)
class LoadedDataset:
    """A dataset with all that belongs to it. ``versions``: by asset, with whether the content is still there."""

    row: DatasetRow
    owner: str
    assets: list[tuple[DatasetAsset, ObjectRow]]
    viewers: list[str]
    versions: Mapping[str, list[tuple[DatasetVersion, bool]]] = field(default_factory=dict)


def load(session: Session, rows: Sequence[DatasetRow]) -> list[LoadedDataset]:
    """A page of datasets, in four queries for the whole page."""
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
    versions = _versions(session, ids)
    return [
        LoadedDataset(
            row,
            emails.get(row.owner_id, ""),
            assets.get(row.id, []),
            sorted(viewers.get(row.id, [])),
            versions.get(row.id, {}),
        )
        for row in rows
    ]


def _versions(
    session: Session, ids: Sequence[str]
) -> dict[str, dict[str, list[tuple[DatasetVersion, bool]]]]:
    statement = (
        select(DatasetVersion, ObjectRow.id)
        .outerjoin(ObjectRow, ObjectRow.id == DatasetVersion.object_id)
        .where(DatasetVersion.dataset_id.in_(ids))
        .order_by(DatasetVersion.number)
    )
    found: dict[str, dict[str, list[tuple[DatasetVersion, bool]]]] = {}
    for version, object_id in session.execute(statement):
        listed = found.setdefault(version.dataset_id, {}).setdefault(version.asset, [])
        listed.append((version, object_id is not None))
    return found


def view_of(dataset: LoadedDataset, viewer: Viewer, policy: SitePolicy) -> DatasetView:
    """What ``viewer``, who may find the dataset, sees of it under the site's policy."""
    row = dataset.row
    mine = viewer.may_change(row.owner_id)
    fields = _ALL if mine else frozenset(row.published)
    assets = _assets(dataset, fields)
    for view, (asset, _) in zip(assets, dataset.assets, strict=bool(assets)):
        if "schema" in fields:
            view.statistics = shown(asset.statistics, policy)
        view.ticked = ticked(asset.statistics) if mine else {}
        if "versions" in fields:
            view.version = asset.version
            view.versions = [_version(each, there, fields) for each, there in _of(dataset, asset)]
    return DatasetView(
        id=row.id,
        name=row.name,
        description=row.description if "description" in fields else "",
        tags=list(row.tags) if "tags" in fields else [],
        subjects=row.subjects if "subjects" in fields else "",
        assets=assets,
        owner=dataset.owner if "owner" in fields else "",
        created_at=row.created_at,
        updated_at=row.updated_at,
        visibility=row.visibility if mine else "",
        published=list(row.published) if mine else [],
        viewers=dataset.viewers if mine else [],
    )


def _of(dataset: LoadedDataset, asset: DatasetAsset) -> list[tuple[DatasetVersion, bool]]:
    return dataset.versions.get(asset.name, [])


def _version(version: DatasetVersion, there: bool, fields: Collection[str]) -> VersionView:
    sized = "size" in fields
    return VersionView(
        number=version.number,
        created_at=version.created_at,
        note=version.note,
        changed=list(version.changed),
        object_id=version.object_id if there else "",
        size=version.size if sized else None,
        rows=version.rows if sized else None,
    )


def _assets(dataset: LoadedDataset, fields: Collection[str]) -> list[AssetView]:
    if "assets" not in fields:
        return []
    sized = "size" in fields
    return [
        AssetView(
            name=asset.name,
            description=asset.description,
            object_id=asset.object_id,
            columns=msgspec.convert(asset.columns, list[Column]) if "schema" in fields else [],
            kind=private.kind,
            dtype=private.dtype if sized else None,
            shape=private.shape if sized else None,
            size=private.size if sized else None,
            rows=asset.rows if sized else None,
            has_mock=asset.mock_id is not None and "mock" in fields,
        )
        for asset, private in dataset.assets
    ]


@dataclass(frozen=True, slots=True)
class Published:
    """What a search shows of a dataset and looks into, to the owner as well.

    Attributes:
        entry: without what changes by itself: the owner's address and statistics, which are added to an answer.
        columns: names, as their owner wrote them.
        size, rows: bytes of all assets, and rows of the longest; None when not published or not known.
    """

    entry: SearchEntry
    text: str
    tags: list[str]
    columns: list[str]
    size: int | None
    rows: int | None


def published_of(dataset: LoadedDataset) -> Published:
    """What its owner publishes of the dataset, and nothing else: all that a search compares or shows."""
    row, fields = dataset.row, frozenset(dataset.row.published)
    assets = _assets(dataset, fields)
    details: dict[str, object] = {"assets": msgspec.to_builtins(assets)}
    if "subjects" in fields and row.subjects:
        details["subjects"] = row.subjects
    entry = SearchEntry(
        kind="dataset",
        id=row.id,
        name=row.name,
        description=row.description if "description" in fields else "",
        tags=list(row.tags) if "tags" in fields else [],
        created_at=row.created_at,
        details=details,
    )
    words = [entry.name, entry.description, *entry.tags, str(details.get("subjects", ""))]
    for asset in assets:
        words += [asset.name, asset.description]
        for column in asset.columns:
            words += [column.name, column.description, column.unit, *column.categories]
    sized = [(private.size, asset.rows) for asset, private in dataset.assets] if "size" in fields else []
    rows = [rows for _, rows in sized if rows is not None]
    return Published(
        entry=entry,
        text="\n".join(words),
        tags=entry.tags,
        columns=[column.name for asset in assets for column in asset.columns],
        size=sum(size for size, _ in sized) if sized and assets else None,
        rows=max(rows) if rows and assets else None,
    )
