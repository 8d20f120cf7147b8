"""After a power cut: the latest models, which are used before they are durable, are made again if they are gone.

On an embedded database a small model is served as soon as it is written, and synced behind the workers' backs
(:attr:`BlobStore.unsynced`, where the store has it). Until then its reports stay, durable as they are; the same
reports give the same model, to the last bit, so its digest tells whether it is the one that workers were given.
What a strategy keeps with a model is lost, and made again, as the model is.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from blake3 import blake3
from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import aliased

from grid.aggregation.base import Aggregator
from grid.aggregation.tensor_file import TensorFile
from grid.federated.averaging.model_updater import ModelUpdater
from grid.federated.cycles.lifecycle import Lifecycle
from grid.federated.hosting.training_definitions import TrainingDefinition, TrainingDefinitions
from grid.federated.intake.format import ReportedCycle, StoredReport
from grid.federated.intake.registry import format_of
from grid.federated.state import tables as t
from grid.federated.state.events import WorkDue
from grid.federated.state.machines import assignment as assignments
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.machines import training as trainings
from grid.federated.state.store import TrainingStore
from grid.federated.state.strategy_tables import StrategyStateRow
from grid.node.events import EventBus
from syft_ext.errors import ContentDamaged, NotFound, Unavailable

__all__ = ["Recovery"]

logger = logging.getLogger(__name__)

_WINDOW = 600.0
"""Seconds before the latest checkpoint of all in which one may have been made that was not durable at the end."""

_base = aliased(t.Checkpoint)
_RECENT = (
    select(
        t.Checkpoint.process_id,
        t.Checkpoint.number,
        t.Checkpoint.blob_digest,
        t.Checkpoint.cycle_id,
        t.Cycle.sequence,
        _base.blob_digest.label("base_digest"),
        StrategyStateRow.blob_digest.label("state_digest"),
    )
    .join(
        t.TrainingProcess,
        (t.TrainingProcess.id == t.Checkpoint.process_id)
        & (t.TrainingProcess.latest_checkpoint == t.Checkpoint.number),
    )
    .join(t.Cycle, t.Cycle.id == t.Checkpoint.cycle_id)
    .join(_base, (_base.process_id == t.Checkpoint.process_id) & (_base.number == t.Checkpoint.number - 1))
    .outerjoin(
        StrategyStateRow,
        (StrategyStateRow.process_id == t.Checkpoint.process_id)
        & (StrategyStateRow.number == t.Checkpoint.number),
    )
    .where(
        t.Checkpoint.cycle_id.is_not(None),
        t.Checkpoint.size <= bindparam("limit"),
        t.Checkpoint.created_at >= select(func.max(t.Checkpoint.created_at)).scalar_subquery() - _WINDOW,
    )
)
_INCLUDED = (
    select(t.Assignment.id, t.Assignment.report_digest, t.Assignment.kind, t.Assignment.samples)
    .where(
        t.Assignment.cycle_id == bindparam("cycle_id"),
        t.Assignment.status == str(assignments.AssignmentStatus.INCLUDED),
    )
    .order_by(t.Assignment.report_index)
)


class Recovery:
    """Args: ``make``: the aggregator of a training, given its base model."""

    def __init__(
        self,
        store: TrainingStore,
        bus: EventBus,
        definitions: TrainingDefinitions,
        lifecycle: Lifecycle,
        updater: ModelUpdater,
        make: Callable[[TrainingDefinition, TensorFile], Aggregator],
    ) -> None:
        self._store, self._definitions, self._updater, self._make = store, definitions, updater, make
        self._lifecycle = lifecycle
        self._lock = threading.Lock()
        self._left: dict[str, Any] = {}  # what could not be looked at yet, by training
        bus.subscribe(WorkDue, lambda event: self._look_again())

    def start(self) -> None:
        """Look at the models that may be gone, before anybody uses or sweeps anything."""
        unsynced = self._store.blobs.unsynced
        if unsynced is None or not self._store.embedded:
            return  # every model was durable before it was used
        for row in self._store.read(_RECENT, {"limit": unsynced.unsynced_limit}):
            self._look_at(row)

    def check(self, process_id: str) -> None:
        """Raise :class:`Unavailable` while the model of a training is gone, and cannot be made again yet."""
        if process_id in self._left:
            self._look_again()
            if process_id in self._left:
                raise Unavailable(
                    "the training's model was lost in a power cut, and cannot be made again yet"
                )

    def _look_again(self) -> None:
        with self._lock:
            for row in list(self._left.values()):
                self._look_at(row)

    def _look_at(self, row: Any) -> None:
        wanted = [row.blob_digest] + ([row.state_digest] if row.state_digest else [])
        lost = [digest for digest in wanted if not self._is_here(digest)]
        try:
            if lost:
                self._restore(row, lost)
        except Unavailable as error:
            # What it takes is not here (a package, as a rule): the reports are, and stay.
            self._left[row.process_id] = row
            logger.error(
                "model %d of training %s is not made again now: %s", row.number, row.process_id, error
            )
        else:
            self._left.pop(row.process_id, None)

    def _is_here(self, digest: str) -> bool:
        try:
            return blake3(self._store.blobs.read_range(digest, 0)).hexdigest() == digest
        except (NotFound, ContentDamaged):
            return False

    def _restore(self, row: Any, lost: list[str]) -> None:
        try:
            made = self._remake(row)
        except Unavailable:
            raise
        except Exception:
            logger.exception("model %d of training %s cannot be made again", row.number, row.process_id)
            made = set()
        if made.issuperset(lost):
            logger.warning("made model %d of training %s again", row.number, row.process_id)
            return
        logger.critical("model %d of training %s is lost", row.number, row.process_id)
        for digest in lost:
            self._store.blobs.delete(digest)  # nobody must be given what is there under its name
        self._end(
            row.process_id,
            f"model {row.number} was lost (a power cut, or a damaged disk) and could not be made again: put its "
            "contents back and resume the training, or resume it from an earlier model",
        )

    def _end(self, process_id: str, reason: str) -> None:
        """Nothing can be learned any more: whoever watches the training hears why."""
        with self._store.unit(process_id) as unit:
            if trainings.TrainingStatus(unit.process.status) in trainings.TERMINAL:
                return
            if unit.cycle is not None and cycles.CycleStatus(unit.cycle.status) not in cycles.TERMINAL:
                self._lifecycle.cycle(unit, cycles.CycleEvent.CANCEL, reason)
            self._lifecycle.process(unit, trainings.TrainingEvent.CYCLE_FAILED, reason)

    def _remake(self, row: Any) -> set[str]:
        """Average the reports of the model's cycle again; the digests of the model and of its state, if any."""
        definition, blobs = self._definitions.get(row.process_id), self._store.blobs
        base = TensorFile(blobs.map(row.base_digest))
        aggregator = self._make(definition, base)
        facts = ReportedCycle(
            row.process_id, row.cycle_id, row.sequence, row.number - 1, definition.server.report_options
        )
        try:
            reader = format_of(definition.server).reader(facts, base, aggregator)
            for report in self._store.read(_INCLUDED, {"cycle_id": row.cycle_id}):
                weight = float(report.samples) if definition.server.weighting == "samples" else 1.0
                content = blobs.map(report.report_digest)
                reader.add(StoredReport(report.id, content, report.kind, weight))
            reader.finish()
            aggregator.settle()
            step = self._updater.step(definition, row.number - 1, base.layout)
            with self._updater.apply(base, aggregator.finish(), step, repeatable=False) as made:
                return {blob.digest for blob in (made.model, made.state) if blob is not None}
        finally:
            aggregator.close()
