"""What a node makes of an asset's data for its owner: the statistics that they ticked, and mocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import msgspec
from sqlalchemy.orm import Session

from grid.access.policy import current_policy
from grid.catalogue.column_statistics import Computing, compute, shown
from grid.catalogue.datasets import DatasetManager, ViewerLoader, asset_of
from grid.catalogue.forms import form_of
from grid.catalogue.mocks import mock_content
from grid.catalogue.schemas import schemas_of
from grid.catalogue.tables import DatasetAsset, DatasetRow
from grid.catalogue.visibility import changeable
from grid.node import Node
from grid.privacy.budget.ledger import ledger_of, note_ledger
from grid.spending.keeping import check_newest
from grid.statistics.guarded.desk import GuardedDesk
from grid.storage.objects.tables import ObjectRow
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

    def __init__(self, node: Node, datasets: DatasetManager, desk: GuardedDesk) -> None:
        self._db, self._blobs, self._clock = node.db, node.blobs, node.clock
        self._datasets, self._desk = datasets, desk

    # -- statistics ---------------------------------------------------------------------------------

    def publish(self, load_viewer: ViewerLoader, message: PublishStatistics) -> tuple[DatasetView, str]:
        """Compute and keep what is ticked; the dataset, and the id of the object that was read."""
        with self._db.read() as session:
            viewer = load_viewer(session)
            row = changeable(session, viewer, message.dataset_id, content=True)
            object_id = asset_of(session, row, message.asset).object_id
            private, policy = session.get_one(ObjectRow, object_id), current_policy(session)
            digest, kind = private.blob_digest, private.kind
            schemas = list(schemas_of(session, object_id))
        wanted: dict[str, list[str]] = {
            column: [name for name in get_args(ColumnStatistic) if name in names]
            for column, names in message.statistics.items()
            if names
        }

        def unchanged(session: Session) -> tuple[DatasetRow, DatasetAsset]:
            row = changeable(session, load_viewer(session), message.dataset_id, content=True)
            asset = asset_of(session, row, message.asset)
            if asset.object_id != object_id or current_policy(session) != policy:
                raise Conflict("the asset or the site's policy changed meanwhile; ask again")
            return row, asset

        def authorise(session: Session) -> None:
            unchanged(session)

        computing = Computing(
            blobs=self._blobs,
            object_id=object_id,
            digest=digest,
            kind=kind,
            policy=policy,
            owner_id=viewer.user_id,
            schemas=schemas,
            desk=self._desk,
            authorise=authorise,
        )
        document = compute(computing, wanted, exact=message.exact)
        with self._db.transaction() as session:
            row, asset = unchanged(session)
            if document.get("word"):
                self._give_word(session, object_id, digest)
            asset.statistics = document
            return self._datasets.finish(session, load_viewer(session), row), object_id

    def _give_word(self, session: Session, object_id: str, digest: str) -> None:
        """Exact statistics of a guarded table: of one content of its lineage, ever."""
        members = self._desk.members(session, object_id, digest)
        ledger = ledger_of(session, members, now=self._clock.now())
        if ledger.exact_digest not in (None, digest):
            raise Conflict(
                "exact statistics of another version of this table were published: beside those, exact ones of "
                "this version would tell the rows between them"
            )
        if ledger.exact_digest is None:
            check_newest(session)
        ledger.exact_digest = digest
        session.flush()
        note_ledger(session, ledger)

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
