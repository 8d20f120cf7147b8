"""Carries out what the machines decide, inside the transaction that the event belongs to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select, update

from grid.federated.consent.identities import participants
from grid.federated.cycles.charging import LedgerExhausted
from grid.federated.cycles.outside import Outsiders
from grid.federated.cycles.policy import SitePolicies
from grid.federated.hosting.config import ServerConfig
from grid.federated.hosting.training_definitions import TrainingDefinitions
from grid.federated.state import tables as t
from grid.federated.state.events import (
    CycleClosed,
    CycleEnded,
    CycleForgotten,
    CycleOpened,
    MasksMove,
    SlotsChanged,
    TrainingEnded,
    WakeAt,
)
from grid.federated.state.machines import assignment as assignments
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.machines import training as trainings
from grid.federated.state.masked_tables import ready_in
from grid.federated.state.store import CycleState, Unit
from grid.node.events import Event, EventBus
from grid.quotas.enforcing import require_room
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import QuotaExceeded
from syft_ext.ids import new_id

__all__ = ["Lifecycle"]

_IN_STATUS = PreparedStatement(
    select(t.Assignment.id, t.Assignment.blob_digest, t.Assignment.report_size).where(
        t.Assignment.cycle_id == bindparam("cycle_id"),
        t.Assignment.status == bindparam("status"),
    )
)
_MOVE = PreparedStatement(
    update(t.Assignment).where(
        t.Assignment.cycle_id == bindparam("b_cycle"), t.Assignment.status == bindparam("b_status")
    )
)


class Lifecycle:
    """Training and cycle as their machines say, with history; what follows is told over the bus."""

    def __init__(
        self, bus: EventBus, definitions: TrainingDefinitions, policies: SitePolicies, outside: Outsiders
    ) -> None:
        self._bus, self._definitions, self._policies, self._outside = bus, definitions, policies, outside

    # -- the training

    def process(self, unit: Unit, event: trainings.TrainingEvent, reason: str = "") -> None:
        """Apply ``event`` to the training. Raises :class:`Conflict` when its status forbids it."""
        config = self._config(unit)
        busy = unit.cycle is not None and cycles.CycleStatus(unit.cycle.status) not in cycles.TERMINAL
        before = trainings.TrainingStatus(unit.process.status)
        facts = trainings.TrainingFacts(config.num_cycles, unit.process.cycles_completed, busy)
        decision = trainings.decide(before, event, facts)
        unit.process.status = str(decision.status)
        paused_at, unit.process.paused_at = unit.process.paused_at, None
        if decision.status is trainings.TrainingStatus.PAUSED:
            unit.process.paused_at = unit.now
        if reason:
            unit.process.reason = reason
        if event is trainings.TrainingEvent.SUBMIT:
            self._reserve(unit)  # while it waits: its approval does not fail for want of room
        elif decision.status in trainings.TERMINAL or not (
            busy or trainings.TrainingEffect.OPEN_CYCLE in decision.effects
        ):
            unit.process.reserved = 0
        if decision.status is not before:
            detail = {"reason": reason} if reason else {}
            unit.record("process", unit.process.id, before, decision.status, **detail)
            self.assign_slots(unit)
            if decision.status in trainings.TERMINAL:
                self._bus.publish(TrainingEnded(unit))
        for effect in decision.effects:
            if effect is trainings.TrainingEffect.OPEN_CYCLE:
                self._open_if_it_fits(unit, config, event)
            elif effect is trainings.TrainingEffect.CANCEL_CYCLE:
                self.cycle(unit, cycles.CycleEvent.CANCEL)
            elif effect is trainings.TrainingEffect.RESUME_CYCLE:
                self._resume_cycle(unit, paused_at)

    def _open_if_it_fits(self, unit: Unit, config: ServerConfig, event: trainings.TrainingEvent) -> None:
        """Open the next cycle, for whose model the owner's quota has room from now on, and whose noise the
        training's ledger pays for.

        Where they have not, whoever starts or resumes the training is told; one that would go on by itself is
        paused, with the reason, and loses nothing.
        """
        try:
            self._reserve(unit)
            definition = self._definitions.get(unit.process.id)
            self._policies.pay(unit, definition, lambda: self._definitions.layout(definition.id, unit))
        except (QuotaExceeded, LedgerExhausted) as error:
            if event not in (trainings.TrainingEvent.CYCLE_COMPLETED, trainings.TrainingEvent.CYCLE_EXPIRED):
                raise
            what = (
                "no room for the next model" if isinstance(error, QuotaExceeded) else "no privacy budget left"
            )
            self.process(unit, trainings.TrainingEvent.PAUSE, f"{what}: {error.detail}")
        else:
            self._open_cycle(unit, config, event)

    @staticmethod
    def _reserve(unit: Unit) -> None:
        """Keep room for the next model in the owner's quota. Raises :class:`QuotaExceeded`."""
        added, unit.process.reserved = unit.process.step_size - unit.process.reserved, unit.process.step_size
        require_room(unit.connection, unit.process.owner, "trainings", size=added)

    def _open_cycle(self, unit: Unit, config: ServerConfig, event: trainings.TrainingEvent) -> None:
        before = unit.cycle
        again = (
            event is trainings.TrainingEvent.CYCLE_EXPIRED
        )  # one that came to nothing counts as an extension
        cycle = CycleState(
            id=new_id(),
            process_id=unit.process.id,
            sequence=unit.process.cycle + 1,
            status=str(cycles.initial(config.min_workers or 1)),
            base_checkpoint=unit.process.latest_checkpoint,
            slots_open=config.cap,
            admitted=0,
            arrived=0,
            reported=0,
            accepted=0,
            rejected=0,
            extensions=before.extensions + 1 if again and before is not None else 0,
            bytes_received=0,
            opened_at=unit.now,
            deadline=None if config.cycle_length is None else unit.now + config.cycle_length,
            closed_at=None,
            finished_at=None,
        )
        unit.open_cycle(cycle)
        self._bus.publish(CycleOpened(unit))
        unit.record("cycle", cycle.id, "", cycle.status, checkpoint=cycle.base_checkpoint)
        self._wake_at(unit, cycle.deadline)
        self.assign_slots(unit)

    def _resume_cycle(self, unit: Unit, paused_at: float | None) -> None:
        """The time during which a training was paused does not count."""
        cycle = unit.cycle
        assert cycle is not None
        if cycles.CycleStatus(cycle.status) not in cycles.ADMITTING:
            return
        if cycle.deadline is not None and paused_at is not None:
            cycle.deadline = self._within(unit, cycle.deadline + unit.now - paused_at)
            self._wake_at(unit, cycle.deadline)
        self.cycle(unit, cycles.CycleEvent.RESUMED)

    # -- the cycle

    def cycle(self, unit: Unit, event: cycles.CycleEvent, reason: str = "") -> None:
        """Apply ``event`` to the current cycle. Raises :class:`Conflict` when its status forbids it."""
        cycle, config = unit.cycle, self._config(unit)
        assert cycle is not None
        before = cycles.CycleStatus(cycle.status)
        policy, owner = self._policies.of_cycle(cycle.id, unit), self._definitions.get(unit.process.id).owner
        outside = self._outside.known(config)
        until = None if outside is None else outside.until(unit)
        secured = config.secure_aggregation is not None
        # Of masked reports, who is ready to send one: each an accepted participant where the policy asks for
        # several.
        ready = ready_in(unit) if secured and before is cycles.CycleStatus.COLLECTING else cycle.reported
        facts = cycles.CycleFacts(
            goal=config.goal,
            min_diffs=self._policies.fewest(config, cycle.id, unit),
            min_workers=config.min_workers or 1,
            arrived=cycle.arrived,
            reported=ready,
            extensions=cycle.extensions,
            max_extensions=config.max_extensions,
            paused=unit.process.status == trainings.TrainingStatus.PAUSED,
            participants=ready if secured else participants(unit, policy, owner),
            min_participants=self._policies.demanded(config, cycle.id, unit),
            final=outside is not None,
            over=until is not None and until <= unit.now,
            secured=secured,
        )
        decision = cycles.decide(before, event, facts)
        cycle.status = str(decision.status)
        if decision.status is not before:
            if decision.status is cycles.CycleStatus.AGGREGATING:
                cycle.closed_at = unit.now
            if decision.status in cycles.TERMINAL:
                cycle.finished_at = unit.now
            detail: dict[str, Any] = {"reason": reason} if reason else {}
            unit.record("cycle", cycle.id, before, decision.status, reported=cycle.reported, **detail)
            if decision.status in cycles.TERMINAL:
                self._bus.publish(CycleEnded(unit))
        for effect in decision.effects:
            self._carry_out(unit, effect, event, reason)

    def _carry_out(
        self, unit: Unit, effect: cycles.CycleEffect, event: cycles.CycleEvent, reason: str
    ) -> None:
        cycle = unit.cycle
        assert cycle is not None
        if effect is cycles.CycleEffect.ASSIGN_SLOTS:
            self.assign_slots(unit)
        elif effect is cycles.CycleEffect.CLOSE_STRAGGLERS:
            self.move_assignments(
                unit, assignments.AssignmentStatus.ASSIGNED, assignments.AssignmentEvent.CYCLE_CLOSED
            )
        elif effect is cycles.CycleEffect.AGGREGATE:
            self._bus.publish(CycleClosed(unit))
        elif effect is cycles.CycleEffect.SECURE:
            self._bus.publish(MasksMove(unit))
        elif effect is cycles.CycleEffect.NEXT_CYCLE:
            self.process(unit, trainings.TrainingEvent.CYCLE_EXPIRED)
        elif effect is cycles.CycleEffect.EXTEND:
            self._extend(unit, counts=event is cycles.CycleEvent.DEADLINE)
        elif effect is cycles.CycleEffect.CANCEL_ASSIGNMENTS:
            self.move_assignments(
                unit, assignments.AssignmentStatus.ASSIGNED, assignments.AssignmentEvent.CANCEL
            )
            self.move_assignments(
                unit, assignments.AssignmentStatus.REPORTED, assignments.AssignmentEvent.CANCEL
            )
        elif effect is cycles.CycleEffect.FAIL_PROCESS:
            why = reason or f"cycle {cycle.sequence} is {cycle.status}: {cycle.reported} reports in time"
            self.process(unit, trainings.TrainingEvent.CYCLE_FAILED, why)
        elif effect is cycles.CycleEffect.COMPLETE_PROCESS_STEP:
            unit.process.cycles_completed += 1
            self.process(unit, trainings.TrainingEvent.CYCLE_COMPLETED)

    def _extend(self, unit: Unit, *, counts: bool) -> None:
        cycle, length = unit.cycle, self._config(unit).cycle_length
        assert cycle is not None
        cycle.closed_at = None
        if counts:
            cycle.extensions += 1
        if length is not None:
            cycle.deadline = self._within(unit, unit.now + length)
            self._wake_at(unit, cycle.deadline)
            unit.record("cycle", cycle.id, cycle.status, cycle.status, extended_until=cycle.deadline)

    def fewest(self, process_id: str, cycle_id: str) -> int:
        """Reports without which the cycle is not averaged."""
        return self._policies.fewest(self._definitions.get(process_id).server, cycle_id)

    def fewest_told(self, process_id: str, cycle_id: str) -> int:
        """Reports that have to state a metric for their mean to be told: else it would be somebody's own."""
        return self._policies.demanded(self._definitions.get(process_id).server, cycle_id)

    # -- assignments

    def move_assignments(
        self, unit: Unit, status: assignments.AssignmentStatus, event: assignments.AssignmentEvent
    ) -> int:
        """Apply ``event`` to all assignments of the cycle that are in ``status``; returns how many."""
        cycle = unit.cycle
        assert cycle is not None
        found = unit.run(_IN_STATUS, {"cycle_id": cycle.id, "status": str(status)}).all()
        if not found:
            return 0
        decision = assignments.decide(status, event)
        values: dict[str, Any] = {"status": str(decision.status), "finished_at": unit.now}
        if status is assignments.AssignmentStatus.REPORTED:
            values["blob_digest"] = None
            contents = {row.blob_digest: row.report_size for row in found if row.blob_digest}
            self._after(unit, CycleForgotten(unit.process.id, cycle.id, contents))
        unit.run(_MOVE, {"b_cycle": cycle.id, "b_status": str(status), **values})
        if assignments.AssignmentEffect.FREE_SLOT in decision.effects:
            cycle.slots_open += len(found)
        for row in found:
            unit.record("assignment", row.id, status, decision.status)
        return len(found)

    def assign_slots(self, unit: Unit) -> None:
        """Slots became free, or the training changed: whoever waits hears of it with the commit."""
        unit.last("assign-slots", lambda: self._bus.publish(SlotsChanged(unit)))

    # -- helpers

    def _config(self, unit: Unit) -> ServerConfig:
        return self._definitions.get(unit.process.id).server

    def close_at(self, unit: Unit, when: float) -> None:
        """The unit's cycle takes no report after ``when``: its deadline is no later."""
        assert unit.cycle is not None
        unit.cycle.deadline = when if unit.cycle.deadline is None else min(unit.cycle.deadline, when)
        self._wake_at(unit, unit.cycle.deadline)

    def _within(self, unit: Unit, when: float) -> float:
        """No later than the unit's cycle can take reports."""
        outside = self._outside.known(self._config(unit))
        until = None if outside is None else outside.until(unit)
        return when if until is None else min(when, until)

    def _wake_at(self, unit: Unit, when: float | None) -> None:
        if when is not None:
            self._after(unit, WakeAt(unit.process.id, when))

    def _after(self, unit: Unit, event: Event) -> None:
        unit.after_commit(lambda: self._bus.publish(event))
