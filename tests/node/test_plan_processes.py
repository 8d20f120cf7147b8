"""Processes for plans: each user has their own, so many at once, and who is slow is slow alone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from grid.node.plan_processes import PlanProcesses
from syft_ext.confinement.gate import Gate
from syft_ext.errors import InvalidPlan, TooManyRequests, Unavailable
from syft_ext.plans import trace
from syft_ext.plans.sandbox.process import SandboxProcess
from tests.plans.test_sandbox import long_plan

QUICK = trace(lambda x: x * 2, torch.ones(3)).dumps()


@pytest.fixture
def make() -> Iterator[Callable[..., PlanProcesses]]:
    made: list[PlanProcesses] = []

    def make(**options: float) -> PlanProcesses:
        made.append(PlanProcesses(Gate(), **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_slow_plan_of_one_user_holds_up_no_other(make: Callable[..., PlanProcesses]) -> None:
    processes = make()
    ended: list[str] = []

    def slow() -> None:
        rows = np.zeros(64, np.uint8)
        with pytest.raises(InvalidPlan, match="crashed"), processes.of("slow") as process:
            process.run_raw(long_plan().dumps(), [("f32", (4, 4), rows)])
        ended.append("slow")

    thread = threading.Thread(target=slow)
    thread.start()
    while not processes.running():
        time.sleep(0.01)
    for user in ("ann", "bob"):
        with processes.of(user) as process:
            process.prove(QUICK)
    with processes.of("ann") as first, processes.of("ann") as second, processes.of("bob") as other:
        assert first is second and first is not other and len({first.pid, other.pid, os.getpid()}) == 3
    assert not ended and processes.running() == 3
    with processes.of("slow") as process:
        assert process._child is not None
        os.kill(process._child.pid, signal.SIGKILL)  # it would work for minutes
    thread.join(60)
    assert ended == ["slow"]


def test_who_was_idle_longest_makes_room_and_who_works_does_not(
    make: Callable[..., PlanProcesses], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.node.plan_processes._PATIENCE", 0.2)
    processes = make(processes=2)
    with processes.of("ann") as ann:
        pass
    with processes.of("bob") as bob:
        pass
    with processes.of("ann") as again:
        assert again is ann
    with processes.of("eve"):
        assert processes.running() == 2
        with pytest.raises(Unavailable):
            bob.prove(QUICK)  # it was ended
        with processes.of("ann") as same:
            assert same is ann
            with pytest.raises(TooManyRequests, match="other users"), processes.of("dan"):
                pass
    with processes.of("dan"):
        assert processes.running() == 2


def test_idle_and_large_ones_end(make: Callable[..., PlanProcesses]) -> None:
    processes = make(idle=0.0)
    with processes.of("ann"):
        processes.sweep()
        assert processes.running() == 1  # it works
    time.sleep(0.01)
    processes.sweep()
    assert processes.running() == 0
    with processes.of("ann", retire=True) as first, processes.of("ann"):
        pass
    assert processes.running() == 0
    with pytest.raises(Unavailable):
        first.prove(QUICK)
    with processes.apart("ann") as one, processes.of("ann") as other:
        assert one is not other
    assert processes.running() == 1
    processes.close()
    with pytest.raises(Unavailable), processes.of("ann"):
        pass


def test_the_memory_of_all_is_bounded(make: Callable[..., PlanProcesses]) -> None:
    processes = make(processes=4, memory=4 << 30)
    with processes.of("ann") as process:
        assert isinstance(process, SandboxProcess) and process.memory_bytes == 1 << 30
