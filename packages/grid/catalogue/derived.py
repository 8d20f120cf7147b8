"""What a node makes of an asset's data for its owner: the statistics that they ticked, and mocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import msgspec

from grid.access.policy import current_policy
from grid.catalogue.column_statistics import compute, shown
from grid.catalogue.datasets import DatasetManager, ViewerLoader, asset_of
from grid.catalogue.forms import form_of
from grid.catalogue.mocks import mock_content
from grid.catalogue.visibility import changeable
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.database import Database
from syft_ext.errors import BadRequest, Conflict, TooLarge
from syft_ext.messages.datasets import Column, ColumnStatistic, DatasetView, MakeMock, PublishStatistics
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
    """Computes from private data what its owner wants published; nobody else may ask for it."""

    def __init__(self, db: Database, blobs: BlobStore, datasets: DatasetManager) -> None:
        self._db, self._blobs, self._datasets = db, blobs, datasets

    # -- statistics ---------------------------------------------------------------------------------

    def publish(self, load_viewer: ViewerLoader, message: PublishStatistics) -> tuple[DatasetView, str]:
        """Compute and keep what is ticked; the dataset, and the id of the object that was read."""
        with self._db.read() as session:
            row = changeable(session, load_viewer(session), message.dataset_id, content=True)
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
            viewer = load_viewer(session)
            row = changeable(session, viewer, message.dataset_id, content=True)
            asset = asset_of(session, row, message.asset)
            if asset.object_id != object_id or current_policy(session) != policy:
                raise Conflict("the asset or the site's policy changed meanwhile; ask again")
            asset.statistics = {"ticked": wanted, "found": found}
            return self._datasets.finish(session, viewer, row), object_id

    # -- mocks --------------------------------------------------------------------------------------

    def mock(self, load_viewer: ViewerLoader, message: MakeMock) -> MadeMock:
        """A mock for the caller to keep. Raises :class:`BadRequest` for a kind of data without a schema."""
        with self._db.read() as session:
            row = changeable(session, load_viewer(session), message.dataset_id, content=True)
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
