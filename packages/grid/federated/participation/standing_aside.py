"""Workers that joined a training and take no part, because their data are not what it declares: who, and why."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select, update

from grid.federated.state import tables as t
from grid.federated.state.store import TrainingStore
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import NotFound
from syft_ext.readable import readable

__all__ = ["StandingAside"]

_SHOWN = 100
"""Of one training; of more, the latest."""

_ONE = PreparedStatement(
    select(t.Worker.aside).where(
        t.Worker.id == bindparam("id"), t.Worker.process_id == bindparam("process_id")
    )
)
_SAY = PreparedStatement(update(t.Worker).where(t.Worker.id == bindparam("b_id")))


class StandingAside:
    """Keeps what workers say; one that does again what the others do has nothing to say."""

    def __init__(self, store: TrainingStore) -> None:
        self._store = store

    def say(self, process_id: str, worker_id: str, reason: str) -> None:
        """Keep a worker's reason ("": none any more); the history tells what is new. Raises :class:`NotFound`."""
        said = readable(reason) or None
        with self._store.unit(process_id) as unit:
            row = unit.run(_ONE, {"id": worker_id, "process_id": process_id}).first()
            if row is None:
                raise NotFound("there is no such worker in this training")
            if row[0] == said:
                return
            unit.run(_SAY, {"b_id": worker_id, "aside": said})
            unit.record("worker", worker_id, *_STATES[said is None], **({"reason": said} if said else {}))

    def of(self, process_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Training → worker id → reason, the latest first."""
        found: dict[str, dict[str, str]] = {}
        for start in range(0, len(process_ids), 500):
            few = process_ids[start : start + 500]
            query = (
                select(t.Worker.process_id, t.Worker.id, t.Worker.aside)
                .where(t.Worker.process_id.in_(few), t.Worker.aside.is_not(None))
                .order_by(t.Worker.created_at.desc(), t.Worker.id)
                .limit(_SHOWN * len(few))
            )
            for row in self._store.read(query):
                of_training = found.setdefault(row.process_id, {})
                if len(of_training) < _SHOWN:
                    of_training[row.id] = row.aside
        return found


_STATES = {True: ("aside", "takes-part"), False: ("takes-part", "aside")}
