"""The three machines together, driven by random events: the invariants of a training hold."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from grid.federated.state.machines import assignment, cycle, process
from syft_ext.errors import Conflict


@dataclass
class _Cycle:
    status: cycle.Status
    slots_open: int
    cap: int
    arrived: int = 0
    reported: int = 0
    extensions: int = 0
    included: list[int] = field(default_factory=list)
    assignments: dict[int, assignment.Status] = field(default_factory=dict)


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
        self.status = process.Status.CREATED
        self.cycles: list[_Cycle] = []
        self.applied = 0
        self.next_id = 0
        self.seen_terminal: process.Status | None = None
        self._process(process.Event.START)

    # -- interpreting effects

    def _process(self, event: process.Event) -> None:
        in_progress = bool(self.cycles) and self.cycles[-1].status not in cycle.TERMINAL
        facts = process.Facts(self.num_cycles, self.applied, in_progress)
        decision = process.decide(self.status, event, facts)
        self.status = decision.status
        for effect in decision.effects:
            if effect is process.Effect.OPEN_CYCLE:
                assert not self.cycles or self.cycles[-1].status is cycle.Status.COMPLETED
                self.cycles.append(_Cycle(cycle.initial(self.min_workers), self.cap, self.cap))
            elif effect is process.Effect.CANCEL_CYCLE:
                self._cycle(cycle.Event.CANCEL)
            else:
                self._cycle_if_possible(cycle.Event.RESUMED)

    def _facts(self) -> cycle.Facts:
        c = self.cycles[-1]
        return cycle.Facts(
            self.goal,
            self.min_diffs,
            self.min_workers,
            c.arrived,
            c.reported,
            c.extensions,
            self.max_extensions,
            self.status is process.Status.PAUSED,
        )

    def _cycle_if_possible(self, event: cycle.Event) -> None:
        if self.cycles[-1].status in cycle.ADMITTING:
            self._cycle(event)

    def _cycle(self, event: cycle.Event) -> None:
        c = self.cycles[-1]
        decision = cycle.decide(c.status, event, self._facts())
        c.status = decision.status
        for effect in decision.effects:
            if effect is cycle.Effect.CLOSE_STRAGGLERS:
                self._all(assignment.Status.ASSIGNED, assignment.Event.CYCLE_CLOSED)
            elif effect is cycle.Effect.CANCEL_ASSIGNMENTS:
                self._all(assignment.Status.ASSIGNED, assignment.Event.CANCEL)
                self._all(assignment.Status.REPORTED, assignment.Event.CANCEL)
            elif effect is cycle.Effect.EXTEND:
                c.extensions += event is cycle.Event.DEADLINE
            elif effect is cycle.Effect.FAIL_PROCESS:
                self._process(process.Event.CYCLE_FAILED)
            elif effect is cycle.Effect.COMPLETE_PROCESS_STEP:
                self.applied += 1
                self._process(process.Event.CYCLE_COMPLETED)

    def _all(self, status: assignment.Status, event: assignment.Event) -> None:
        for key, value in list(self.cycles[-1].assignments.items()):
            if value is status:
                self._assignment(key, event)

    def _assignment(self, key: int, event: assignment.Event) -> None:
        c = self.cycles[-1]
        decision = assignment.decide(c.assignments[key], event)
        c.assignments[key] = decision.status
        for effect in decision.effects:
            if effect is assignment.Effect.FREE_SLOT:
                c.slots_open += 1
            elif effect is assignment.Effect.COUNT_REPORT:
                c.reported += 1
            else:
                c.reported -= 1

    # -- what may happen

    def _admitting(self) -> bool:
        return self.status is process.Status.RUNNING and self.cycles[-1].status in cycle.ADMITTING

    @precondition(_admitting)
    @rule()
    def check_in(self) -> None:
        c = self.cycles[-1]
        c.arrived += 1
        self._cycle(cycle.Event.ARRIVED)
        if c.status is cycle.Status.COLLECTING and c.slots_open > 0:
            assert c.arrived >= self.min_workers
            c.slots_open -= 1
            c.assignments[self.next_id] = assignment.Status.ASSIGNED
            self.next_id += 1

    def _has_assignments(self) -> bool:
        return bool(self.cycles) and bool(self.cycles[-1].assignments)

    @precondition(_has_assignments)
    @rule(data=st.data(), event=st.sampled_from(["report", "report", "worker-failed", "lease-expired"]))
    def worker_event(self, data: st.DataObject, event: str) -> None:
        c = self.cycles[-1]
        key = data.draw(st.sampled_from(sorted(c.assignments)))
        before = dict(c.assignments)
        if c.assignments[key] is not assignment.Status.ASSIGNED:
            with pytest.raises(Conflict):
                assignment.decide(c.assignments[key], assignment.Event(event))
            assert before == c.assignments
            return
        if event == "report" and self.goal is not None and c.reported >= self.goal:
            return  # the adapter's UPDATE … WHERE reported < goal
        self._assignment(key, assignment.Event(event))
        if event == "report" and self.status is not process.Status.PAUSED:
            self._cycle(cycle.Event.REPORTED)

    @precondition(lambda self: self.cycles[-1].status in cycle.ADMITTING)
    @rule()
    def time_is_up(self) -> None:
        self._cycle(cycle.Event.DEADLINE)

    @precondition(lambda self: self.cycles[-1].status is cycle.Status.AGGREGATING)
    @rule(unusable=st.booleans())
    def aggregate(self, unusable: bool) -> None:
        c = self.cycles[-1]
        reported = [k for k, v in c.assignments.items() if v is assignment.Status.REPORTED]
        if unusable:
            self._assignment(reported[0], assignment.Event.UNUSABLE)
        if c.reported < max(self.min_diffs, 1):
            self._cycle(cycle.Event.SHORT)
        else:
            self._cycle(cycle.Event.AGGREGATED)

    @precondition(lambda self: self.cycles[-1].status is cycle.Status.APPLYING)
    @rule(fails=st.sampled_from([False, False, False, True]))
    def apply(self, fails: bool) -> None:
        c = self.cycles[-1]
        if fails:
            self._cycle(cycle.Event.ABANDONED)
            return
        for key, value in list(c.assignments.items()):
            if value is assignment.Status.REPORTED:
                self._assignment(key, assignment.Event.INCLUDE)
                c.included.append(key)
        self._cycle(cycle.Event.APPLIED)

    @rule(event=st.sampled_from([process.Event.PAUSE, process.Event.RESUME]))
    def pause_or_resume(self, event: process.Event) -> None:
        allowed = {process.Event.PAUSE: process.Status.RUNNING, process.Event.RESUME: process.Status.PAUSED}
        if self.status is allowed[event]:
            self._process(event)
        else:
            with pytest.raises(Conflict):
                process.decide(self.status, event, process.Facts(1, 0, False))

    @precondition(lambda self: self.applied >= 1)
    @rule()
    def cancel(self) -> None:
        if self.status not in process.TERMINAL:
            self._process(process.Event.CANCEL)

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
                assert c.reported == values.count(assignment.Status.REPORTED)
            if self.goal is not None:
                assert c.reported <= self.goal
            assert len(c.included) == len(set(c.included)), "included twice"

    @invariant()
    def exactly_num_cycles(self) -> None:
        cycles = getattr(self, "cycles", [])
        completed = sum(c.status is cycle.Status.COMPLETED for c in cycles)
        assert sum(c.status not in cycle.TERMINAL for c in cycles) <= 1
        if cycles:
            assert completed == self.applied
            if self.num_cycles:
                assert completed <= self.num_cycles
            if self.status is process.Status.COMPLETED:
                assert completed == self.num_cycles > 0
            for c in cycles:
                if c.status is cycle.Status.COMPLETED:
                    assert len(c.included) >= max(self.min_diffs, 1)

    @invariant()
    def terminal_is_terminal(self) -> None:
        status = getattr(self, "status", None)
        if self.__dict__.get("seen_terminal"):
            assert status is self.seen_terminal
        elif status in process.TERMINAL:
            self.seen_terminal = status
            assert all(c.status in cycle.TERMINAL for c in self.cycles)


TestTraining = Training.TestCase
TestTraining.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)


@pytest.mark.parametrize("status", sorted(process.TERMINAL))
def test_a_finished_training_takes_no_event(status: process.Status) -> None:
    for event in process.Event:
        with pytest.raises(Conflict):
            process.decide(status, event, process.Facts(0, 0, True))


@pytest.mark.parametrize("status", sorted(cycle.TERMINAL))
def test_a_finished_cycle_takes_no_event(status: cycle.Status) -> None:
    facts = cycle.Facts(1, 1, 1, 9, 9, 0, None)
    for event in cycle.Event:
        with pytest.raises(Conflict):
            cycle.decide(status, event, facts)


@pytest.mark.parametrize("status", sorted(assignment.TERMINAL))
def test_a_finished_assignment_takes_no_event_and_says_why(status: assignment.Status) -> None:
    for event in assignment.Event:
        with pytest.raises(Conflict) as caught:
            assignment.decide(status, event)
        assert caught.value.extra["reason"] != "state"
