"""What owners said of their tables' columns, for whoever computes on them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.catalogue.tables import DatasetAsset, DatasetRow
from grid.node import Node
from grid.statistics.service import StatisticsService
from syft_ext.messages.datasets import Column

__all__ = ["schemas_of", "statistics_service"]


def schemas_of(session: Session, object_id: str) -> Iterator[list[Column]]:
    """The schemas of this table in all datasets that have it, those of the newest dataset first."""
    statement = (
        select(DatasetAsset.columns)
        .join(DatasetRow, DatasetRow.id == DatasetAsset.dataset_id)
        .where(DatasetAsset.object_id == object_id)
        .order_by(DatasetRow.updated_at.desc(), DatasetRow.id)
    )
    for documents in session.scalars(statement):
        yield msgspec.convert(documents, list[Column])


def statistics_service(node: Node) -> StatisticsService:
    """Statistics of tables whose bounds are those that their datasets' schemas give."""
    return StatisticsService(node, schemas=schemas_of)
