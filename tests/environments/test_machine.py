"""The machine of an environment's life against a model that says the same in another way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from grid.environments.machine import ENDED, LIVE, Event, State, decide
from syft_ext.errors import Conflict


def model(events: list[Event]) -> tuple[State, int]:
    """What became of an environment, and how many of the events counted: by facts instead of a table."""
    running = ended = destroying = destroyed = failed = False
    counted = 0
    for event in events:
        fresh = not (running or ended or destroying or destroyed)
        possible = {
            Event.STARTED: fresh,
            Event.FAILED: fresh,
            Event.GONE: running and not destroying,
            Event.DESTROY: not destroying and not destroyed,
            Event.DONE: destroying,
        }[event]
        if not possible:
            continue
        counted += 1
        if event is Event.STARTED:
            running = True
        elif event is Event.FAILED:
            ended = failed = True
        elif event is Event.GONE:
            running, ended = False, True
        elif event is Event.DESTROY:
            running, destroying = False, True
        else:
            destroying, destroyed, ended = False, True, True
    if destroyed:
        return State.DESTROYED, counted
    if destroying:
        return State.DESTROYING, counted
    if ended:
        return State.FAILED if failed else State.LOST, counted
    return State.RUNNING if running else State.CREATING, counted


@given(st.lists(st.sampled_from(Event), max_size=12))
def test_random_events_against_a_model(events: list[Event]) -> None:
    state, counted, ran = State.CREATING, 0, 0
    for event in events:
        try:
            new = decide(state, event)
        except Conflict as refused:
            assert refused.extra["state"] == state
            continue
        assert new is not state and state is not State.DESTROYED
        # What has ended never runs again, and nothing runs without a place among the environments.
        assert not (state in ENDED and new is State.RUNNING)
        ran += new is State.RUNNING
        counted += 1
        state = new
    assert (state, counted) == model(events)
    assert ran <= 1


def test_every_state_counts_or_has_ended_and_can_be_left_but_the_last() -> None:
    assert set(State) == LIVE | ENDED and not LIVE & ENDED
    for state in State:
        leaves = []
        for event in Event:
            try:
                leaves.append(decide(state, event))
            except Conflict:
                continue
        assert bool(leaves) is (state is not State.DESTROYED)
