"""How much a Domain has of what: its heartbeats tell its Networks."""

from __future__ import annotations

from sqlalchemy import func, select

from grid.access.viewer import NETWORK
from grid.catalogue.tables import DatasetRow
from grid.catalogue.visibility import findable
from grid.federated.state.tables import TrainingProcess
from grid.node import ServiceNode

__all__ = ["counts_of"]


def counts_of(node: ServiceNode) -> dict[str, int]:
    """How many public datasets, models and running trainings a Domain has."""
    questions = {
        "datasets": select(func.count()).select_from(DatasetRow).where(findable(NETWORK)),
        "models": select(func.count())
        .select_from(TrainingProcess)
        .where(TrainingProcess.latest_checkpoint > 0),
        "trainings": select(func.count())
        .select_from(TrainingProcess)
        .where(TrainingProcess.status == "running"),
    }
    with node.db.read() as session:
        return {name: int(session.scalar(question) or 0) for name, question in questions.items()}
