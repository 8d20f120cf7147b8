"""The aggregator: averages the reports of a cycle while they arrive, and finishes it when it is closed.

What it holds in memory is a cache. The order of the sum is the order in which the reports were accepted, so
after a crash the same reports give the same model, to the last bit, out of the blob store (where no noise is
drawn).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import bindparam, insert, literal_column, select

from grid.aggregation.base import Aggregate, Aggregator, Contribution
from grid.aggregation.tensor_file import TensorFile
from grid.concurrency.executor import SerialExecutor
from grid.concurrency.offload import offload
from grid.federated.averaging.garbage import Garbage
from grid.federated.averaging.model_updater import ModelUpdater
from grid.federated.cycles.lifecycle import Lifecycle
from grid.federated.cycles.policy import SitePolicies
from grid.federated.hosting.hosted import Hosted, HostedTrainings
from grid.federated.participation.collector import Collector
from grid.federated.state import tables as t
from grid.federated.state.machines import assignment as assignments
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.outbox import MAX_ATTEMPTS, Message, Outbox
from grid.federated.state.store import TrainingStore, Unit
from grid.storage.sql.prepared import Prepared
from syft_ext.errors import BadRequest, Conflict, GridError, InvalidTensors, NotFound, Unsupported

__all__ = ["AggregationJobs"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

TOGETHER = 4 << 20
MANY = 16
"""Reports are added when so many bytes of them, or so many, have come; closing a cycle adds the rest. Each turn
costs three queries and a call to where plans run."""

_REPORTS = Prepared(
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
        t.Assignment.status == str(assignments.Status.REPORTED),
        t.Assignment.report_index > bindparam("after"),
    )
    .order_by(t.Assignment.report_index)
)
_METRICS = Prepared(insert(t.CycleMetric))
_UNFINISHED = Prepared(
    select(t.Cycle.id).where(
        t.Cycle.id == bindparam("cycle_id"),
        t.Cycle.status.in_([literal_column(f"'{s}'") for s in cycles.Status if s not in cycles.TERMINAL]),
    )
)
_BASE = Prepared(
    select(t.Checkpoint.blob_digest)
    .join(
        t.Cycle,
        (t.Cycle.process_id == t.Checkpoint.process_id) & (t.Cycle.base_checkpoint == t.Checkpoint.number),
    )
    .where(t.Cycle.id == bindparam("cycle_id"))
)


@dataclass(slots=True)
class _Running:
    """The sum of a cycle so far: everything accepted up to report ``index``.

    ``repeatable``: no noise is drawn, so that the same reports give the same model, to the last bit.
    """

    process_id: str
    base_digest: str
    base: TensorFile
    aggregator: Aggregator
    repeatable: bool
    index: int = 0
    included: list[Any] = field(default_factory=list)

    def run(self, work: Callable[[], T]) -> T:
        """Do ``work`` where it belongs: computing beside the event loop, waiting on it."""
        return offload(work) if self.aggregator.computes else work()


class AggregationJobs:
    """Runs one job at a time for each training, beside the requests.

    Args:
        make: the aggregator of a training, given its base model (strategy or hosted averaging plan).
        expecting: a block at the end of which the training's next cycle is open, as a rule.
    """

    def __init__(
        self,
        store: TrainingStore,
        hosted: HostedTrainings,
        lifecycle: Lifecycle,
        outbox: Outbox,
        updater: ModelUpdater,
        executor: SerialExecutor,
        make: Callable[[Hosted, TensorFile], Aggregator],
        wake_at: Callable[[str, float], None],
        garbage: Garbage,
        policies: SitePolicies,
        expecting: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._store, self._hosted, self._lifecycle = store, hosted, lifecycle
        self._outbox, self._updater, self._executor = outbox, updater, executor
        self._make, self._wake_at, self._garbage = make, wake_at, garbage
        self._policies, self._expecting = policies, expecting
        self.collector: Collector  # set by the pipeline: the two know each other
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._waiting: dict[str, tuple[str, int]] = {}  # reports of a training's latest cycle

    # -- what is asked of it

    def advance(self, process_id: str, cycle_id: str) -> None:
        """A report came in: add it to the sum in the background, together with those that come soon."""
        size = self._hosted.layout(process_id).total_size
        with self._lock:
            known, waiting = self._waiting.get(process_id, ("", 0))
            waiting = waiting + 1 if known == cycle_id else 1
            enough = waiting >= MANY or waiting * size >= TOGETHER
            self._waiting[process_id] = (cycle_id, 0 if enough else waiting)
        if enough:
            self._executor.submit(
                process_id, f"advance {cycle_id}", lambda: self._go_on(process_id, cycle_id)
            )

    def prepare(self, process_id: str, cycle_id: str) -> None:
        """A report has come and waits for the disk: read meanwhile what its average begins with."""
        if cycle_id not in self._running:
            self._executor.submit(
                process_id, f"prepare {cycle_id}", lambda: self._prepare(process_id, cycle_id)
            )

    def _prepare(self, process_id: str, cycle_id: str) -> None:
        if cycle_id not in self._running and self._store.read(_UNFINISHED, {"cycle_id": cycle_id}):
            with suppress(GridError):  # closing the cycle says what is wrong
                self._begin(process_id, cycle_id)

    def work(self, message: Message) -> None:
        """An outbox message waits: do its work in the background."""
        self._executor.submit(message.process_id, f"close {message.key}", lambda: self._close(message))

    def forget(self, process_id: str, cycle_id: str, digests: list[str]) -> None:
        """Reports are not needed any more: drop the sum and their contents."""
        self._drop(cycle_id)
        self._garbage.add(digests, self._hosted.layout(process_id).total_size)

    def _go_on(self, process_id: str, cycle_id: str) -> None:
        """Add what came, unless the cycle is finished already."""
        if not self._store.read(_UNFINISHED, {"cycle_id": cycle_id}):
            return
        try:
            self._advance(process_id, cycle_id)
        except Exception:
            self._drop(cycle_id)  # it may be half added; closing the cycle begins anew and says what is wrong
            raise

    def close(self) -> None:
        """Drop all sums: they are made again from what is stored."""
        for cycle_id in list(self._running):
            self._drop(cycle_id)

    # -- the sum

    def _advance(self, process_id: str, cycle_id: str) -> _Running:
        """Add everything that was accepted since the last time, in the order of acceptance."""
        running = self._running.get(cycle_id)
        if running is None:
            running = self._begin(process_id, cycle_id)
        weighted = self._hosted.get(process_id).server.weighting == "samples"
        while True:
            rows = self._store.read(_REPORTS, {"cycle_id": cycle_id, "after": running.index})
            if not rows:
                return running
            for assignment_id, reason in running.run(partial(self._add, running, rows, weighted)):
                logger.warning("report of assignment %s is unusable: %s", assignment_id, reason)
                with self._store.unit(process_id) as unit:
                    self.collector.drop(unit, assignment_id, reason)

    def _begin(self, process_id: str, cycle_id: str) -> _Running:
        digest = self._store.read(_BASE, {"cycle_id": cycle_id})[0][0]
        base = TensorFile(self._store.blobs.map(digest))
        hosted = self._hosted.get(process_id)
        self._policies.check_cycle(hosted.server, hosted.averaging_plan is not None, cycle_id)
        private = self._policies.aggregator(cycle_id, base)
        aggregator = private or self._make(hosted, base)
        running = _Running(process_id, digest, base, aggregator, repeatable=private is None)
        with self._lock:
            # A training has one cycle at a time: another replica has finished what is left of earlier ones.
            left = [key for key, other in self._running.items() if other.process_id == process_id]
            self._running[cycle_id] = running
        for other in left:
            self._drop(other)
        return running

    def _add(self, running: _Running, rows: Any, weighted: bool) -> list[tuple[str, str]]:
        """Add reports to the sum; returns which are unusable, and why."""
        unusable: list[tuple[str, str]] = []
        for row in rows:
            try:
                contribution = self._contribution(row, weighted)
            except (NotFound, InvalidTensors) as error:
                unusable.append((row.id, error.detail))
            else:
                running.aggregator.accumulate(contribution)
                running.included.append(row)
                del contribution  # its memory can be used again once it is in the sum
            running.index = row.report_index
        running.aggregator.settle()
        self._store.blobs.cache.forget(row.blob_digest for row in rows)
        return unusable

    def _contribution(self, row: Any, weighted: bool) -> Contribution:
        content = self._store.blobs.cache.latest(row.blob_digest)
        if content is None:
            content = self._store.blobs.map(row.blob_digest, hold=True)
        return Contribution(TensorFile(content), float(row.samples) if weighted else 1.0, row.kind)

    def _drop(self, cycle_id: str) -> None:
        with self._lock:
            running = self._running.pop(cycle_id, None)
        if running is not None:
            running.aggregator.close()

    # -- closing a cycle

    def _close(self, queued: Message) -> None:
        # What this process has just put is held already; what it found must be taken.
        message = queued if queued.token else self._outbox.take(queued)
        if message is None:
            return
        try:
            with self._expecting(message.process_id):
                self._average(message)
        except Conflict as error:
            # Cancelled meanwhile, or the lease was taken over: somebody else has decided what becomes of it.
            logger.info("cycle %s is not averaged here: %s", message.key, error)
            self._drop(message.key)
        except Exception as error:
            self._drop(message.key)
            self._failed(message, error)

    def _average(self, message: Message) -> None:
        """Finish the sum, write the model, and complete the cycle in one transaction.

        Until that one nothing is changed: whoever repeats this after a crash finds the cycle as it was closed.
        """
        cycle_id, process_id = message.key, message.process_id
        running = self._advance(process_id, cycle_id)
        if len(running.included) < self._policies.fewest(self._hosted.get(process_id).server, cycle_id):
            self._too_few(message)
            return
        aggregate: Aggregate = running.run(running.aggregator.finish)
        repeatable = running.repeatable and self._store.embedded
        blob = offload(self._updater.apply, running.base, aggregate, repeatable=repeatable)
        with blob, self._store.unit(process_id) as unit:
            self._outbox.done(unit, message)
            if self._is_current(unit, message):
                assert unit.cycle is not None
                if unit.cycle.status == cycles.Status.AGGREGATING:
                    self._lifecycle.cycle(unit, cycles.Event.AGGREGATED)
                self._updater.publish(unit, blob)
                self._write_metrics(unit, running)
                moved = self._lifecycle.move_assignments(
                    unit, assignments.Status.REPORTED, assignments.Event.INCLUDE
                )
                if moved != len(running.included):
                    raise Conflict(f"{moved} reports are to be included, {len(running.included)} were added")
                self._lifecycle.cycle(unit, cycles.Event.APPLIED)
        self._drop(cycle_id)
        self._garbage.add((), 0, cold=[running.base_digest])

    def _too_few(self, message: Message) -> None:
        """Collect on, unless the cycle was cancelled meanwhile."""
        with self._store.unit(message.process_id) as unit:
            self._outbox.done(unit, message)
            if self._is_current(unit, message):
                self._lifecycle.cycle(unit, cycles.Event.SHORT)
            else:
                unit.after_commit(lambda: self._drop(message.key))

    def _is_current(self, unit: Unit, message: Message) -> bool:
        """Whether the cycle still waits for its average (and was not cancelled)."""
        cycle = unit.cycle
        return (
            cycle is not None
            and cycle.id == message.key
            and cycle.status in (cycles.Status.AGGREGATING, cycles.Status.APPLYING)
        )

    def _write_metrics(self, unit: Unit, running: _Running) -> None:
        """The cycle's metrics: means weighted by samples where a report states them, else by 1."""
        assert unit.cycle is not None
        rows = []
        for name in ("loss", "accuracy"):
            pairs = [
                (getattr(row, name), float(row.samples or 1))
                for row in running.included
                if getattr(row, name) is not None
            ]
            weight = sum(w for _, w in pairs)
            if pairs:
                mean = sum(value * w for value, w in pairs) / weight
                rows.append({"name": name, "value": mean, "weight": weight, "participants": len(pairs)})
        samples = [row.samples for row in running.included if row.samples is not None]
        if samples:
            total = float(sum(samples))
            rows.append({"name": "samples", "value": total, "weight": total, "participants": len(samples)})
        if rows:
            unit.run(_METRICS, [{"cycle_id": unit.cycle.id, **row} for row in rows])

    def _failed(self, message: Message, error: Exception) -> None:
        """Try again later; what cannot succeed, or has failed often enough, ends the training."""
        detail = error.detail if isinstance(error, GridError) else type(error).__name__
        hopeless = isinstance(error, BadRequest | Unsupported) or message.attempts >= MAX_ATTEMPTS
        logger.error(
            "cycle %s could not be averaged (attempt %d)", message.key, message.attempts, exc_info=error
        )
        with self._store.unit(message.process_id) as unit:
            if hopeless:
                self._outbox.bury(unit, message, detail)
                if self._is_current(unit, message):
                    self._lifecycle.cycle(unit, cycles.Event.ABANDONED, f"averaging failed: {detail}")
            else:
                when = self._outbox.retry(unit, message, detail)
                unit.after_commit(lambda: self._wake_at(message.process_id, when))
