"""Timers, leases and pools, with a clock that is turned by hand."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
import pytest

from grid.concurrency.timers import Timers
from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock
from syft_ext.errors import Conflict
from tests.federated.driver import Driver, together


def _diff(value: float) -> dict[str, Any]:
    return {"weight": np.full((4, 4), value, np.float32), "bias": np.full(4, value, np.float32)}


def _turn(driver: Driver, clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    driver.pipeline.scheduler.timers.run_due()
    assert driver.pipeline.drain()


def _events(driver: Driver, entity: str) -> list[tuple[str, str]]:
    events = driver.pipeline.views.events(driver.process_id).events
    return [(e.before, e.after) for e in events if e.entity == entity]


def test_a_cycle_closes_on_time_with_what_it_has(manual: Driver, clock: ManualClock) -> None:
    manual.host({"num_cycles": 2, "max_diffs": 5, "min_diffs": 2, "cycle_length": 60})
    straggler, *parts = [manual.join() for _ in range(3)]
    for part in parts:
        manual.report(part, _diff(1.0))
    _turn(manual, clock, 59.9)
    assert manual.view.cycles_completed == 0
    _turn(manual, clock, 0.1)
    assert (manual.view.cycles_completed, manual.view.cycle) == (1, 2)
    np.testing.assert_allclose(manual.model()["weight"], 0.0)
    with pytest.raises(Conflict) as caught:
        manual.report(straggler, _diff(1.0))
    assert caught.value.extra["reason"] == "late"


def test_a_cycle_without_enough_reports_is_extended_and_keeps_them(
    manual: Driver, clock: ManualClock
) -> None:
    manual.host({"num_cycles": 1, "max_diffs": 5, "min_diffs": 2, "cycle_length": 60})
    manual.report(manual.join(), _diff(1.0))
    for _ in range(3):
        _turn(manual, clock, 60)
        assert manual.view.cycle_status == "collecting"
    manual.report(manual.join(), _diff(3.0))
    _turn(manual, clock, 60)
    assert manual.view.status == "completed"
    np.testing.assert_allclose(manual.model()["weight"], -1.0)
    assert _events(manual, "cycle").count(("collecting", "collecting")) == 3


def test_extensions_end(manual: Driver, clock: ManualClock) -> None:
    manual.host({"num_cycles": 1, "min_diffs": 2, "cycle_length": 60, "max_extensions": 1})
    part = manual.join()
    _turn(manual, clock, 60)
    assert manual.view.status == "running"
    _turn(manual, clock, 60)
    assert (manual.view.status, manual.view.cycle_status) == ("failed", "expired")
    assert "0 reports in time" in manual.view.reason
    with pytest.raises(Conflict) as caught:
        manual.report(part, _diff(1.0))
    assert caught.value.extra["reason"] == "cancelled"
    assert manual.check_in().reason == "over"


def test_the_goal_closes_a_cycle_before_its_time(manual: Driver, clock: ManualClock) -> None:
    manual.host({"num_cycles": 2, "max_diffs": 1, "cycle_length": 60})
    _turn(manual, clock, 30)
    manual.report(manual.join(), _diff(1.0))
    assert manual.pipeline.drain()
    assert manual.view.cycle == 2
    _turn(manual, clock, 59)  # the second cycle has a minute of its own
    assert _events(manual, "cycle").count(("collecting", "collecting")) == 0
    _turn(manual, clock, 1)
    assert _events(manual, "cycle").count(("collecting", "collecting")) == 1


def test_a_lease_that_ends_frees_its_slot(manual: Driver, clock: ManualClock) -> None:
    manual.host({"num_cycles": 1, "max_diffs": 1, "max_workers": 1, "assignment_timeout": 10})
    worker, reply = manual.join()
    assert reply.deadline == clock.now() + 10
    assert manual.check_in().reason == "full"
    _turn(manual, clock, 10)
    part = manual.join()
    with pytest.raises(Conflict) as caught:
        manual.report((worker, reply), _diff(1.0))
    assert caught.value.extra["reason"] == "timed-out"
    assert manual.view.admitted == 2
    manual.report(part, _diff(1.0))


def test_a_freed_slot_goes_to_who_waits(database: Database, blobs: FileBlobStore) -> None:
    driver = Driver(database, blobs)
    driver.pipeline.start()
    driver.host({"num_cycles": 1, "max_diffs": 1, "max_workers": 1, "assignment_timeout": 0.3})
    driver.join()
    reply = driver.check_in(wait=20.0)
    assert reply.status == "accepted", "the real timer ended the lease"
    driver.pipeline.stop()


def test_time_stands_still_while_a_training_is_paused(manual: Driver, clock: ManualClock) -> None:
    manual.host({"num_cycles": 1, "min_diffs": 1, "max_diffs": 2, "cycle_length": 60})
    manual.report(manual.join(), _diff(1.0))
    _turn(manual, clock, 40)
    manual.pipeline.tasks.pause(manual.process_id)
    _turn(manual, clock, 1000)
    assert manual.view.cycles_completed == 0
    manual.pipeline.tasks.resume(manual.process_id)
    _turn(manual, clock, 19)
    assert manual.view.cycles_completed == 0
    _turn(manual, clock, 1)
    assert manual.view.cycles_completed == 1


def test_nobody_is_assigned_before_the_pool_is_full(manual: Driver) -> None:
    manual.host({"num_cycles": 1, "max_diffs": 3, "min_workers": 3})
    first, second, third = (manual.worker() for _ in range(3))
    for _ in range(3):  # the same worker three times is one worker
        reply = manual.check_in(first)
        assert (reply.status, reply.reason) == ("rejected", "waiting-for-workers")
    assert manual.check_in(second).reason == "waiting-for-workers"
    assert manual.view.admitted == 0
    assert manual.check_in(third).status == "accepted"
    assert manual.check_in(first).status == "accepted"


def test_a_pool_fills_again_for_each_cycle(driver: Driver) -> None:
    driver.host({"num_cycles": 2, "max_diffs": 2, "max_workers": 2, "min_workers": 2})
    workers = [driver.worker() for _ in range(2)]
    for number in (1, 2):
        replies = together(2, lambda i: driver.check_in(workers[i], wait=20.0))
        assert [r.cycle for r in replies] == [number, number]
        for worker, reply in zip(workers, replies, strict=True):
            driver.report((worker, reply), _diff(1.0))
        driver.completed(number)


def _pool(driver: Driver, selection: str, version: str) -> list[int]:
    """Who of eight waiting workers gets one of the two slots (by order of arrival)."""
    config = {"num_cycles": 1, "max_diffs": 2, "max_workers": 8, "min_workers": 8}
    driver.host({**config, "pool_selection": selection, "max_workers": 8}, version=version)
    workers = [driver.worker() for _ in range(8)]
    room = driver.pipeline.assignments._room(driver.process_id)
    with driver.pipeline.store.unit(driver.process_id) as unit:
        assert unit.cycle is not None
        unit.cycle.slots_open = 2

    def arrive(i: int) -> Any:
        deadline = time.monotonic() + 60
        while len(room) < i and time.monotonic() < deadline:
            time.sleep(0.001)  # whoever spins keeps those from arriving whom it waits for
        return driver.check_in(workers[i], wait=1.2 if i < 7 else 0.0)

    replies = together(8, arrive)
    return [i for i, reply in enumerate(replies) if reply.status == "accepted"]


def test_iterate_is_the_order_of_arrival(manual: Driver) -> None:
    assert _pool(manual, "iterate", "1") == [0, 1]


def test_random_is_a_draw_among_those_who_wait(manual: Driver) -> None:
    drawn = [tuple(_pool(manual, "random", str(turn))) for turn in range(4)]
    assert all(len(pair) == 2 for pair in drawn)
    assert len(set(drawn)) > 1
    assert set(Counter(i for pair in drawn for i in pair)) - {0, 1}


def test_a_worker_rests_for_so_many_cycles(manual: Driver) -> None:
    manual.host({"num_cycles": 5, "max_diffs": 1, "do_not_reuse_workers_until_cycle": 2})
    worker = manual.worker()
    took_part = []
    for number in range(1, 6):
        reply = manual.check_in(worker)
        if reply.status == "accepted":
            took_part.append(number)
            part = (worker, reply)
        else:
            assert reply.reason == "resting"
            part = manual.join()
        manual.report(part, _diff(1.0))
        assert manual.pipeline.drain()
    assert took_part == [1, 4], "two cycles of rest in between"
    assert manual.view.status == "completed"


def test_a_worker_that_did_not_report_need_not_rest(manual: Driver) -> None:
    manual.host({"num_cycles": 3, "max_diffs": 1, "do_not_reuse_workers_until_cycle": 2})
    worker, reply = manual.join()
    manual.pipeline.collector.give_up(reply.assignment_id, worker, reply.request_key)
    assert manual.check_in(worker).status == "accepted"


def test_a_token_with_a_subject_is_the_same_worker_again(manual: Driver) -> None:
    manual.host({"num_cycles": 1})
    assert manual.worker("key:1") == manual.worker("key:1")
    assert manual.worker("key:2") != manual.worker("key:1")
    assert manual.worker() != manual.worker()


def test_timers_fire_in_order_and_at_the_earliest_time(clock: ManualClock) -> None:
    fired: list[str] = []
    timers = Timers(clock, fired.append)
    timers.at("late", clock.now() + 30)
    timers.at("late", clock.now() + 10)
    timers.at("late", clock.now() + 20)
    timers.at("early", clock.now() + 5)
    assert timers.run_due() == 0
    clock.advance(40)
    assert timers.run_due() == 2
    assert fired == ["early", "late"]
    assert timers.run_due() == 0
