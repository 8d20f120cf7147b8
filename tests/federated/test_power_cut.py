"""A model that was in use before it was durable, and that a power cut took away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from tests.federated.driver import Driver

_random = np.random.default_rng(3)
REPORTS = [
    {
        "weight": _random.normal(size=(4, 4)).astype(np.float32),
        "bias": _random.normal(size=4).astype(np.float32),
    }
    for _ in range(4)
]


def _torn(path: Path) -> None:
    """As long as it should be, and nothing in it: what a journal knows of data that never came."""
    path.write_bytes(bytes(path.stat().st_size))


def _shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _gone(path: Path) -> None:
    path.unlink()


@pytest.fixture
def trained(sqlite_url: str, blobs: FileBlobStore, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Two cycles, and the lights go out before the garbage of the second is collected."""
    driver = Driver(Database(sqlite_url), blobs)
    monkeypatch.setattr(driver.pipeline.garbage, "_collect", lambda digests, cold: None)
    driver.pipeline.start()
    driver.host({"num_cycles": 3, "max_diffs": 4, "max_workers": 4, "weighting": "samples"})
    for cycle in (1, 2):
        for samples, tensors in enumerate(REPORTS, 1):
            driver.report(driver.join(), tensors, samples=samples)
        driver.completed(cycle)
    driver.pipeline.stop()
    return driver


def _file_of_model(driver: Driver) -> Path:
    view = driver.pipeline.views.checkpoint(driver.pipeline.definitions.get(driver.process_id), "latest")
    assert isinstance(driver.pipeline.store.blobs, FileBlobStore)
    path = driver.pipeline.store.blobs.path(view.digest)
    path.chmod(0o600)
    return path


def _again(driver: Driver) -> Driver:
    again = Driver(driver.pipeline.store.database, driver.pipeline.store.blobs)
    again.process_id = driver.process_id
    return again


@pytest.mark.parametrize("damage", [_torn, _shorter, _gone])
def test_it_is_made_again_to_the_last_bit(trained: Driver, damage: Callable[[Path], None]) -> None:
    path = _file_of_model(trained)
    before = path.read_bytes()
    damage(path)
    again = _again(trained)
    again.pipeline.start()
    try:
        assert path.read_bytes() == before
        for samples, tensors in enumerate(REPORTS, 1):
            again.report(again.join(), tensors, samples=samples)
        assert again.completed(3).status == "completed"
    finally:
        again.pipeline.stop()


def test_without_its_reports_it_is_given_to_nobody(trained: Driver, caplog: pytest.LogCaptureFixture) -> None:
    path = _file_of_model(trained)
    _torn(path)
    store: Any = trained.pipeline.store.blobs
    for digest in set(store.digests()) - {path.name}:
        store.path(digest).unlink()
    again = _again(trained)
    with caplog.at_level(logging.CRITICAL):
        again.pipeline.recovery.start()
    assert "is lost" in caplog.text and not path.exists()
    assert again.view.status == "failed" and "model 3 was lost" in again.view.reason
    assert again.check_in().reason == "over"
    again.pipeline.recovery.start()  # it has ended, and stays so


def test_what_is_here_is_left_alone(trained: Driver, caplog: pytest.LogCaptureFixture) -> None:
    path = _file_of_model(trained)
    inode = path.stat().st_ino
    _again(trained).pipeline.recovery.start()
    assert path.stat().st_ino == inode and not caplog.records
