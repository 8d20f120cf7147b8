"""The machine of an environment's life against a model that says the same in another way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from grid.environments.machine import ENDED, LIVE, EnvironmentEvent, EnvironmentState, decide
from syft_ext.errors import Conflict


def model(events: list[EnvironmentEvent]) -> tuple[EnvironmentState, int]:
    """What became of an environment, and how many of the events counted: by facts instead of a table."""
    running = ended = destroying = destroyed = failed = False
    counted = 0
    for event in events:
        fresh = not (running or ended or destroying or destroyed)
        possible = {
            EnvironmentEvent.STARTED: fresh,
            EnvironmentEvent.FAILED: fresh,
            EnvironmentEvent.GONE: running and not destroying,
            EnvironmentEvent.DESTROY: not destroying and not destroyed,
            EnvironmentEvent.DONE: destroying,
        }[event]
        if not possible:
            continue
        counted += 1
        if event is EnvironmentEvent.STARTED:
            running = True
        elif event is EnvironmentEvent.FAILED:
            ended = failed = True
        elif event is EnvironmentEvent.GONE:
            running, ended = False, True
        elif event is EnvironmentEvent.DESTROY:
            running, destroying = False, True
        else:
            destroying, destroyed, ended = False, True, True
    if destroyed:
        return EnvironmentState.DESTROYED, counted
    if destroying:
        return EnvironmentState.DESTROYING, counted
    if ended:
        return EnvironmentState.FAILED if failed else EnvironmentState.LOST, counted
    return EnvironmentState.RUNNING if running else EnvironmentState.CREATING, counted


@given(st.lists(st.sampled_from(EnvironmentEvent), max_size=12))
def test_random_events_against_a_model(events: list[EnvironmentEvent]) -> None:
    state, counted, ran = EnvironmentState.CREATING, 0, 0
    for event in events:
        try:
            new = decide(state, event)
        except Conflict as refused:
            assert refused.extra["state"] == state
            continue
        assert new is not state and state is not EnvironmentState.DESTROYED
        # What has ended never runs again, and nothing runs without a place among the environments.
        assert not (state in ENDED and new is EnvironmentState.RUNNING)
        ran += new is EnvironmentState.RUNNING
        counted += 1
        state = new
    assert (state, counted) == model(events)
    assert ran <= 1


def test_every_state_counts_or_has_ended_and_can_be_left_but_the_last() -> None:
    assert set(EnvironmentState) == LIVE | ENDED and not LIVE & ENDED
    for state in EnvironmentState:
        leaves = []
        for event in EnvironmentEvent:
            try:
                leaves.append(decide(state, event))
            except Conflict:
                continue
        assert bool(leaves) is (state is not EnvironmentState.DESTROYED)
