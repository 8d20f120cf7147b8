"""The aggregator's jobs: reports are added while they arrive, and a cycle that is closed gets its model.

What goes through the node's job queue, and what does not:

- To average a closed cycle and write its model is a job (:data:`AVERAGE`): a few ids say what it is about, any
  process that has database and contents can do it, and it is done once for a cycle. That it must be done, and how
  often it was tried, stands in the outbox, in the transaction that closed the cycle, and so survives everything;
  the queue brings it to whoever does it, and tries again what fails before the outbox could say so.
- The sum that grows while reports arrive stays direct, on an executor of this process: it is memory of this
  process, whose contents have just been received into memory, and comes with every report.
- Plans are proved, and their prices taken, within the request that hosts or submits them: who sent it waits for
  the answer. Old contents are given up by this process (:mod:`grid.federated.averaging.garbage`): what is cooled
  and used again is its own memory and files, and what fails is found by the sweep.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict

from sqlalchemy import insert

from grid.aggregation.base import Aggregate
from grid.concurrency.executor import SerialExecutor
from grid.concurrency.jobs import JobQueue
from grid.concurrency.offload import offload
from grid.concurrency.passing import is_passing, said_of
from grid.federated.averaging.model_updater import ModelUpdater, NextModel
from grid.federated.averaging.retention import Pruning
from grid.federated.averaging.sums import CycleSum, CycleSums
from grid.federated.cycles.lifecycle import Lifecycle
from grid.federated.cycles.outside import AwaitedSum, Outsiders, OutsideSums
from grid.federated.state import tables as t
from grid.federated.state.events import (
    AveragingStarts,
    CycleClosed,
    ModelReplaced,
    ReportAccepted,
    ReportReceived,
    StateForgotten,
    WakeForWorkAt,
    WorkDue,
)
from grid.federated.state.machines import assignment as assignments
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.outbox import MAX_ATTEMPTS, Message, Outbox
from grid.federated.state.store import TrainingStore, Unit
from grid.node.events import EventBus
from grid.spending.keeping import WaitingWatch
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import BadRequest, Conflict, GridError, NotFound, Unsupported

__all__ = ["AGGREGATE", "AggregationJobs"]

logger = logging.getLogger(__name__)

AVERAGE = "federated.average"
"""Job: do the work of an outbox message."""

AGGREGATE = "aggregate"
"""Outbox topic: average the reports of the cycle (key) and apply the result."""

TOGETHER = 4 << 20
MANY = 16
"""Reports are added when so many bytes of them, or so many, have come; closing a cycle adds the rest. Each turn
costs three queries and a call to where plans run."""

_LOOK_AGAIN = 1.0
"""Seconds after which what could not be noted in the outbox is tried again."""

_METRICS = PreparedStatement(insert(t.CycleMetric))


class AggregationJobs:
    """Runs one job at a time for each training, beside the requests.

    Attributes:
        waiting: by training, the passing fault for whose end its cycle waits.
    """

    def __init__(
        self,
        store: TrainingStore,
        bus: EventBus,
        lifecycle: Lifecycle,
        outbox: Outbox,
        sums: CycleSums,
        updater: ModelUpdater,
        executor: SerialExecutor,
        jobs: JobQueue,
        pruning: Pruning,
        outside: Outsiders,
    ) -> None:
        self._outside = outside
        self._store, self._bus, self._lifecycle, self._outbox = store, bus, lifecycle, outbox
        self._sums, self._updater, self._executor, self._jobs = sums, updater, executor, jobs
        self._pruning = pruning
        self._restored = WaitingWatch(store.database)
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[str, int, int]] = {}  # cycle, reports and bytes that wait, by training
        self._held: dict[str, Message] = {}  # under a lease of ours, and nothing could be noted
        self.waiting: dict[str, str] = {}
        jobs.handle(AVERAGE, lambda args: self._close(Message(**args)))
        bus.subscribe(ReportReceived, self._prepare)
        bus.subscribe(ReportAccepted, self._advance)
        bus.subscribe(CycleClosed, self._put)
        bus.subscribe(WorkDue, lambda event: self._take_up())

    def start(self) -> None:
        """Give back the leases of before a restart; the first :class:`WorkDue` takes them up again."""
        self._outbox.release_own()

    # -- what is heard of

    def _prepare(self, event: ReportReceived) -> None:
        """A report has come and waits for the disk: read meanwhile what its average begins with."""
        process_id, cycle_id = event.process_id, event.cycle_id
        if cycle_id not in self._sums and self._sums.are_here(process_id):
            self._executor.submit(
                process_id, f"prepare {cycle_id}", lambda: self._sums.prepare(process_id, cycle_id)
            )

    def _advance(self, event: ReportAccepted) -> None:
        """A report came in: add it to the sum in the background, together with those that come soon."""
        process_id, cycle_id = event.process_id, event.cycle_id
        with self._lock:
            known, count, size = self._waiting.get(process_id, ("", 0, 0))
            count, size = (count + 1, size + event.size) if known == cycle_id else (1, event.size)
            enough = count >= MANY or size >= TOGETHER
            self._waiting[process_id] = (cycle_id, 0, 0) if enough else (cycle_id, count, size)
        if enough:
            self._executor.submit(
                process_id, f"advance {cycle_id}", lambda: self._sums.go_on(process_id, cycle_id)
            )

    def _put(self, event: CycleClosed) -> None:
        """Write down that the cycle is to be averaged, and begin after the commit."""
        unit = event.unit
        assert unit.cycle is not None
        message = self._outbox.put(unit, AGGREGATE, unit.cycle.id)
        unit.after_commit(lambda: self._work(message))

    def _take_up(self) -> None:
        """Do what waits in the outbox, and have the rest looked at when it can be taken."""
        self._give_back()
        due = self._outbox.due()
        given_up = self._given_up() if due else {}
        for message in due:
            for job_id in given_up.get(message.id, ()):
                with suppress(NotFound):  # another replica was faster
                    self._jobs.discard(job_id)
            self._work(message)
        now = self._store.clock.now()
        later = [when for when in self._outbox.next_times() if when > now]
        if later:
            self._bus.publish(WakeForWorkAt(min(later)))

    def _given_up(self) -> dict[str, list[str]]:
        """The queue's dead letters, by message. What the outbox holds is still to be done, and its own count says
        how often: a dead letter must not stand for it."""
        found: dict[str, list[str]] = {}
        for job in self._jobs.dead_letters():
            if job.name == AVERAGE:
                found.setdefault(job.args["id"], []).append(job.id)
        return found

    def _work(self, message: Message) -> None:
        attempt = message.token or message.taken + 1
        self._jobs.submit(
            AVERAGE, asdict(message), key=message.process_id, idempotency_key=f"{message.id}/{attempt}"
        )

    # -- closing a cycle

    def _close(self, queued: Message) -> None:
        if self._restored.waits:  # what comes out is a release; the outbox holds the work meanwhile
            self._tell(
                queued.process_id, "the owner, who has not acknowledged yet that the database was restored"
            )
            self._bus.publish(WakeForWorkAt(self._store.clock.now() + _LOOK_AGAIN))
            return
        # What this process has just put is held already; what it found must be taken.
        message = queued if queued.token else None
        try:
            message = message or self._outbox.take(queued)
            if message is None:
                return
            with self._sums.turn(message.process_id):
                self._close_now(message)
        except Exception as error:
            # The outbox could not be written: what it holds stays there, with the lease that this process has on
            # it, which it gives back as soon as it can. In the queue's hands it would be tried a few times, and
            # then by nobody.
            logger.exception("work on cycle %s could not be noted in the outbox", queued.key)
            self._tell(queued.process_id, said_of(error) if is_passing(error) else "the node stumbled")
            if message is not None:
                self._held[message.id] = message
            self._bus.publish(WakeForWorkAt(self._store.clock.now() + _LOOK_AGAIN))

    def _give_back(self) -> None:
        """Let what this process could not note be taken again. Raises what the database still does."""
        for message in list(self._held.values()):
            with suppress(NotFound), self._store.unit(message.process_id) as unit:
                self._outbox.wait(unit, message, self.waiting.get(message.process_id, ""))
            self._held.pop(message.id, None)

    def _tell(self, process_id: str, what: str) -> None:
        """Whoever looks at the training sees what it waits for; "": for nothing any more."""
        if what:
            self.waiting[process_id] = what
        else:
            self.waiting.pop(process_id, None)

    def _close_now(self, message: Message) -> None:
        try:
            with ExitStack() as scope:
                self._bus.publish(AveragingStarts(message.process_id, scope))
                self._average(message)
        except Conflict as error:
            # Cancelled meanwhile, or the lease was taken over: somebody else has decided what becomes of it.
            logger.info("cycle %s is not averaged here: %s", message.key, error)
            self._sums.drop(message.key)
        except Exception as error:
            self._sums.drop(message.key)
            self._failed(message, error)

    def _average(self, message: Message) -> None:
        """Finish the sum, write the model, and complete the cycle in one transaction.

        Until that one nothing is changed: whoever repeats this after a crash finds the cycle as it was closed.
        """
        cycle_id, process_id = message.key, message.process_id
        outside = self._outside.of(self._sums.definition(process_id).server)
        if outside is not None:
            self._take_from_outside(message, outside)
            return
        while True:
            running = self._sums.add_accepted(process_id, cycle_id)
            if len(running.included) < self._lifecycle.fewest(process_id, cycle_id):
                self._too_few(message)
                return
            aggregate: Aggregate = running.run(running.finish)
            if not self._sums.leave_out(process_id, cycle_id, running, aggregate):
                break
        repeatable = running.repeatable and self._store.embedded
        step = self._updater.step(running.definition, running.base_number, running.base.layout)
        made = offload(self._updater.apply, running.base, aggregate, step, repeatable=repeatable)
        self._replace(
            message,
            made,
            running.base_digest,
            len(running.included),
            lambda unit, number: self._write_metrics(unit, running),
        )
        self._sums.drop(cycle_id)

    def _take_from_outside(self, message: Message, outside: OutsideSums) -> None:
        """Have the reports summed by who can, and make the next model of what comes back.

        Whoever repeats this after a crash gets the same sum. Its model is durable before anybody is given it: it
        is not made again from reports.
        """
        start = self._sums.base(message.process_id, message.key)
        found = outside.sum(start.definition, message.key, start.base)
        if isinstance(found, AwaitedSum):
            self._leave_to(found, message)
            return
        step = self._updater.step(start.definition, start.number, start.base.layout)
        made = offload(self._updater.apply, start.base, found.aggregate, step, repeatable=False)
        self._replace(
            message,
            made,
            start.digest,
            found.aggregate.count,
            lambda unit, number: outside.publish(unit, found, number),
        )

    def _leave_to(self, found: AwaitedSum, message: Message) -> None:
        """Hand the sum to whoever opens it: this work is done, and comes again when they have."""
        with found.blob, self._store.unit(message.process_id) as unit:
            self._outbox.done(unit, message)
            if self._is_current(unit, message):
                assert unit.cycle is not None
                found.note(unit)
                status = unit.cycle.status
                unit.record("cycle", unit.cycle.id, status, status, waits_for=found.whom)
        self._tell(message.process_id, "")

    def _replace(
        self,
        message: Message,
        made: NextModel,
        base_digest: str,
        count: int,
        also: Callable[[Unit, int], None],
    ) -> None:
        """Publish the next model and complete its cycle, which has ``count`` reports; ``also`` is done with it."""
        process_id = message.process_id
        with made, self._store.unit(process_id) as unit:
            self._outbox.done(unit, message)
            if self._is_current(unit, message):
                assert unit.cycle is not None
                if unit.cycle.status == cycles.CycleStatus.AGGREGATING:
                    self._lifecycle.cycle(unit, cycles.CycleEvent.AGGREGATED)
                number = self._updater.publish(unit, made)
                gone = self._pruning.checkpoints(unit)
                also(unit, number)
                moved = self._lifecycle.move_assignments(
                    unit, assignments.AssignmentStatus.REPORTED, assignments.AssignmentEvent.INCLUDE
                )
                if moved != count:
                    raise Conflict(f"{moved} reports are to be included, {count} were added")
                self._lifecycle.cycle(unit, cycles.CycleEvent.APPLIED)
                if gone:
                    unit.after_commit(lambda: self._bus.publish(StateForgotten(gone)))
        self._tell(process_id, "")
        self._bus.publish(ModelReplaced(process_id, base_digest))

    def _too_few(self, message: Message) -> None:
        """Collect on, unless the cycle was cancelled meanwhile."""
        with self._store.unit(message.process_id) as unit:
            self._outbox.done(unit, message)
            if self._is_current(unit, message):
                self._lifecycle.cycle(unit, cycles.CycleEvent.SHORT)
            else:
                unit.after_commit(lambda: self._sums.drop(message.key))

    def _is_current(self, unit: Unit, message: Message) -> bool:
        """Whether the cycle still waits for its average (and was not cancelled)."""
        cycle = unit.cycle
        return (
            cycle is not None
            and cycle.id == message.key
            and cycle.status in (cycles.CycleStatus.AGGREGATING, cycles.CycleStatus.APPLYING)
        )

    def _write_metrics(self, unit: Unit, running: CycleSum) -> None:
        """The cycle's metrics: means weighted by samples where a report states them, else by 1; of as many reports
        as the policy demands participants, or none."""
        assert unit.cycle is not None
        rows = []
        fewest = self._lifecycle.fewest_told(unit.process.id, unit.cycle.id)
        for name in ("loss", "accuracy"):
            pairs = [
                (getattr(row, name), float(row.samples or 1))
                for row in running.included
                if getattr(row, name) is not None
            ]
            weight = sum(w for _, w in pairs)
            if len(pairs) >= fewest:
                mean = sum(value * w for value, w in pairs) / weight
                rows.append({"name": name, "value": mean, "weight": weight, "participants": len(pairs)})
        samples = [row.samples for row in running.included if row.samples is not None]
        if len(samples) >= fewest:
            total = float(sum(samples))
            rows.append({"name": "samples", "value": total, "weight": total, "participants": len(samples)})
        if rows:
            unit.run(_METRICS, [{"cycle_id": unit.cycle.id, **row} for row in rows])

    def _failed(self, message: Message, error: Exception) -> None:
        """Try again later; what cannot succeed, or has failed often enough, ends the training.

        What passes by itself (a full disk, a lost database, a package that is not there) is tried again for as
        long as that takes, and is not counted.
        """
        passes = is_passing(error)
        detail = said_of(error) if passes or isinstance(error, GridError) else type(error).__name__
        spent = message.attempts >= MAX_ATTEMPTS
        hopeless = not passes and (spent or isinstance(error, BadRequest | Unsupported))
        news = passes and self.waiting.get(message.process_id) != detail
        self._tell(message.process_id, detail if passes else "")
        logger.error(
            "cycle %s could not be averaged (attempt %d)", message.key, message.attempts, exc_info=error
        )
        with self._store.unit(message.process_id) as unit:
            if hopeless:
                self._outbox.bury(unit, message, detail)
                if self._is_current(unit, message):
                    self._lifecycle.cycle(unit, cycles.CycleEvent.ABANDONED, f"averaging failed: {detail}")
            else:
                again = self._outbox.wait if passes else self._outbox.retry
                when = again(unit, message, detail)
                if news and (cycle := unit.cycle) is not None:  # once, however often it is tried
                    unit.record("cycle", cycle.id, cycle.status, cycle.status, waits_for=detail)
                unit.after_commit(lambda: self._bus.publish(WakeForWorkAt(when)))
