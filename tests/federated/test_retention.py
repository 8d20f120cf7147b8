"""A training that goes on for a year does not fill the disk: old models and old history go."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from sqlalchemy import func, select

from grid.federated.averaging.retention import Retention
from grid.federated.state import tables as t
from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock
from syft_ext.errors import NotFound
from tests.federated.driver import Driver

DIFF = {"weight": np.full((4, 4), 1.0, np.float32), "bias": np.full(4, 1.0, np.float32)}


def counted(driver: Driver, table: type) -> int:
    return int(driver.pipeline.store.read(select(func.count()).select_from(table))[0][0])


def until(condition: Callable[[], bool]) -> None:
    """Contents go a moment after what referred to them."""
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_many_cycles_keep_few_models_and_rows(
    database: Database, blobs: FileBlobStore, clock: ManualClock
) -> None:
    driver = Driver(database, blobs, clock, retention=Retention(checkpoints=3, history=40))
    driver.pipeline.queue.start()
    driver.host({"max_diffs": 1, "num_cycles": 0})
    sizes = []
    for cycle in range(30):
        driver.report(driver.join(), DIFF)
        assert driver.pipeline.drain()
        if cycle % 10 == 9:
            clock.advance(2 * 24 * 3600)
            driver.pipeline.pruning.rows()
            until(lambda: len(list(blobs.digests())) == 5)  # the plan, and the models
            sizes.append(
                (
                    counted(driver, t.Checkpoint),
                    counted(driver, t.History),
                    counted(driver, t.Assignment),
                )
            )
    assert sizes[1] == sizes[2], "flat"
    assert sizes[2][0] == 4, "the hosted one, and three"
    assert sizes[2][1] == 40 and sizes[2][2] < 15
    np.testing.assert_allclose(driver.model()["weight"], 1.0 - 30.0)
    np.testing.assert_allclose(driver.model(1)["weight"], 1.0)
    with pytest.raises(NotFound, match="not kept any more"):
        driver.model(5)
    with pytest.raises(NotFound, match="no checkpoint 99"):
        driver.model(99)
    assert len(driver.pipeline.views.metrics(driver.process_id)) == 31, "metrics stay"
    driver.pipeline.stop()


def test_cycles_and_their_metrics_go_too_and_whatever_refers_to_one_keeps_it(
    database: Database, blobs: FileBlobStore, clock: ManualClock
) -> None:
    driver = Driver(database, blobs, clock, retention=Retention(cycles=5))
    driver.pipeline.queue.start()
    driver.host({"max_diffs": 1, "num_cycles": 0})
    shown = []
    for cycle in range(20):
        joined = driver.join()
        driver.report(joined, DIFF)
        assert driver.pipeline.drain()
        if cycle % 10 == 9:
            driver.pipeline.pruning.rows()
            shown.append([each.cycle for each in driver.pipeline.views.metrics(driver.process_id)])
            kept = counted(driver, t.Cycle), counted(driver, t.CycleMetric), counted(driver, t.Assignment)
            assert kept[0] == 5 and kept[1] <= 15 and kept[2] == 4
    assert shown == [[7, 8, 9, 10, 11], [17, 18, 19, 20, 21]]
    np.testing.assert_allclose(driver.model()["weight"], 1.0 - 20.0)

    # An assignment that nobody has ended yet: its cycle waits for it.
    with database.transaction() as session:
        late = session.scalars(select(t.Assignment).order_by(t.Assignment.assigned_at)).first()
        assert late is not None
        late.status = "assigned"
    for _ in range(10):
        driver.report(driver.join(), DIFF)
        assert driver.pipeline.drain()
    driver.pipeline.pruning.rows()
    assert [each.cycle for each in driver.pipeline.views.metrics(driver.process_id)] == [17, *range(27, 32)]
    driver.pipeline.stop()


def test_everything_is_kept_where_nobody_limits_it(manual: Driver) -> None:
    manual.host({"max_diffs": 1, "num_cycles": 5})
    for _ in range(5):
        manual.report(manual.join(), DIFF)
        assert manual.pipeline.drain()
    manual.pipeline.pruning.rows()
    assert counted(manual, t.Checkpoint) == 6


def test_workers_that_never_took_part_are_forgotten(manual: Driver, clock: ManualClock) -> None:
    manual.host({"max_diffs": 1, "num_cycles": 1})
    taking_part, known = manual.join(), manual.worker("key")
    for _ in range(5):
        manual.worker()
    clock.advance(2 * 24 * 3600)
    assert manual.pipeline.pruning.rows() == 5
    left = {row.id for row in manual.pipeline.store.read(select(t.Worker.id))}
    assert left == {taking_part[0], known}
