"""The three machines together, driven by random events: the invariants of a training hold."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from grid.federated.state.machines import assignment, cycle, training
from syft_ext.errors import Conflict


@dataclass
class _Cycle:
    status: cycle.CycleStatus
    slots_open: int
    cap: int
    arrived: int = 0
    reported: int = 0
    extensions: int = 0
    included: list[int] = field(default_factory=list)
    assignments: dict[int, assignment.AssignmentStatus] = field(default_factory=dict)


class Training(RuleBasedStateMachine):
    """An in-memory interpreter of the machines' effects, as the SQL adapters are one on a database."""

    @initialize(
        num_cycles=st.integers(0, 3),
        goal=st.integers(1, 3) | st.none(),
        min_diffs=st.integers(1, 3),
        extra=st.integers(0, 2),
        min_workers=st.integers(1, 3),
        max_extensions=st.integers(0, 2) | st.none(),
    )
    def host(
        self,
        num_cycles: int,
        goal: int | None,
        min_diffs: int,
        extra: int,
        min_workers: int,
        max_extensions: int | None,
    ) -> None:
        self.num_cycles, self.goal, self.min_workers = num_cycles, goal, min_workers
        self.min_diffs = min(min_diffs, goal or min_diffs)
        self.cap = max(goal or 3, self.min_diffs, min_workers) + extra
        self.max_extensions = max_extensions
        self.status = training.TrainingStatus.CREATED
        self.cycles: list[_Cycle] = []
        self.applied = 0
        self.next_id = 0
        self.seen_terminal: training.TrainingStatus | None = None
        self._process(training.TrainingEvent.START)

    # -- interpreting effects

    def _process(self, event: training.TrainingEvent) -> None:
        in_progress = bool(self.cycles) and self.cycles[-1].status not in cycle.TERMINAL
        facts = training.TrainingFacts(self.num_cycles, self.applied, in_progress)
        decision = training.decide(self.status, event, facts)
        self.status = decision.status
        for effect in decision.effects:
            if effect is training.TrainingEffect.OPEN_CYCLE:
                ended = (
                    cycle.TERMINAL
                    if event is training.TrainingEvent.RESUME
                    else {cycle.CycleStatus.COMPLETED}
                )
                assert not self.cycles or self.cycles[-1].status in ended
                self.cycles.append(_Cycle(cycle.initial(self.min_workers), self.cap, self.cap))
            elif effect is training.TrainingEffect.CANCEL_CYCLE:
                self._cycle(cycle.CycleEvent.CANCEL)
            else:
                self._cycle_if_possible(cycle.CycleEvent.RESUMED)

    def _facts(self) -> cycle.CycleFacts:
        c = self.cycles[-1]
        return cycle.CycleFacts(
            self.goal,
            self.min_diffs,
            self.min_workers,
            c.arrived,
            c.reported,
            c.extensions,
            self.max_extensions,
            self.status is training.TrainingStatus.PAUSED,
        )

    def _cycle_if_possible(self, event: cycle.CycleEvent) -> None:
        if self.cycles[-1].status in cycle.ADMITTING:
            self._cycle(event)

    def _cycle(self, event: cycle.CycleEvent) -> None:
        c = self.cycles[-1]
        decision = cycle.decide(c.status, event, self._facts())
        c.status = decision.status
        for effect in decision.effects:
            if effect is cycle.CycleEffect.CLOSE_STRAGGLERS:
                self._all(assignment.AssignmentStatus.ASSIGNED, assignment.AssignmentEvent.CYCLE_CLOSED)
            elif effect is cycle.CycleEffect.CANCEL_ASSIGNMENTS:
                self._all(assignment.AssignmentStatus.ASSIGNED, assignment.AssignmentEvent.CANCEL)
                self._all(assignment.AssignmentStatus.REPORTED, assignment.AssignmentEvent.CANCEL)
            elif effect is cycle.CycleEffect.EXTEND:
                c.extensions += event is cycle.CycleEvent.DEADLINE
            elif effect is cycle.CycleEffect.FAIL_PROCESS:
                self._process(training.TrainingEvent.CYCLE_FAILED)
            elif effect is cycle.CycleEffect.COMPLETE_PROCESS_STEP:
                self.applied += 1
                self._process(training.TrainingEvent.CYCLE_COMPLETED)

    def _all(self, status: assignment.AssignmentStatus, event: assignment.AssignmentEvent) -> None:
        for key, value in list(self.cycles[-1].assignments.items()):
            if value is status:
                self._assignment(key, event)

    def _assignment(self, key: int, event: assignment.AssignmentEvent) -> None:
        c = self.cycles[-1]
        decision = assignment.decide(c.assignments[key], event)
        c.assignments[key] = decision.status
        for effect in decision.effects:
            if effect is assignment.AssignmentEffect.FREE_SLOT:
                c.slots_open += 1
            elif effect is assignment.AssignmentEffect.COUNT_REPORT:
                c.reported += 1
            else:
                c.reported -= 1

    # -- what may happen

    def _admitting(self) -> bool:
        return self.status is training.TrainingStatus.RUNNING and self.cycles[-1].status in cycle.ADMITTING

    @precondition(_admitting)
    @rule()
    def check_in(self) -> None:
        c = self.cycles[-1]
        c.arrived += 1
        self._cycle(cycle.CycleEvent.ARRIVED)
        if c.status is cycle.CycleStatus.COLLECTING and c.slots_open > 0:
            assert c.arrived >= self.min_workers
            c.slots_open -= 1
            c.assignments[self.next_id] = assignment.AssignmentStatus.ASSIGNED
            self.next_id += 1

    def _has_assignments(self) -> bool:
        return bool(self.cycles) and bool(self.cycles[-1].assignments)

    @precondition(_has_assignments)
    @rule(data=st.data(), event=st.sampled_from(["report", "report", "worker-failed", "lease-expired"]))
    def worker_event(self, data: st.DataObject, event: str) -> None:
        c = self.cycles[-1]
        key = data.draw(st.sampled_from(sorted(c.assignments)))
        before = dict(c.assignments)
        if c.assignments[key] is not assignment.AssignmentStatus.ASSIGNED:
            with pytest.raises(Conflict):
                assignment.decide(c.assignments[key], assignment.AssignmentEvent(event))
            assert before == c.assignments
            return
        if event == "report" and self.goal is not None and c.reported >= self.goal:
            return  # the adapter's UPDATE … WHERE reported < goal
        self._assignment(key, assignment.AssignmentEvent(event))
        if event == "report" and self.status is not training.TrainingStatus.PAUSED:
            self._cycle(cycle.CycleEvent.REPORTED)

    @precondition(lambda self: self.cycles[-1].status in cycle.ADMITTING)
    @rule()
    def time_is_up(self) -> None:
        self._cycle(cycle.CycleEvent.DEADLINE)

    @precondition(lambda self: self.cycles[-1].status is cycle.CycleStatus.AGGREGATING)
    @rule(unusable=st.booleans())
    def aggregate(self, unusable: bool) -> None:
        c = self.cycles[-1]
        reported = [k for k, v in c.assignments.items() if v is assignment.AssignmentStatus.REPORTED]
        if unusable:
            self._assignment(reported[0], assignment.AssignmentEvent.UNUSABLE)
        if c.reported < max(self.min_diffs, 1):
            self._cycle(cycle.CycleEvent.SHORT)
        else:
            self._cycle(cycle.CycleEvent.AGGREGATED)

    @precondition(lambda self: self.cycles[-1].status is cycle.CycleStatus.APPLYING)
    @rule(fails=st.sampled_from([False, False, False, True]))
    def apply(self, fails: bool) -> None:
        c = self.cycles[-1]
        if fails:
            self._cycle(cycle.CycleEvent.ABANDONED)
            return
        for key, value in list(c.assignments.items()):
            if value is assignment.AssignmentStatus.REPORTED:
                self._assignment(key, assignment.AssignmentEvent.INCLUDE)
                c.included.append(key)
        self._cycle(cycle.CycleEvent.APPLIED)

    @rule(event=st.sampled_from([training.TrainingEvent.PAUSE, training.TrainingEvent.RESUME]))
    def pause_or_resume(self, event: training.TrainingEvent) -> None:
        allowed = {
            training.TrainingEvent.PAUSE: {training.TrainingStatus.RUNNING},
            training.TrainingEvent.RESUME: {training.TrainingStatus.PAUSED, training.TrainingStatus.FAILED},
        }
        if self.status in allowed[event]:
            self._process(event)
        else:
            with pytest.raises(Conflict):
                training.decide(self.status, event, training.TrainingFacts(1, 0, False))

    @precondition(lambda self: self.applied >= 1)
    @rule()
    def cancel(self) -> None:
        if self.status not in training.TERMINAL:
            self._process(training.TrainingEvent.CANCEL)

    # -- what must hold

    @invariant()
    def counters_agree(self) -> None:
        for c in getattr(self, "cycles", []):
            values = list(c.assignments.values())
            holding = sum(v in assignment.HOLDING for v in values)
            assert 0 <= c.slots_open <= c.cap
            assert holding <= c.cap, "over-admission"
            if c.status not in cycle.TERMINAL:
                assert holding + c.slots_open == c.cap
                assert c.reported == values.count(assignment.AssignmentStatus.REPORTED)
            if self.goal is not None:
                assert c.reported <= self.goal
            assert len(c.included) == len(set(c.included)), "included twice"

    @invariant()
    def exactly_num_cycles(self) -> None:
        cycles = getattr(self, "cycles", [])
        completed = sum(c.status is cycle.CycleStatus.COMPLETED for c in cycles)
        assert sum(c.status not in cycle.TERMINAL for c in cycles) <= 1
        if cycles:
            assert completed == self.applied
            if self.num_cycles:
                assert completed <= self.num_cycles
            if self.status is training.TrainingStatus.COMPLETED:
                assert completed == self.num_cycles > 0
            for c in cycles:
                if c.status is cycle.CycleStatus.COMPLETED:
                    assert len(c.included) >= max(self.min_diffs, 1)

    @invariant()
    def terminal_is_terminal(self) -> None:
        status = getattr(self, "status", None)
        if self.__dict__.get("seen_terminal") is training.TrainingStatus.FAILED and status is not None:
            self.seen_terminal = None if status not in training.TERMINAL else status  # it was resumed
        if self.__dict__.get("seen_terminal"):
            assert status is self.seen_terminal
        elif status in training.TERMINAL:
            self.seen_terminal = status
            assert all(c.status in cycle.TERMINAL for c in self.cycles)


