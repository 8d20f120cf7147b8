"""The clock of a node: it never steps, whatever the machine's does, and follows it all the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_ext.clock import ManualClock, SteadyClock, SystemClock, wall_of


class Machine:
    """A clock that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_700_000_000.0, 5.0
        self.clock = SteadyClock(lambda: self.wall, lambda: self.steady)

    def let_pass(self, seconds: float) -> None:
        self.wall, self.steady = self.wall + seconds, self.steady + seconds


@given(
    st.lists(
        st.tuples(st.floats(0, 10_000, allow_nan=False), st.floats(-100_000, 100_000, allow_nan=False)),
        max_size=30,
    )
)
def test_it_runs_forwards_at_about_its_rate_whatever_is_set(events: list[tuple[float, float]]) -> None:
    machine, before = Machine(), 1_700_000_000.0
    for seconds, step in events:
        machine.wall += step
        machine.let_pass(seconds)
        now = machine.clock.now()
        assert (1 - SteadyClock.SLEW) * seconds - 1e-3 <= now - before
        assert now - before <= (1 + SteadyClock.SLEW) * seconds + 1e-3
        before = now
    for _ in range(100_000):
        if abs(machine.clock.now() - machine.wall) < 1e-3:
            break
        machine.let_pass(10_000)
    assert abs(machine.clock.now() - machine.wall) < 1e-3, "it arrives"


@pytest.mark.parametrize("step", [7200.0, -7200.0])
def test_a_step_is_no_jump(step: float) -> None:
    machine = Machine()
    machine.wall += step
    machine.let_pass(1.0)
    assert machine.clock.now() == pytest.approx(1_700_000_001.0, abs=0.26)


def test_small_corrections_are_followed_at_once() -> None:
    machine = Machine()
    machine.wall += 0.001
    machine.let_pass(1.0)
    assert machine.clock.now() == machine.wall


def test_the_wall_is_the_machines() -> None:
    manual = ManualClock()
    assert wall_of(manual) is manual
    assert isinstance(wall_of(SteadyClock()), SystemClock)
