"""The machine's clock is set by hours, forwards and back, also over a restart: nobody loses a slot by it."""

from __future__ import annotations

import numpy as np
import pytest

from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock, SteadyClock
from tests.federated.driver import Driver

DIFF = {"weight": np.full((4, 4), 1.0, np.float32), "bias": np.full(4, 1.0, np.float32)}
CONFIG = {
    "max_diffs": 1,
    "max_workers": 1,
    "num_cycles": 3,
    "cycle_length": 1800,
    "max_extensions": 0,
    "assignment_timeout": 600,
}


class Machine:
    """A clock that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_700_000_000.0, 0.0
        self.clock = SteadyClock(lambda: self.wall, lambda: self.steady)

    def let_pass(self, seconds: float) -> None:
        self.wall, self.steady = self.wall + seconds, self.steady + seconds


@pytest.mark.parametrize("step", [5400.0, 86400.0, -5400.0, -86400.0])
def test_a_step_ends_nothing_and_holds_up_nothing(
    database: Database, blobs: FileBlobStore, step: float
) -> None:
    machine = Machine()
    driver = Driver(database, blobs, machine.clock)
    driver.pipeline.queue.start()
    driver.host(CONFIG)
    part = driver.join()
    machine.wall += step
    for _ in range(4):
        machine.let_pass(60)
        driver.pipeline.scheduler.timers.run_due()
        driver.pipeline.scheduler.reconcile()
    driver.report(part, DIFF)
    machine.let_pass(1)
    driver.pipeline.queue.timers.run_due()
    assert driver.pipeline.drain()
    assert (driver.view.status, driver.view.cycles_completed) == ("running", 1)
    driver.join()
    for _ in range(
        20
    ):  # and a dead one loses its slot in time: of the next cycle, by its deadline at the latest
        machine.let_pass(60)
        driver.pipeline.scheduler.timers.run_due()
    driver.join()
    driver.pipeline.stop()


def test_a_clock_that_was_set_back_over_a_restart_keeps_no_slot_for_hours(
    manual: Driver, clock: ManualClock
) -> None:
    manual.host(CONFIG)
    manual.join()
    clock.advance(-86400)
    manual.pipeline.scheduler.reconcile()
    clock.advance(601)
    manual.pipeline.scheduler.timers.run_due()
    manual.join()
    clock.advance(1300)
    manual.pipeline.scheduler.timers.run_due()
    assert manual.view.status == "failed", "its deadline was not put off either"
    manual.pipeline.tasks.resume(manual.process_id)
    assert manual.view.status == "running"