TestTraining = Training.TestCase
TestTraining.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)


@pytest.mark.parametrize("status", sorted(training.TERMINAL))
def test_a_finished_training_takes_no_event(status: training.TrainingStatus) -> None:
    for event in training.TrainingEvent:
        if (status, event) == (training.TrainingStatus.FAILED, training.TrainingEvent.RESUME):
            resumed = training.decide(status, event, training.TrainingFacts(0, 0, False))
            assert resumed.effects == (training.TrainingEffect.OPEN_CYCLE,)
            continue
        with pytest.raises(Conflict):
            training.decide(status, event, training.TrainingFacts(0, 0, True))


@pytest.mark.parametrize("reported", [0, 3])
def test_what_is_final_never_collects_again(reported: int) -> None:
    facts = cycle.CycleFacts(4, 2, 1, 9, reported, 0, None, final=True)
    with pytest.raises(Conflict):
        cycle.decide(cycle.CycleStatus.AGGREGATING, cycle.CycleEvent.SHORT, facts)


@pytest.mark.parametrize(("reported", "status"), [(1, "expired"), (2, "aggregating")])
def test_a_cycle_whose_time_is_over_is_not_extended(reported: int, status: str) -> None:
    facts = cycle.CycleFacts(4, 2, 1, 9, reported, 0, None, over=True)
    assert cycle.decide(cycle.CycleStatus.COLLECTING, cycle.CycleEvent.DEADLINE, facts).status == status


@pytest.mark.parametrize("status", sorted(cycle.TERMINAL))
def test_a_finished_cycle_takes_no_event(status: cycle.CycleStatus) -> None:
    facts = cycle.CycleFacts(1, 1, 1, 9, 9, 0, None)
    for event in cycle.CycleEvent:
        with pytest.raises(Conflict):
            cycle.decide(status, event, facts)


@pytest.mark.parametrize("status", sorted(assignment.TERMINAL))
def test_a_finished_assignment_takes_no_event_and_says_why(status: assignment.AssignmentStatus) -> None:
    for event in assignment.AssignmentEvent:
        with pytest.raises(Conflict) as caught:
            assignment.decide(status, event)
        assert caught.value.extra["reason"] != "state"
