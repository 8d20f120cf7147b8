"""The task scheduler: closes cycles on time, ends leases, and takes everything up again after a restart."""

from __future__ import annotations

import logging

from sqlalchemy import bindparam, func, select, update

from grid.concurrency.timers import Timers
from grid.federated.cycles.lifecycle import Lifecycle
from grid.federated.hosting.training_definitions import TrainingDefinitions
from grid.federated.state import tables as t
from grid.federated.state.events import MasksMove, WakeAt, WakeForWorkAt, WorkDue
from grid.federated.state.machines import assignment as assignments
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.machines import training as trainings
from grid.federated.state.store import TrainingStore, Unit
from grid.node.events import EventBus
from grid.storage.sql.prepared import PreparedStatement

__all__ = ["TaskScheduler"]

logger = logging.getLogger(__name__)

RECONCILE = 30.0
"""Seconds between two looks at what other replicas may have left behind when they died."""

_EVERYTHING, _WORK = "*", "outbox"
"""Timers beside those of trainings, whose keys are ids."""
_EXPIRED = PreparedStatement(
    update(t.Assignment)
    .where(
        t.Assignment.cycle_id == bindparam("b_cycle"),
        t.Assignment.status == str(assignments.AssignmentStatus.ASSIGNED),
        t.Assignment.lease_until <= bindparam("b_now"),
    )
    .returning(t.Assignment.id)
)
_TOO_FAR = PreparedStatement(
    update(t.Assignment).where(
        t.Assignment.cycle_id == bindparam("b_cycle"),
        t.Assignment.status == str(assignments.AssignmentStatus.ASSIGNED),
        t.Assignment.lease_until > bindparam("b_limit"),
    )
)
_NEXT_LEASE = PreparedStatement(
    select(func.min(t.Assignment.lease_until)).where(
        t.Assignment.cycle_id == bindparam("cycle_id"),
        t.Assignment.status == str(assignments.AssignmentStatus.ASSIGNED),
    )
)
_ACTIVE = select(t.TrainingProcess.id).where(
    t.TrainingProcess.status.in_(
        [str(trainings.TrainingStatus.RUNNING), str(trainings.TrainingStatus.PAUSED)]
    )
)


class TaskScheduler:
    """Keeps the timers that others ask for (:class:`WakeAt`, :class:`WakeForWorkAt`)."""

    def __init__(
        self, store: TrainingStore, bus: EventBus, definitions: TrainingDefinitions, lifecycle: Lifecycle
    ) -> None:
        self._store, self._bus, self._lifecycle = store, bus, lifecycle
        self._definitions = definitions
        self.timers = Timers(store.clock, self._fire)
        bus.subscribe(WakeAt, lambda event: self.timers.at(event.process_id, event.when))
        bus.subscribe(WakeForWorkAt, lambda event: self.timers.at(_WORK, event.when))

    def start(self) -> None:
        """Take up what the database holds, then let the timers run."""
        self.reconcile()
        self.timers.start()

    def stop(self) -> None:
        """No timer fires any more; :meth:`start` finds what was due meanwhile in the database."""
        self.timers.stop()

    def reconcile(self) -> None:
        """Set the timers of all active trainings and take up all work that waits."""
        for (process_id,) in self._store.read(_ACTIVE):
            self.look_at(process_id)
        self._bus.publish(WorkDue())
        self.timers.at(_EVERYTHING, self._store.clock.now() + RECONCILE)

    def _fire(self, key: str) -> None:
        if key == _EVERYTHING:
            self.reconcile()
        elif key == _WORK:
            self._bus.publish(WorkDue())
        else:
            self.look_at(key)

    def look_at(self, process_id: str) -> None:
        """Do what is due for one training, and set the timer for what comes next."""
        with self._store.unit(process_id) as unit:
            cycle = unit.cycle
            if cycle is not None and cycle.status == cycles.CycleStatus.SECURING:
                self._bus.publish(MasksMove(unit))
            if cycle is None or cycles.CycleStatus(cycle.status) not in cycles.ADMITTING:
                return
            self._bring_near(unit)
            self._expire_leases(unit)
            running = unit.process.status == trainings.TrainingStatus.RUNNING
            if running and cycle.deadline is not None and cycle.deadline <= unit.now:
                self._lifecycle.cycle(unit, cycles.CycleEvent.DEADLINE)
            self._set_timer(unit)

    def _bring_near(self, unit: Unit) -> None:
        """No lease and no deadline is further away than when it was given: else the clock was set back since, over
        a restart, and the slots of the dead would be kept for as long."""
        cycle, server = unit.cycle, self._definitions.get(unit.process.id).server
        assert cycle is not None
        if cycle.deadline is not None and server.cycle_length is not None:
            cycle.deadline = min(cycle.deadline, unit.now + server.cycle_length)
        limit = unit.now + server.assignment_timeout
        unit.run(_TOO_FAR, {"b_cycle": cycle.id, "b_limit": limit, "lease_until": limit})

    def _expire_leases(self, unit: Unit) -> None:
        cycle = unit.cycle
        assert cycle is not None
        decision = assignments.decide(
            assignments.AssignmentStatus.ASSIGNED, assignments.AssignmentEvent.LEASE_EXPIRED
        )
        values = {
            "b_cycle": cycle.id,
            "b_now": unit.now,
            "status": str(decision.status),
            "finished_at": unit.now,
        }
        expired = [row.id for row in unit.run(_EXPIRED, values).all()]
        for assignment_id in expired:
            unit.record("assignment", assignment_id, assignments.AssignmentStatus.ASSIGNED, decision.status)
        if expired:
            cycle.slots_open += len(expired)
            self._lifecycle.assign_slots(unit)

    def _set_timer(self, unit: Unit) -> None:
        cycle = unit.cycle
        if cycle is None or cycles.CycleStatus(cycle.status) not in cycles.ADMITTING:
            return
        lease = unit.run(_NEXT_LEASE, {"cycle_id": cycle.id}).first()[0]
        deadline = cycle.deadline if unit.process.status == trainings.TrainingStatus.RUNNING else None
        times = [when for when in (lease, deadline) if when is not None]
        if times:
            unit.after_commit(lambda: self.timers.at(unit.process.id, min(times)))
