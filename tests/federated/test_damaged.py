"""Reports, models and states whose files are damaged: never computed from, and no training ends by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from grid.concurrency.passing import LONGEST
from grid.federated.averaging import aggregator
from grid.federated.state import tables as t
from grid.federated.state.outbox import MAX_ATTEMPTS
from syft_ext.clock import ManualClock
from syft_ext.errors import ContentCorrupt, ContentCut, ContentDamaged, ContentMissing
from tests.federated.driver import CheckedFiles, Driver


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x40  # a weight is another number: nothing but its digest tells
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def _gone(path: Path) -> None:
    path.unlink()


DAMAGES: dict[type[ContentDamaged], Callable[[Path], None]] = {
    ContentCorrupt: _flip,
    ContentCut: _cut,
    ContentMissing: _gone,
}


def _diff(value: float) -> dict[str, Any]:
    return {"weight": np.full((4, 4), value, np.float32), "bias": np.full(4, value, np.float32)}


def _files(driver: Driver) -> CheckedFiles:
    assert isinstance(driver.pipeline.store.blobs, CheckedFiles)
    return driver.pipeline.store.blobs


def _damage(driver: Driver, digest: str, damage: Callable[[Path], None]) -> None:
    _files(driver).cache.trim(everything=True)  # else it is averaged out of memory
    path = _files(driver).path(digest)
    path.chmod(0o600)
    damage(path)


def _pass(manual: Driver, clock: ManualClock, times: int) -> None:
    for _ in range(times):
        assert manual.pipeline.drain()
        clock.advance(LONGEST + 0.1)
        manual.pipeline.scheduler.timers.run_due()
        manual.pipeline.queue.timers.run_due()
        assert manual.pipeline.drain()


@pytest.mark.parametrize("error", DAMAGES)
def test_a_damaged_report_is_dropped_and_named(
    driver: Driver, error: type[ContentDamaged], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MANY", "TOGETHER"):  # it is looked at when the cycle is closed, not before
        monkeypatch.setattr(aggregator, name, 1 << 60)
    driver.host({"num_cycles": 1, "max_diffs": 3, "min_diffs": 2})
    parts = [driver.join() for _ in range(3)]
    for value, part in enumerate(parts[:2]):
        driver.report(part, _diff(1.0 + value))
    query = select(t.Assignment.blob_digest).where(t.Assignment.id == parts[0][1].assignment_id)
    digest = driver.pipeline.store.read(query)[0][0]
    _damage(driver, digest, DAMAGES[error])
    driver.report(parts[2], _diff(4.0))
    assert driver.completed(1).status == "completed"
    np.testing.assert_allclose(driver.model()["weight"], 1.0 - 3.0)
    (cycle,) = driver.pipeline.views.metrics(driver.process_id)
    assert (cycle.reported, cycle.rejected) == (2, 1)


@pytest.mark.parametrize("error", DAMAGES)
def test_a_damaged_model_is_waited_for(
    manual: Driver, clock: ManualClock, error: type[ContentDamaged]
) -> None:
    """However often it is tried; it is read by nobody, and goes on when its bytes were uploaded again."""
    manual.host({"max_diffs": 1, "num_cycles": 1})
    digest = manual.pipeline.views.checkpoint(manual.pipeline.definitions.get(manual.process_id)).digest
    whole = _files(manual).path(digest).read_bytes()
    part = manual.join()
    with manual.pipeline.sums.turn(manual.process_id):  # nothing is averaged before the damage is done
        manual.report(part, _diff(1.0))
        manual.pipeline.sums.close()
        _damage(manual, digest, DAMAGES[error])
    _pass(manual, clock, 2 * MAX_ATTEMPTS)
    assert manual.view.status == "running" and f"content {digest[:12]}" in manual.view.waits_for
    with pytest.raises(error):
        manual.model(1)
    _files(manual).put([whole]).release()
    _pass(manual, clock, 1)
    assert (manual.view.status, manual.view.waits_for) == ("completed", "")
    assert _files(manual).damaged == {}
