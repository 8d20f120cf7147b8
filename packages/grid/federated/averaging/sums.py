"""The sums of the cycles that are being reported to: what is in memory of them, and how it is made.

It is a cache. The order of a sum is the order in which the reports were accepted, so after a crash the same
reports give the same model, to the last bit, out of the blob store (where no noise is drawn).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from sqlalchemy import bindparam, literal_column, select

from grid.aggregation.base import Aggregate, Aggregator
from grid.aggregation.magnitude import is_suspicious, outlier
from grid.aggregation.tensor_file import TensorFile
from grid.concurrency.offload import offload
from grid.federated.cycles.policy import SitePolicies
from grid.federated.hosting.training_definitions import TrainingDefinition, TrainingDefinitions
from grid.federated.intake.format import ReportedCycle, ReportReader, StoredReport
from grid.federated.intake.registry import format_of
from grid.federated.state import tables as t
from grid.federated.state.events import CycleForgotten, ReportUnusable
from grid.federated.state.machines import assignment as assignments
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.store import TrainingStore
from grid.node.events import EventBus
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import ContentDamaged, GridError, InvalidTensors, NotFound

__all__ = ["CycleBase", "CycleSum", "CycleSums"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

_REPORTS = PreparedStatement(
    select(
        t.Assignment.id,
        t.Assignment.report_index,
        t.Assignment.blob_digest,
        t.Assignment.kind,
        t.Assignment.samples,
        t.Assignment.loss,
        t.Assignment.accuracy,
    )
    .where(
        t.Assignment.cycle_id == bindparam("cycle_id"),
        t.Assignment.status == str(assignments.AssignmentStatus.REPORTED),
        t.Assignment.report_index > bindparam("after"),
    )
    .order_by(t.Assignment.report_index)
)
_UNFINISHED = PreparedStatement(
    select(t.Cycle.id).where(
        t.Cycle.id == bindparam("cycle_id"),
        t.Cycle.status.in_(
            [literal_column(f"'{s}'") for s in cycles.CycleStatus if s not in cycles.TERMINAL]
        ),
    )
)
_BASE = PreparedStatement(
    select(t.Checkpoint.blob_digest, t.Cycle.sequence, t.Cycle.base_checkpoint)
    .join(
        t.Cycle,
        (t.Cycle.process_id == t.Checkpoint.process_id) & (t.Cycle.base_checkpoint == t.Checkpoint.number),
    )
    .where(t.Cycle.id == bindparam("cycle_id"))
)


@dataclass(slots=True)
class CycleSum:
    """The sum of a cycle so far: everything accepted up to report ``index``.

    Attributes:
        reader: what brings reports into the aggregator.
        repeatable: no noise is drawn, so that the same reports give the same model, to the last bit.
        reveals: the site's policy neither clips the reports nor adds noise, so that one may be told from the
        others.
    """

    definition: TrainingDefinition
    base_digest: str
    base_number: int
    base: TensorFile
    aggregator: Aggregator
    reader: ReportReader
    repeatable: bool
    reveals: bool
    index: int = 0
    included: list[Any] = field(default_factory=list)

    def run(self, work: Callable[[], T]) -> T:
        """Do ``work`` where it belongs: computing beside the event loop, waiting on it."""
        return offload(work) if self.aggregator.computes else work()

    def finish(self) -> Aggregate:
        """The averaged difference, of the cycle that is closed."""
        self.reader.finish()
        self.aggregator.settle()
        return self.aggregator.finish()


@dataclass(frozen=True, slots=True)
class CycleBase:
    """What a cycle starts from: checkpoint ``number``, whose content is ``digest``'s; ``cycle`` is the cycle's own
    number."""

    definition: TrainingDefinition
    digest: str
    cycle: int
    number: int
    base: TensorFile


class CycleSums:
    """Adds reports to the sum of their cycle, in the order of acceptance.

    Who adds, or finishes a sum, has the training's :meth:`turn`.

    Args:
        make: the aggregator of a training, given its base model (strategy or hosted averaging plan).
        check: raises :class:`Unavailable` while a training's model cannot be averaged upon.
    """

    def __init__(
        self,
        store: TrainingStore,
        bus: EventBus,
        definitions: TrainingDefinitions,
        policies: SitePolicies,
        make: Callable[[TrainingDefinition, TensorFile], Aggregator],
        check: Callable[[str], None],
    ) -> None:
        self._store, self._bus, self._definitions = store, bus, definitions
        self._policies, self._make, self._check = policies, make, check
        self._lock = threading.Lock()
        self._running: dict[str, CycleSum] = {}
        # A lock goes when nobody holds it or waits for it.
        self._turns: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        bus.subscribe(CycleForgotten, lambda event: self.drop(event.cycle_id))

    def __contains__(self, cycle_id: str) -> bool:
        return cycle_id in self._running

    def turn(self, process_id: str) -> threading.Lock:
        """Held around everything that is done to the sums of a training."""
        with self._lock:
            return self._turns.setdefault(process_id, threading.Lock())

    def definition(self, process_id: str) -> TrainingDefinition:
        """The training."""
        return self._definitions.get(process_id)

    def are_here(self, process_id: str) -> bool:
        """Whether the reports of a training are summed in this process."""
        return not format_of(self.definition(process_id).server).outside

    def base(self, process_id: str, cycle_id: str) -> CycleBase:
        """What the cycle starts from. Raises what stands in the way of its average."""
        self._check(process_id)
        digest, cycle, checkpoint = self._store.read(_BASE, {"cycle_id": cycle_id})[0]
        definition = self.definition(process_id)
        self._policies.check_cycle(definition.server, definition.averaging_plan is not None, cycle_id)
        return CycleBase(definition, digest, cycle, checkpoint, TensorFile(self._store.blobs.map(digest)))

    def prepare(self, process_id: str, cycle_id: str) -> None:
        """Begin the sum of a cycle, unless that is finished or cannot be averaged (closing it says why)."""
        with self.turn(process_id):
            if cycle_id not in self and self._is_unfinished(cycle_id):
                with suppress(GridError):
                    self._begin(process_id, cycle_id)

    def go_on(self, process_id: str, cycle_id: str) -> None:
        """Add what came, unless the cycle is finished already, or its reports stay closed until it is closed."""
        with self.turn(process_id):
            if not format_of(self.definition(process_id).server).streams or not self._is_unfinished(cycle_id):
                return
            try:
                self.add_accepted(process_id, cycle_id)
            except Exception:
                self.drop(
                    cycle_id
                )  # half added, perhaps; closing the cycle begins anew and says what is wrong
                raise

    def _is_unfinished(self, cycle_id: str) -> bool:
        return bool(self._store.read(_UNFINISHED, {"cycle_id": cycle_id}))

    def close(self) -> None:
        """Drop all sums: they are made again from what is stored."""
        for cycle_id in list(self._running):
            self.drop(cycle_id)

    def add_accepted(self, process_id: str, cycle_id: str) -> CycleSum:
        """The sum of the cycle with everything that was accepted until now. The caller has the :meth:`turn`.

        Unusable reports are taken back; the sum is begun anew without those that may be in it in part. Raises what
        stands in the way of the average.
        """
        running = self._running.get(cycle_id)
        if running is None:
            running = self._begin(process_id, cycle_id)
        weighted = self._definitions.get(process_id).server.weighting == "samples"
        while True:
            rows = self._store.read(_REPORTS, {"cycle_id": cycle_id, "after": running.index})
            if not rows:
                return running
            unusable, whole = running.run(partial(self._add, running, rows, weighted))
            for assignment_id, reason in unusable:
                logger.warning("report of assignment %s is unusable: %s", assignment_id, reason)
                with self._store.unit(process_id) as unit:
                    self._bus.publish(ReportUnusable(unit, assignment_id, reason))
            if not whole:
                self.drop(cycle_id)
                running = self._begin(process_id, cycle_id)

    def leave_out(self, process_id: str, cycle_id: str, running: CycleSum, aggregate: Aggregate) -> bool:
        """Whether a report was taken back because it alone makes the average absurd; the sum has to be made again.

        What the site's policy clips is bounded already, and nobody is told which report was large.
        """
        if not running.reveals or not is_suspicious(running.base, aggregate):
            return False
        weighted = running.definition.server.weighting == "samples"
        report_format = format_of(running.definition.server)
        sizes = []
        for row in running.included:
            size = report_format.magnitude(self._stored(row, weighted), running.base)
            if size is None:
                return False
            sizes.append(size)
        found = outlier(running.base, sizes)
        if found is None:
            return False
        row, tensor = running.included[found], sizes[found].tensor
        reason = (
            f"left out: tensor {tensor[:80]!r} is absurdly far from the model, and from all other reports"
        )
        logger.warning("report of assignment %s: %s", row.id, reason)
        self.drop(cycle_id)
        with self._store.unit(process_id) as unit:
            self._bus.publish(ReportUnusable(unit, row.id, reason, tensor))
        return True

    def _begin(self, process_id: str, cycle_id: str) -> CycleSum:
        start = self.base(process_id, cycle_id)
        definition, base = start.definition, start.base
        report_format = format_of(definition.server)
        facts = ReportedCycle(
            process_id, cycle_id, start.cycle, start.number, definition.server.report_options
        )
        round_ = (definition.name, definition.version, str(start.cycle), start.digest)
        private = self._policies.aggregator(cycle_id, base, round_)
        aggregator = private or self._make(definition, base)
        try:
            reader = report_format.reader(facts, base, aggregator)
        except BaseException:
            aggregator.close()
            raise
        repeatable = private is None and report_format.repeatable
        running = CycleSum(
            definition,
            start.digest,
            start.number,
            base,
            aggregator,
            reader,
            repeatable,
            reveals=private is None,
        )
        with self._lock:
            # A training has one cycle at a time: another replica has finished what is left of earlier ones.
            left = [key for key, other in self._running.items() if other.definition.id == process_id]
            self._running[cycle_id] = running
        for other in left:
            self.drop(other)
        return running

    def _add(self, running: CycleSum, rows: Any, weighted: bool) -> tuple[list[tuple[str, str]], bool]:
        """Add reports to the sum; returns which are unusable, and why, and whether it holds only whole ones."""
        unusable: list[tuple[str, str]] = []
        whole = True
        for row in rows:
            try:
                report = self._stored(row, weighted)
            except (NotFound, ContentDamaged) as error:
                unusable.append((row.id, error.detail))
                continue
            finally:
                running.index = row.report_index
            try:
                running.reader.add(report)
            except (NotFound, ContentDamaged, InvalidTensors) as error:
                unusable.append((row.id, error.detail))
                whole = False
            else:
                running.included.append(row)
        if whole:
            running.aggregator.settle()
            self._store.blobs.cache.forget(row.blob_digest for row in rows)
        return unusable, whole

    def _stored(self, row: Any, weighted: bool) -> StoredReport:
        content = self._store.blobs.cache.recent(row.blob_digest)
        if content is None:
            content = self._store.blobs.map(row.blob_digest, hold=True)
        return StoredReport(row.id, content, row.kind, float(row.samples) if weighted else 1.0)

    def drop(self, cycle_id: str) -> None:
        """Forget the sum of a cycle. What it was made of is in the store, and can be summed up again."""
        with self._lock:
            running = self._running.pop(cycle_id, None)
        if running is not None:
            running.aggregator.close()
