"""What is kept of a training that goes on and on: its latest models, and the latest of its history.

A model that is not kept goes in the transaction that publishes another; rows go an hour's worth at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, exists, func, select, tuple_

from grid.federated.state import tables as t
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.policy_tables import CyclePolicyRow
from grid.federated.state.store import TrainingStore, Unit
from grid.storage.sql.base import Base
from grid.storage.sql.prepared import PreparedStatement

__all__ = ["FEWEST", "Pruning", "Retention"]

FEWEST = 2
"""The latest model and the one that it was made from: after a power cut it is made again."""
_FIRST = 1
_ROWS = 5000
"""Rows that one transaction removes: others wait for it."""
_DAY = 24 * 3600.0

_OLD = (
    t.Checkpoint.process_id == bindparam("process_id"),
    t.Checkpoint.number > _FIRST,
    t.Checkpoint.number <= bindparam("last"),
)
_FIND = PreparedStatement(select(t.Checkpoint.blob_digest, t.Checkpoint.size).where(*_OLD))
_DROP = PreparedStatement(delete(t.Checkpoint).where(*_OLD))
_LONG = select(t.TrainingProcess.id, t.TrainingProcess.history_seq).where(
    t.TrainingProcess.history_seq > bindparam("kept")
)
_MANY = select(t.TrainingProcess.id, t.TrainingProcess.cycle).where(
    t.TrainingProcess.cycle > bindparam("kept")
)
_ENDED = [str(status) for status in cycles.TERMINAL]
_OF_A_CYCLE: tuple[Any, ...] = (t.CycleMetric, CyclePolicyRow)
"""Tables whose rows go with their cycle."""
_BEGUN = select(func.min(t.History.cycle)).where(
    t.History.process_id == bindparam("process_id"), t.History.seq > bindparam("last")
)


def _referring() -> list[ColumnElement[Any]]:
    """The columns of all rooms that refer to cycles and do not go with them."""
    own = {table.__table__ for table in _OF_A_CYCLE}
    return [
        key.parent
        for table in Base.metadata.sorted_tables
        if table not in own
        for key in table.foreign_keys
        if key.column.table is t.Cycle.__table__
    ]


@dataclass(frozen=True, slots=True)
class Retention:
    """``checkpoints`` models beside the first, ``history`` rows, ``cycles`` of each training; 0: all of them."""

    checkpoints: int = 0
    history: int = 0
    cycles: int = 0


class Pruning:
    """Removes what is kept no longer."""

    def __init__(self, store: TrainingStore, retention: Retention) -> None:
        self._store, self._retention = store, retention

    def checkpoints(self, unit: Unit) -> dict[str, int]:
        """Drop the models that are too old in the unit that has published one; digest → bytes of what went."""
        kept = self._retention.checkpoints
        last = unit.process.latest_checkpoint - max(kept, FEWEST)
        if not kept or last <= _FIRST:
            return {}
        key = {"process_id": unit.process.id, "last": last}
        found = {row.blob_digest: row.size for row in unit.run(_FIND, key).all()}
        if found:
            unit.run(_DROP, key)
        return found

    def rows(self) -> int:
        """Drop history, and what it was about, that is too old, and old cycles; how many rows that were."""
        return self._idle_workers() + self._history() + self._old_cycles()

    def _history(self) -> int:
        kept, removed = self._retention.history, 0
        if not kept:
            return removed
        for row in self._store.read(_LONG, {"kept": kept}):
            last = row.history_seq - kept
            key = {"process_id": row.id, "last": last}
            removed += self._remove(t.History, t.History.process_id == row.id, t.History.seq <= last)
            begun = self._store.read(_BEGUN, key)[0][0]
            if begun:
                removed += self._cycles(row.id, begun)
        return removed

    def _old_cycles(self) -> int:
        kept, removed = self._retention.cycles, 0
        if not kept:
            return removed
        for row in self._store.read(_MANY, {"kept": kept}):
            begun = row.cycle - kept + 1
            removed += self._cycles(row.id, begun)
            old = (
                t.Cycle.process_id == row.id,
                t.Cycle.sequence < begun,
                t.Cycle.status.in_(_ENDED),
                # What else refers to a cycle has a life of its own, and its cycle goes after it.
                *(~exists().where(column == t.Cycle.id) for column in _referring()),
            )
            for table in _OF_A_CYCLE:
                removed += self._remove(table, table.cycle_id.in_(select(t.Cycle.id).where(*old)))
            removed += self._remove(t.Cycle, *old)
        return removed

    def _cycles(self, process_id: str, begun: int) -> int:
        """Assignments and arrivals of the cycles before number ``begun``."""
        old = select(t.Cycle.id).where(t.Cycle.process_id == process_id, t.Cycle.sequence < begun)
        ended = t.Assignment.status.not_in(("assigned", "reported"))
        removed = self._remove(t.Assignment, t.Assignment.cycle_id.in_(old), ended)
        return removed + self._remove(t.Arrival, t.Arrival.cycle_id.in_(old))

    def _idle_workers(self) -> int:
        """Nobody's workers: who had neither key nor account, and never took part, comes as another next time."""
        nobody = (
            t.Worker.subject.is_(None),
            t.Worker.created_at < self._store.clock.now() - _DAY,
            ~exists().where(t.Assignment.worker_id == t.Worker.id),
            ~exists().where(t.Arrival.worker_id == t.Worker.id),
        )
        return self._remove(t.Worker, *nobody)

    def _remove(self, table: Any, *conditions: Any) -> int:
        """Remove rows a few at a time, and count them."""
        key = tuple_(*table.__table__.primary_key.columns)
        removed: int = 0
        while True:
            with self._store.database.transaction() as session:
                some = select(*table.__table__.primary_key.columns).where(*conditions).limit(_ROWS)
                result: Any = session.execute(delete(table).where(key.in_(some)))
            removed += result.rowcount
            if result.rowcount < _ROWS:
                return removed
