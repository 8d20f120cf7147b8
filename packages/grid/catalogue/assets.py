"""What a dataset is made of: its assets, checked against the data, and the versions of their content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from grid.access.decision import governs
from grid.catalogue.forms import Form, completed, form_of
from grid.catalogue.tables import DatasetAsset, DatasetRow, DatasetVersion
from grid.statistics.columns import GROUPABLE
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import BadRequest, NotFound
from syft_ext.messages.datasets import Asset, Column, UpdateAsset

__all__ = ["AssetWriter", "as_message"]


@dataclass(frozen=True, slots=True)
class _Before:
    """What an asset of this name was."""

    object_id: str
    mock_id: str | None
    columns: list[object]
    version: int
    statistics: dict[str, object]


@dataclass(frozen=True, slots=True)
class AssetWriter:
    """Writes the assets of one dataset in one transaction, at the time ``now``."""

    session: Session
    blobs: BlobStore
    row: DatasetRow
    now: float

    def set_all(self, assets: Sequence[Asset], note: str = "") -> None:
        """Replace the assets. Raises :class:`BadRequest` or :class:`NotFound` for what cannot be one."""
        if len({asset.name for asset in assets}) != len(assets):
            raise BadRequest("two assets have the same name")
        mine = DatasetAsset.dataset_id == self.row.id
        before = {
            each.name: _Before(
                each.object_id, each.mock_id, list(each.columns), each.version, dict(each.statistics)
            )
            for each in self.session.scalars(select(DatasetAsset).where(mine))
        }
        self.session.execute(delete(DatasetAsset).where(mine))
        self.session.expire_all()
        for position, asset in enumerate(assets):
            self._add(position, asset, before.get(asset.name), note)
        self.session.flush()

    def _add(self, position: int, asset: Asset, before: _Before | None, note: str) -> None:
        private = self._own(asset.object_id)
        form = form_of(self.blobs, private.blob_digest, private.kind)
        columns = completed(form, asset.columns, asset.name)
        self._check_categories(columns)
        self._check_person(columns, form)
        self._check_mock(asset, private, form)
        documents: list[object] = list(msgspec.to_builtins(columns))
        added = DatasetAsset(
            dataset_id=self.row.id,
            name=asset.name,
            position=position,
            description=asset.description,
            object_id=asset.object_id,
            mock_id=asset.mock_id,
            columns=documents,
            rows=form.rows,
            version=self._last_version(asset.name) if before is None else before.version,
            statistics={} if before is None else before.statistics,
        )
        changed = ["content"] if before is None else _changed(before, asset, documents)
        if "content" in changed:
            added.version += 1
            # Counts and means of two versions tell the rows between them: whether to publish them is asked anew.
            added.statistics = {}
            version = DatasetVersion(
                dataset_id=self.row.id,
                asset=asset.name,
                number=added.version,
                created_at=self.now,
                note=note,
                changed=changed,
                object_id=asset.object_id,
                size=private.size,
                rows=form.rows,
            )
            self.session.add(version)
        self.session.add(added)

    def _last_version(self, asset: str) -> int:
        """Numbers go on where an asset of that name was before."""
        last = select(func.max(DatasetVersion.number)).where(
            DatasetVersion.dataset_id == self.row.id, DatasetVersion.asset == asset
        )
        return self.session.scalar(last) or 0

    def _check_mock(self, asset: Asset, private: ObjectRow, form: Form) -> None:
        if asset.mock_id is None:
            return
        mock = self._own(asset.mock_id)
        if mock.blob_digest == private.blob_digest and form.rows != 0:
            raise BadRequest(f"the mock of {asset.name!r} holds the private data itself")
        if mock.kind != private.kind:
            raise BadRequest(f"the mock of {asset.name!r} is a {mock.kind}, the data a {private.kind}")
        if not form.like(form_of(self.blobs, mock.blob_digest, mock.kind)):
            raise BadRequest(f"the mock of {asset.name!r} has other columns, types or shapes than the data")

    @staticmethod
    def _check_categories(columns: Iterable[Column]) -> None:
        for column in columns:
            if len(set(column.categories)) != len(column.categories):
                raise BadRequest(f"column {column.name!r}: a category is named twice", column=column.name)

    @staticmethod
    def _check_person(columns: Iterable[Column], form: Form) -> None:
        """One column of whole numbers says who a row belongs to: what the noise of statistics is made for."""
        named = [column for column in columns if column.rows_per_person]
        if len(named) > 1:
            raise BadRequest("two columns say who a row belongs to", column=named[1].name)
        for column in named:
            specs = [spec for spec in form.specs if spec.name == column.name and len(spec.shape) == 1]
            if form.specs and (not specs or specs[0].dtype not in GROUPABLE):
                raise BadRequest(
                    f"{column.name!r} cannot say who a row belongs to: it is no column of whole numbers",
                    column=column.name,
                )

    def _own(self, object_id: str) -> ObjectRow:
        """An object of the dataset's owner, made of their own data: nobody publishes (a mock of) others' data."""
        found = self.session.get(ObjectRow, object_id)
        owner = self.row.owner_id
        if found is None or found.owner != owner or not governs(self.session, owner, object_id):
            raise NotFound("there is no such object of yours", id=object_id)
        return found


def _changed(before: _Before, asset: Asset, columns: list[object]) -> list[str]:
    differences = {
        "content": asset.object_id != before.object_id,
        "schema": columns != before.columns,
        "mock": asset.mock_id != before.mock_id,
    }
    return [name for name, different in differences.items() if different]


def as_message(row: DatasetAsset, changes: UpdateAsset | None = None) -> Asset:
    """An asset as its owner would register it, with what is changed of it."""
    columns = msgspec.convert(row.columns, list[Column])
    asset = Asset(
        name=row.name,
        object_id=row.object_id,
        mock_id=row.mock_id,
        description=row.description,
        columns=columns,
    )
    if changes is not None and changes.asset == row.name:
        if changes.object_id not in (None, row.object_id) and changes.columns is None:
            asset.columns = [msgspec.structs.replace(each, dtype="", shape=[]) for each in columns]
        for name in ("object_id", "mock_id", "description", "columns"):
            if (value := getattr(changes, name)) is not None:
                setattr(asset, name, value)
    return asset
