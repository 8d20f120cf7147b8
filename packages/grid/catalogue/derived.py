"""What a node makes of an asset's data for its owner: the statistics that he ticked, and mocks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, get_args

import msgspec
from sqlalchemy import select

from grid.catalogue.access import Viewer
from grid.catalogue.column_statistics import compute, shown, ticked
from grid.catalogue.datasets import DatasetManager, Look, asset_of
from grid.catalogue.forms import form_of
from grid.catalogue.mocks import mock_content
from grid.catalogue.tables import DatasetAsset, DatasetRow
from grid.catalogue.visibility import changeable
from grid.governance.policy import current_policy
from grid.storage.blobs import BlobStore
from grid.storage.database import Database
from grid.storage.tables import ObjectRow
from syft_ext.errors import BadRequest, Conflict, GridError, TooLarge
from syft_ext.messages.datasets import Column, ColumnStatistic, DatasetView, MakeMock, PublishStatistics
from syft_ext.messages.policy import SitePolicy
from syft_ext.sources.content import PartsContent

__all__ = ["DerivedManager", "MadeMock"]

MAX_MOCK = 256 << 20


@dataclass(frozen=True, slots=True)
class MadeMock:
    """A mock that is to be kept; ``replaces``: the object that it takes the place of."""

    content: PartsContent
    label: str
    replaces: str | None


class DerivedManager:
    def __init__(self, db: Database, blobs: BlobStore, datasets: DatasetManager) -> None:
        self._db, self._blobs, self._datasets = db, blobs, datasets

    # -- statistics ---------------------------------------------------------------------------------

    def publish(self, look: Look, message: PublishStatistics) -> tuple[DatasetView, str]:
        """Compute and keep what is ticked; the dataset, and the id of the object that was read."""
        with self._db.read() as session:
            row = changeable(session, look(session), message.dataset_id, content=True)
            object_id = asset_of(session, row, message.asset).object_id
            private, policy = session.get_one(ObjectRow, object_id), current_policy(session)
            digest, kind = private.blob_digest, private.kind
        wanted: dict[str, list[str]] = {
            column: [name for name in get_args(ColumnStatistic) if name in names]
            for column, names in message.statistics.items()
            if names
        }
        found = compute(self._blobs, digest, kind, wanted, policy)
        with self._db.transaction() as session:
            viewer = look(session)
            row = changeable(session, viewer, message.dataset_id, content=True)
            asset = asset_of(session, row, message.asset)
            if asset.object_id != object_id or current_policy(session) != policy:
                raise Conflict("the asset or the site's policy changed meanwhile; ask again")
            asset.statistics = {"ticked": wanted, "found": found}
            return self._datasets.finish(session, viewer, row), object_id

    def refresh(self, dataset_id: str) -> None:
        """Compute what is ticked of content that is new. What cannot be had of it is not shown."""
        with self._db.read() as session:
            policy = current_policy(session)
            statement = (
                select(DatasetAsset, ObjectRow)
                .join(ObjectRow, ObjectRow.id == DatasetAsset.object_id)
                .where(DatasetAsset.dataset_id == dataset_id)
            )
            waiting = [
                (asset.name, asset.object_id, private.blob_digest, private.kind, ticked(asset.statistics))
                for asset, private in session.execute(statement)
                if ticked(asset.statistics) and not asset.statistics.get("found")
            ]
        for name, object_id, digest, kind, wanted in waiting:
            found = self._possible(digest, kind, wanted, policy)
            with self._db.transaction() as session:
                row, asset = (
                    session.get(DatasetRow, dataset_id),
                    session.get(DatasetAsset, (dataset_id, name)),
                )
                if row is None or asset is None or asset.object_id != object_id:
                    continue
                asset.statistics = {**asset.statistics, "found": found}
                self._datasets.finish(session, Viewer(row.owner_id, frozenset()), row)

    def _possible(
        self, digest: str, kind: str, wanted: dict[str, list[str]], policy: SitePolicy
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for column, names in wanted.items():
            with suppress(GridError):  # the column is gone, or the policy does not allow it any more
                found.update(compute(self._blobs, digest, kind, {column: names}, policy))
        return found

    # -- mocks --------------------------------------------------------------------------------------

    def mock(self, look: Look, message: MakeMock) -> MadeMock:
        with self._db.read() as session:
            row = changeable(session, look(session), message.dataset_id, content=True)
            asset = asset_of(session, row, message.asset)
            private = session.get_one(ObjectRow, asset.object_id)
            told = "schema" in row.published
            columns = msgspec.convert(asset.columns, list[Column]) if told else []
            numbers = shown(asset.statistics, current_policy(session)) if told else {}
            digest, kind, replaces = private.blob_digest, private.kind, asset.mock_id
            label = f"mock of {row.name}/{asset.name}"[:1000]
        form = form_of(self._blobs, digest, kind)
        if not form.specs:
            raise BadRequest(f"a {kind} has no schema to make a mock from; give one")
        ranges = {
            column: (float(low), float(high))
            for column, each in numbers.items()
            if (low := each.get("min")) is not None and (high := each.get("max")) is not None
        }
        content = mock_content(kind, form, columns, ranges, message.rows, message.seed)
        if content.size > MAX_MOCK:
            raise TooLarge("the mock would be too large; ask for fewer rows", limit=MAX_MOCK)
        return MadeMock(content, label, replaces)
