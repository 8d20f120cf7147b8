"""Models hosted for federated training, as search finds them.

Found by whoever may read them (:mod:`grid.federated.consent.reading`). ``description`` and ``tags`` are those of
the training's ``client_config``, if its host gave any.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, select

from grid.access.viewer import Viewer
from grid.catalogue.search import Query
from grid.federated.consent.reading import readable_by
from grid.federated.state.tables import Checkpoint, TrainingProcess
from grid.storage.sql.cache import CommitScopedCache
from grid.storage.sql.database import Database
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.messages.datasets import SearchEntry

__all__ = ["ModelSearch"]

_PAGE = 500
_ANY = PreparedStatement(select(TrainingProcess.id).where(TrainingProcess.latest_checkpoint > 0).limit(1))


class ModelSearch:
    """The source of models: those of the trainings that are hosted here."""

    kind = "model"

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known = CommitScopedCache(db)

    def search(self, query: Query, viewer: Viewer) -> list[SearchEntry]:
        """Trainings that have their model, newest first. They have no columns and no rows."""
        if query.columns or not self._any():
            return []
        # Compared here: neither engine folds case and accents as `fold` does.
        statement = (
            select(
                TrainingProcess.id,
                TrainingProcess.name,
                TrainingProcess.version,
                TrainingProcess.status,
                TrainingProcess.latest_checkpoint,
                TrainingProcess.model_size,
                TrainingProcess.client_config,
                TrainingProcess.created_at,
            )
            .where(
                TrainingProcess.latest_checkpoint > 0,
                exists().where(
                    Checkpoint.process_id == TrainingProcess.id,
                    Checkpoint.number == TrainingProcess.latest_checkpoint,
                ),
            )
            .order_by(TrainingProcess.created_at.desc(), TrainingProcess.id)
        )
        if query.name:
            statement = statement.where(TrainingProcess.name == query.name)
        found: list[SearchEntry] = []
        with self._db.read() as session:
            readable = readable_by(session, viewer)
            if readable is not None:
                statement = statement.where(TrainingProcess.id.in_(readable))
            for row in session.execute(statement.execution_options(yield_per=_PAGE)):
                entry = _entry(row)
                if query.matches(entry, row.version) and query.fits(row.model_size, None):
                    found.append(entry)
                    if len(found) == query.limit:
                        break
        return found

    def _any(self) -> bool:
        """Whether there is any: most Domains have none, and this costs a tenth of asking for them."""
        return self._known.get(_ANY, lambda: self._db.query(_ANY).first() is not None)


def _entry(row: Any) -> SearchEntry:
    description, tags = row.client_config.get("description"), row.client_config.get("tags")
    return SearchEntry(
        kind="model",
        id=row.id,
        name=row.name,
        description=description if isinstance(description, str) else "",
        tags=[each for each in tags if isinstance(each, str)] if isinstance(tags, list) else [],
        created_at=row.created_at,
        details={
            "version": row.version,
            "status": row.status,
            "checkpoint": row.latest_checkpoint,
            "size": row.model_size,
        },
    )
