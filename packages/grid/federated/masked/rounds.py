"""Rounds of masked reports: what comes is taken in, and phases end, each in one transaction with its cycle.

A cycle that is collecting has an open list of keys: whoever has trained gives theirs. When as many are ready as
the training wants, or the cycle's time is up and enough are, the list is closed and the cycle is SECURING,
through the phases of :mod:`syft_ext.secure_aggregation.server`. Too few in a phase, and the cycle has come to
nothing: nothing can be opened, and another cycle begins. What is stored is all there is, so that whoever starts
    after a crash goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, select, update

from grid.concurrency.combiner import Combiner
from grid.federated.cycles.lifecycle import Lifecycle
from grid.federated.cycles.policy import SitePolicies
from grid.federated.hosting.config import ServerConfig
from grid.federated.hosting.training_definitions import TrainingDefinitions
from grid.federated.masked.rows import MaskedRows, RoundAsStored
from grid.federated.state import tables as t
from grid.federated.state.events import CycleEnded, MasksMove, WakeAt
from grid.federated.state.machines import assignment as assignments
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.store import TrainingStore, Unit
from grid.node.events import EventBus
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import BadRequest, Conflict, GridError, InvalidConfig, Unsupported
from syft_ext.secure_aggregation.identities import subjects
from syft_ext.secure_aggregation.rules import SumRules
from syft_ext.secure_aggregation.server import Phase, ServerRound, Unmasking, names_of
from syft_ext.secure_aggregation.statements import Advertisement

__all__ = ["MaskedRounds"]

logger = logging.getLogger(__name__)
Action = Callable[[ServerRound, str], None]

_ASSIGNED = PreparedStatement(
    select(t.Assignment.id).where(
        t.Assignment.cycle_id == bindparam("cycle_id"),
        t.Assignment.status == str(assignments.AssignmentStatus.ASSIGNED),
    )
)
_LATEST = PreparedStatement(
    select(t.TrainingProcess.history_seq).where(t.TrainingProcess.id == bindparam("process_id"))
)
_MOVE = PreparedStatement(
    update(t.Assignment).where(
        t.Assignment.id == bindparam("b_id"),
        t.Assignment.status == str(assignments.AssignmentStatus.ASSIGNED),
    )
)


class MaskedRounds:
    """Args: ``rows``: where rounds are kept."""

    def __init__(
        self,
        store: TrainingStore,
        bus: EventBus,
        definitions: TrainingDefinitions,
        lifecycle: Lifecycle,
        policies: SitePolicies,
        rows: MaskedRows,
    ) -> None:
        self._store, self._bus, self._rows = store, bus, rows
        self._definitions, self._lifecycle, self._policies = definitions, lifecycle, policies
        self._lock = threading.Lock()
        self._combiners: dict[str, Combiner[tuple[Any, Action], int]] = {}
        bus.subscribe(MasksMove, lambda event: self._move(event.unit))
        bus.subscribe(CycleEnded, lambda event: self._forget(event.unit))

    # -- what participants say

    def take(self, row: Any, action: Action) -> int:
        """Have the machine take what the participant of an assignment's ``row`` says; the number of the
        training's latest history row then. Those who speak at once are taken in one transaction.

        Args:
            action: is given the machine, and the name that it knows the participant by.

        Raises :class:`Conflict` for what comes too late, whatever the machine refuses, and :class:`Unsupported`
        for a training whose reports are not masked.
        """
        process_id = row.process_id
        found = self._combiners.get(process_id)
        if found is None:
            with self._lock:
                found = self._combiners.setdefault(
                    process_id, Combiner(lambda items: self._take(process_id, items))
                )
        return found.submit((row, action))

    def _take(self, process_id: str, items: Sequence[tuple[Any, Action]]) -> list[int | BaseException]:
        results: list[int | BaseException] = []
        with self._store.unit(process_id) as unit:
            cycle, state, joined = unit.cycle, None, False
            for row, action in items:
                try:
                    if cycle is None or cycle.id != row.cycle_id:
                        raise assignments.refusal(assignments.AssignmentStatus.LATE)
                    state = state or self._rows.load(cycle.id, self._rules(process_id, cycle.id, unit), unit)
                    known = row.id in state.server.parts
                    action(state.server, row.id)  # which changes nothing where it refuses
                except GridError as error:
                    results.append(error)
                    continue
                part = state.server.parts[row.id]
                (self._rows.update if known else self._rows.add)(unit, cycle.id, row.id, part)
                joined = joined or not known
                results.append(0)
            if joined:
                self._lifecycle.cycle(unit, cycles.CycleEvent.REPORTED)
            elif state is not None:
                self._move(unit, state)
        return [unit.process.history_seq if each == 0 else each for each in results]

    def advertise(self, row: Any, keys: bytes, signature: bytes, signer: str, at: float) -> int:
        """A participant's keys, as :meth:`take`; ``signer``: the key (hex) that signs its messages, "" where
        none does."""
        rules = self._rules(row.process_id, row.cycle_id)
        subjects(rules, int(at))(Advertisement.decode(keys))  # whom no participant would accept need not come

        def action(server: ServerRound, name: str) -> None:
            server.advertise(name, keys, signature, signer)

        return self.take(row, action)

    def look(self, row: Any) -> ServerRound:
        """The machine of an assignment's round, as it is stored."""
        return self._rows.load(row.cycle_id, self._rules(row.process_id, row.cycle_id)).server

    def phase(self, cycle_id: str) -> Phase:
        """Which phase a cycle's round is in, as it is stored; ADVERTISE also where there is none any more."""
        return self._rows.phase(cycle_id)

    def latest(self, process_id: str) -> int:
        """The number of the latest row of a training's history."""
        return int(self._store.read(_LATEST, {"process_id": process_id})[0][0])

    def takes_masked(self, unit: Unit, assignment_id: str) -> bool:
        """Whether the masked report of this assignment of the unit's cycle is waited for."""
        assert unit.cycle is not None
        return assignment_id in self._rows.waited(unit, unit.cycle.id)

    def opening(self, process_id: str, cycle_id: str) -> Unmasking:
        """What opens the sum of a closed cycle. Raises :class:`Unsupported` where it cannot be opened, ever."""
        server = self._rows.load(cycle_id, self._rules(process_id, cycle_id)).server
        if server.phase is not Phase.SUM:
            raise Unsupported(f"the round of masked reports ended at {server.phase}")
        try:
            masks = server.open()
        except BadRequest as error:
            raise Unsupported(f"the sum of the masked reports cannot be opened: {error.detail}") from error
        if masks.liars:
            assert server.roster is not None
            logger.warning("wrong answers of %s in cycle %s", names_of(masks.liars, server.roster), cycle_id)
        return masks

    def server_config(self, process_id: str) -> ServerConfig:
        """How a training is run."""
        return self._definitions.get(process_id).server

    def _rules(self, process_id: str, cycle_id: str, unit: Unit | None = None) -> SumRules:
        """The training's, with as many survivors at least as the site demands participants."""
        server = self._definitions.get(process_id).server
        rules = server.sums
        if rules is None:
            raise Unsupported("the reports of this training are not masked")
        fewest = self._policies.fewest(server, cycle_id, unit)
        return msgspec.structs.replace(rules, minimum=max(rules.minimum, fewest))

    # -- phases

    def _move(self, unit: Unit, found: RoundAsStored | None = None) -> None:
        """End as many phases of the unit's cycle as have what they wait for, or whose time is up; ``found``:
        the round, where it was read in this transaction."""
        cycle = unit.cycle
        if cycle is None or cycle.status != cycles.CycleStatus.SECURING:
            return
        rules = self._rules(unit.process.id, cycle.id, unit)
        found = found or self._rows.load(cycle.id, rules, unit)
        server, new = found.server, found.deadline is None
        if new:
            try:  # before anybody shares a secret for a sum that would not be released
                self._policies.check_cycle(self.server_config(unit.process.id), False, cycle.id)
            except InvalidConfig as error:
                self._lifecycle.cycle(unit, cycles.CycleEvent.ABANDONED, error.detail)
                return
        moved = False
        while True:
            # An open list of keys is closed by the cycle: that it is SECURING says that enough are ready.
            overdue = server.phase is Phase.ADVERTISE or (
                found.deadline is not None and found.deadline <= unit.now
            )
            before = server.phase
            if server.advance(overdue=overdue) is None:
                break
            moved = True
            found.deadline = unit.now + rules.phase_seconds
            self._record(unit, before, server)
            if server.phase in (Phase.BELOW, Phase.SUM):
                break
            self._dismiss(unit, server)
        if not moved:
            self._wake(unit, found)
            return
        if server.roster is not None:
            self._rows.save(unit, cycle.id, found, new=new)
        if server.phase is Phase.BELOW:
            self._lifecycle.cycle(
                unit, cycles.CycleEvent.BELOW, f"too few participants were left at {before}"
            )
        elif server.phase is Phase.SUM:
            self._lifecycle.cycle(unit, cycles.CycleEvent.OPENED)
        else:
            self._wake(unit, found)

    def _wake(self, unit: Unit, found: RoundAsStored) -> None:
        when, process_id = found.deadline, unit.process.id
        if when is not None:
            unit.after_commit(lambda: self._bus.publish(WakeAt(process_id, when)))

    def _record(self, unit: Unit, before: Phase, server: ServerRound) -> None:
        """The history says which phase it is, and of how many."""
        cycle = unit.cycle
        assert cycle is not None
        detail: dict[str, Any] = {"phase": str(server.phase)}
        if server.phase is Phase.SHARES and server.roster is not None:
            detail.update(participants=len(server.roster), keys=server.roster.digest.hex())
        elif server.phase is Phase.MASKED:
            detail.update(participants=len(server.sharers))
        elif server.phase is Phase.CONSISTENCY:
            detail.update(participants=len(server.survivors))
        elif server.phase is Phase.BELOW:
            detail.update(ended_at=str(before))
        unit.record("cycle", cycle.id, cycle.status, cycle.status, **detail)

    def _dismiss(self, unit: Unit, server: ServerRound) -> None:
        """Slots of the cycle from which no report is waited for any more."""
        assert unit.cycle is not None
        waited = {
            Phase.SHARES: {name for name in server.parts if server.place(name)},
            Phase.MASKED: set(server.sharers),
        }.get(server.phase, set())
        decision = assignments.decide(
            assignments.AssignmentStatus.ASSIGNED, assignments.AssignmentEvent.CYCLE_CLOSED
        )
        for row in unit.run(_ASSIGNED, {"cycle_id": unit.cycle.id}).all():
            if row.id not in waited:
                values = {"b_id": row.id, "status": str(decision.status), "finished_at": unit.now}
                if unit.run(_MOVE, values).rowcount == 1:
                    unit.cycle.slots_open += 1
                    unit.record("assignment", row.id, assignments.AssignmentStatus.ASSIGNED, decision.status)

    def _forget(self, unit: Unit) -> None:
        """The cycle is over: what was said in its round opens nothing any more, and is kept by nobody."""
        assert unit.cycle is not None
        if self._definitions.get(unit.process.id).server.secure_aggregation is not None:
            self._rows.drop(unit, unit.cycle.id)


def gone(row: Any) -> Conflict:
    """Why nothing is taken of an assignment any more."""
    return assignments.refusal(assignments.AssignmentStatus(row.status))
