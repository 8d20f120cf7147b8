"""Whoever waits or holds a slot is alive, or loses it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from grid.federated.participation import waiting_room
from grid.federated.participation.assignment_round import GRACE, HEARTBEAT
from syft_ext.clock import ManualClock
from syft_ext.errors import Conflict, Unavailable
from syft_ext.messages.federated import CheckInReply
from tests.federated.driver import Driver

DIFF = {"weight": np.full((4, 4), 1.0, np.float32), "bias": np.full(4, 1.0, np.float32)}
ONE = {"num_cycles": 2, "max_diffs": 1, "max_workers": 1, "assignment_timeout": 600}


def beat(manual: Driver, part: tuple[str, CheckInReply]) -> None:
    worker, reply = part
    row = manual.pipeline.collector.find_active(reply.assignment_id, worker, reply.request_key)
    assert manual.pipeline.assignments.heartbeat(row).interval == reply.heartbeat


def pass_time(manual: Driver, clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    manual.pipeline.scheduler.timers.run_due()
    assert manual.pipeline.drain()


def test_a_step_may_take_longer_than_the_timeout_as_long_as_its_worker_lives(
    manual: Driver, clock: ManualClock
) -> None:
    manual.host(ONE)
    worker = manual.worker()
    part = worker, manual.check_in(worker, heartbeats=True)
    for _ in range(100):
        pass_time(manual, clock, HEARTBEAT)
        beat(manual, part)
    assert manual.check_in().reason == "full"
    manual.report(part, DIFF)
    pass_time(manual, clock, 0.0)
    assert manual.view.cycles_completed == 1


@pytest.mark.parametrize("beats", [0, 3])
def test_a_dead_one_loses_its_slot_soon(manual: Driver, clock: ManualClock, beats: int) -> None:
    manual.host(ONE)
    worker = manual.worker()
    part = worker, manual.check_in(worker, heartbeats=True)
    for _ in range(beats):
        pass_time(manual, clock, HEARTBEAT)
        beat(manual, part)
    pass_time(manual, clock, GRACE * HEARTBEAT - 1)
    assert manual.check_in().reason == "full"
    pass_time(manual, clock, 2)
    assert manual.join()[1].cycle == 1
    with pytest.raises(Conflict) as lost:
        beat(manual, part)
    assert lost.value.extra["reason"] == "timed-out"


def test_who_sends_no_heartbeats_has_the_timeout_of_the_training(manual: Driver, clock: ManualClock) -> None:
    manual.host(ONE)
    part = manual.join()
    pass_time(manual, clock, 599)
    manual.pipeline.collector.find_active(part[1].assignment_id, part[0], part[1].request_key)
    pass_time(manual, clock, 2)
    manual.join()


def test_a_short_timeout_has_short_heartbeats(manual: Driver) -> None:
    manual.host({**ONE, "assignment_timeout": 3})
    assert manual.join()[1].heartbeat == 1.0


def test_a_worker_that_comes_back_has_its_own_slot_at_once(manual: Driver) -> None:
    manual.host(ONE)
    first = manual.check_in(manual.worker("key"), heartbeats=True)
    back = manual.check_in(manual.worker("key"), heartbeats=True)
    assert (back.assignment_id, back.cycle, back.status) == (first.assignment_id, 1, "accepted")
    assert manual.check_in(manual.worker("other")).reason == "full"
    assert manual.view.admitted == 1


def test_nobody_gets_a_slot_who_has_hung_up(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_room, "LOOK", 0.05)
    driver.host({**ONE, "min_workers": 1})
    holder = driver.join()
    dead, gone = threading.Event(), []

    def wait() -> None:
        try:
            driver.check_in(wait=60.0, alive=lambda: not dead.is_set())
        except Unavailable as error:
            gone.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    dead.set()
    thread.join(50)  # long before its minute is over
    assert len(gone) == 1
    driver.report(holder, DIFF)
    driver.completed(1)
    assert driver.join()[1].cycle == 2


def test_who_hung_up_between_two_looks_gets_nothing_either(manual: Driver) -> None:
    manual.host(ONE)
    with pytest.raises(Unavailable):
        manual.check_in(alive=lambda: False)
    assert manual.join()[1].cycle == 1
