"""What a Domain lets be found beside its datasets: the models of its trainings; and how much it has of what."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from grid.catalogue.access import Viewer
from grid.catalogue.search import Query, SearchService
from grid.catalogue.tables import DatasetRow
from grid.federated.tables import Process
from grid.node import Node, Service
from syft_ext.messages.datasets import SearchEntry

__all__ = ["ModelSearchService", "ModelSource", "counts_of"]


class ModelSource:
    """Models in training or trained. Whoever may search may know that they are here, as every Worker may.

    ``description`` and ``tags`` are those of the training's ``client_config``, if its host gave any.
    """

    kind = "model"

    def __init__(self, node: Node) -> None:
        self._node = node

    def search(self, query: Query, viewer: Viewer) -> list[SearchEntry]:
        """Models that fit, newest first. A training without a model yet has none to be found."""
        statement = select(Process).where(Process.latest_checkpoint > 0)
        if query.name:
            statement = statement.where(Process.name == query.name)
        statement = statement.order_by(Process.created_at.desc(), Process.id)
        found: list[SearchEntry] = []
        with self._node.db.read() as session:
            for row in session.scalars(statement).yield_per(500):
                entry = _entry(row)
                if query.matches(entry, row.version):
                    found.append(entry)
                if len(found) >= query.limit:
                    break
        return found


def _entry(row: Process) -> SearchEntry:
    description, tags = row.client_config.get("description"), row.client_config.get("tags")
    return SearchEntry(
        kind="model",
        id=row.id,
        name=row.name,
        description=description if isinstance(description, str) else "",
        tags=_texts(tags),
        created_at=row.created_at,
        details={
            "version": row.version,
            "status": row.status,
            "checkpoint": row.latest_checkpoint,
            "size": row.model_size,
        },
    )


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


class ModelSearchService(Service):
    """Adds the models to what a search at this node finds."""

    def start(self) -> None:
        self.node.service(SearchService).add(ModelSource(self.node))


def counts_of(node: Node) -> dict[str, int]:
    """How many public datasets, models and running trainings a Domain has: heartbeats tell its Networks."""
    questions = {
        "datasets": select(func.count()).select_from(DatasetRow).where(DatasetRow.visibility == "public"),
        "models": select(func.count()).select_from(Process).where(Process.latest_checkpoint > 0),
        "trainings": select(func.count()).select_from(Process).where(Process.status == "running"),
    }
    with node.db.read() as session:
        return {name: int(session.scalar(question) or 0) for name, question in questions.items()}
