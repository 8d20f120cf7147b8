"""What owners said of their tables' columns, and which tables are versions of one, for whoever computes on
them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from grid.catalogue.tables import DatasetAsset, DatasetRow, DatasetVersion
from grid.node import Node
from grid.statistics.ledger_service import LedgerService
from grid.statistics.private.service import QueryService
from grid.statistics.private.tensor_service import TensorService
from grid.statistics.service import StatisticsService
from grid.storage.objects.tables import ObjectRow
from syft_ext.messages.datasets import Column

__all__ = [
    "ledger_service",
    "lineage_of",
    "query_service",
    "schemas_of",
    "statistics_service",
    "tensor_service",
]


def schemas_of(session: Session, object_id: str) -> Iterator[list[Column]]:
    """The schemas of this table in all datasets that have it, those of the newest dataset first.

    Of a version that no dataset has any more as its present one, those of the assets that it is a version of.
    """
    present = DatasetAsset.object_id == object_id
    earlier = exists().where(
        DatasetVersion.dataset_id == DatasetAsset.dataset_id,
        DatasetVersion.asset == DatasetAsset.name,
        DatasetVersion.object_id == object_id,
    )
    for condition in (present, ~present & earlier):
        statement = (
            select(DatasetAsset.columns)
            .join(DatasetRow, DatasetRow.id == DatasetAsset.dataset_id)
            .where(condition)
            .order_by(DatasetRow.updated_at.desc(), DatasetRow.id)
        )
        for documents in session.scalars(statement):
            yield msgspec.convert(documents, list[Column])


def lineage_of(session: Session, object_id: str) -> set[str]:
    """What may hold the same rows as this object, as members of one ledger: the assets that it is a version
    of, and all other versions of these, by object and by content."""
    objects, assets = {object_id}, set[tuple[str, str]]()
    while True:
        found = select(DatasetVersion.dataset_id, DatasetVersion.asset).where(
            DatasetVersion.object_id.in_(objects)
        )
        fresh = {(row.dataset_id, row.asset) for row in session.execute(found)} - assets
        if not fresh:
            break
        assets |= fresh
        for dataset_id, asset in fresh:
            versions = select(DatasetVersion.object_id).where(
                DatasetVersion.dataset_id == dataset_id, DatasetVersion.asset == asset
            )
            objects |= set(session.scalars(versions))
    digests = session.scalars(select(ObjectRow.blob_digest).where(ObjectRow.id.in_(objects)))
    return {
        *(f"object:{each}" for each in objects),
        *(f"content:{digest}" for digest in digests),
        *(f"asset:{dataset_id}/{asset}" for dataset_id, asset in assets),
    }


def statistics_service(node: Node) -> StatisticsService:
    """Statistics of tables whose bounds are those that their datasets' schemas give."""
    return StatisticsService(node, schemas=schemas_of, lineages=lineage_of)


def ledger_service(node: Node) -> LedgerService:
    """Ledgers of tables, one for all versions of an asset."""
    return LedgerService(node, lineages=lineage_of)


def query_service(node: Node) -> QueryService:
    """Private queries, within the bounds that their datasets' schemas give."""
    return QueryService(node, schemas=schemas_of, lineages=lineage_of)


def tensor_service(node: Node) -> TensorService:
    """Private tensors, within the bounds that their datasets' schemas give."""
    return TensorService(node, schemas=schemas_of, lineages=lineage_of)
