"""A model that was in use before it was durable, and that a power cut took away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from grid import schema
from grid.federated.intake.registry import FORMATS
from grid.federated.state.strategy_tables import StrategyStateRow
from grid.storage.blobs.files import FileBlobStore
from grid.storage.objects.checked import CheckedContents
from grid.storage.sql.database import Database
from syft_ext.errors import Unavailable
from tests.federated.driver import CheckedFiles, Driver

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


ADAM = {"name": "fedadam", "parameters": {"learning_rate": 0.5}}


@pytest.fixture
def aggregator() -> Any:
    return "mean"


@pytest.fixture
def trained(
    aggregator: Any, sqlite_url: str, blobs: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> Driver:
    """Two cycles, and the lights go out before the garbage of the second is collected."""
    driver = Driver(Database(sqlite_url), blobs)
    monkeypatch.setattr(driver.pipeline.garbage, "_collect", lambda digests, cold: None)
    driver.pipeline.start()
    config = {"num_cycles": 3, "max_diffs": 4, "max_workers": 4, "weighting": "samples"}
    driver.host({**config, "aggregator": aggregator})
    for cycle in (1, 2):
        for samples, tensors in enumerate(REPORTS, 1):
            driver.report(driver.join(), tensors, samples=samples)
        driver.completed(cycle)
    driver.pipeline.stop()
    return driver


def _file_of_model(driver: Driver) -> Path:
    view = driver.pipeline.views.checkpoint(driver.pipeline.definitions.get(driver.process_id), "latest")
    assert isinstance(driver.pipeline.store.blobs, CheckedFiles)
    path = driver.pipeline.store.blobs.path(view.digest)
    path.chmod(0o600)
    return path


def _again(driver: Driver, *, checked: bool = False) -> Driver:
    """A restart; ``checked``: on contents as a node has them, which raise for what is damaged."""
    database, blobs = driver.pipeline.store.database, driver.pipeline.store.blobs
    again = Driver(database, CheckedContents(blobs, database) if checked else blobs)
    again.process_id = driver.process_id
    return again


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("damage", [_torn, _shorter, _gone])
def test_it_is_made_again_to_the_last_bit(
    trained: Driver, damage: Callable[[Path], None], checked: bool
) -> None:
    path = _file_of_model(trained)
    before = path.read_bytes()
    damage(path)
    again = _again(trained, checked=checked)
    again.pipeline.start()
    try:
        assert path.read_bytes() == before
        for samples, tensors in enumerate(REPORTS, 1):
            again.report(again.join(), tensors, samples=samples)
        assert again.completed(3).status == "completed"
    finally:
        again.pipeline.stop()


@pytest.mark.parametrize("checked", [False, True])
def test_without_its_reports_it_is_given_to_nobody(
    trained: Driver, caplog: pytest.LogCaptureFixture, checked: bool
) -> None:
    path = _file_of_model(trained)
    _torn(path)
    store: Any = trained.pipeline.store.blobs
    for digest in set(store.digests()) - {path.name}:
        store.path(digest).unlink()
    again = _again(trained, checked=checked)
    with caplog.at_level(logging.CRITICAL):
        again.pipeline.recovery.start()
    assert "is lost" in caplog.text and not path.exists()
    assert again.view.status == "failed" and "model 3 was lost" in again.view.reason
    assert again.check_in().reason == "over"
    again.pipeline.recovery.start()  # it has ended, and stays so


@pytest.mark.parametrize("restart", [True, False])
def test_a_package_that_is_not_here_at_this_start_loses_nothing(
    trained: Driver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, restart: bool
) -> None:
    path = _file_of_model(trained)
    before = path.read_bytes()
    _torn(path)
    store: Any = trained.pipeline.store.blobs
    contents = set(store.digests())
    with monkeypatch.context() as fault:
        fault.setattr(FORMATS, "_made", {})
        fault.setattr(FORMATS, "_builtin", {})
        again = _again(trained)
        again.pipeline.recovery.start()
        assert again.view.status == "running" and set(store.digests()) == contents
        assert "is not made again now" in caplog.text and "is lost" not in caplog.text
        with pytest.raises(Unavailable, match="cannot be made again yet"):
            again.pipeline.sums.add_accepted(again.process_id, "its cycle")  # what is there is not its model
    if restart:
        again = _again(trained)
        again.pipeline.recovery.start()
    else:
        again.pipeline.scheduler.reconcile()
    assert path.read_bytes() == before and again.view.status == "running"
    again.pipeline.recovery.check(again.process_id)


def test_what_is_here_is_left_alone(trained: Driver, caplog: pytest.LogCaptureFixture) -> None:
    path = _file_of_model(trained)
    inode = path.stat().st_ino
    _again(trained).pipeline.recovery.start()
    assert path.stat().st_ino == inode and not caplog.records


# -- with a strategy that keeps a state: the two are lost and made again together ------------------------------


def _file_of_state(driver: Driver) -> Path:
    query = select(StrategyStateRow.blob_digest).where(StrategyStateRow.blob_digest.is_not(None))
    ((digest,),) = driver.pipeline.store.read(query)
    assert isinstance(driver.pipeline.store.blobs, CheckedFiles)
    path = driver.pipeline.store.blobs.path(digest)
    path.chmod(0o600)
    return path


def _third_model(driver: Driver) -> str:
    for samples, tensors in enumerate(REPORTS, 1):
        driver.report(driver.join(), tensors, samples=samples)
    driver.completed(3)
    return str(driver.pipeline.views.checkpoint(driver.pipeline.definitions.get(driver.process_id), 4).digest)


@pytest.mark.parametrize("aggregator", [ADAM])
@pytest.mark.parametrize("damage", [_torn, _shorter, _gone])
@pytest.mark.parametrize("lost", ["model", "state", "both"])
def test_model_and_state_are_made_again_together(
    trained: Driver, damage: Callable[[Path], None], lost: str, tmp_path: Path
) -> None:
    files = {"model": _file_of_model(trained), "state": _file_of_state(trained)}
    before = {name: path.read_bytes() for name, path in files.items()}
    for name, path in files.items():
        if lost in (name, "both"):
            damage(path)
    again = _again(trained)
    again.pipeline.start()
    try:
        assert {name: path.read_bytes() for name, path in files.items()} == before
        digest = _third_model(again)
    finally:
        again.pipeline.stop()
    assert digest == _without_a_cut(tmp_path)


def _without_a_cut(folder: Path) -> str:
    """The last model of a training that nothing happened to."""
    (folder / "quiet").mkdir()
    database = Database(f"sqlite:///{folder}/quiet/node.db")
    schema.upgrade(database)
    driver = Driver(database, FileBlobStore(folder / "quiet" / "blobs"))
    driver.pipeline.start()
    config = {"num_cycles": 3, "max_diffs": 4, "max_workers": 4, "weighting": "samples"}
    driver.host({**config, "aggregator": ADAM})
    for cycle in (1, 2):
        for samples, tensors in enumerate(REPORTS, 1):
            driver.report(driver.join(), tensors, samples=samples)
        driver.completed(cycle)
    digest = _third_model(driver)
    driver.pipeline.stop()
    database.close()
    return digest


@pytest.mark.parametrize("aggregator", [ADAM])
def test_a_state_that_cannot_be_made_again_ends_the_training(
    trained: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    model, state = _file_of_model(trained), _file_of_state(trained)
    _torn(state)
    store: Any = trained.pipeline.store.blobs
    for digest in set(store.digests()) - {model.name, state.name}:
        store.path(digest).unlink()
    again = _again(trained)
    with caplog.at_level(logging.CRITICAL):
        again.pipeline.recovery.start()
    assert "is lost" in caplog.text and not state.exists()
    assert model.exists(), "it was published, and is what it was"
    assert again.view.status == "failed"


@pytest.mark.parametrize("aggregator", [ADAM])
def test_a_model_whose_state_is_too_large_is_durable_at_once(
    aggregator: Any, sqlite_url: str, blobs: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is used before it is durable, or one could be lost without the other."""
    early: list[int] = []
    original = blobs.store_unsynced

    def store_unsynced(content: bytes | bytearray) -> Any:
        early.append(len(content))
        return original(content)

    monkeypatch.setattr(blobs, "store_unsynced", store_unsynced)
    driver = Driver(Database(sqlite_url), blobs)
    driver.pipeline.start()
    sizes = []
    for version, limit in (("1", blobs.unsynced_limit), ("2", 500)):
        monkeypatch.setattr(type(blobs), "unsynced_limit", limit)
        driver.host({"num_cycles": 1, "max_diffs": 1, "aggregator": aggregator}, version=version)
        driver.report(driver.join(), REPORTS[0])
        driver.completed(1)
        sizes.append(sorted(early))
        early.clear()
    driver.pipeline.stop()
    assert len(sizes[0]) == 2 and sizes[0][0] <= 500 < sizes[0][1], "the model, and the larger state"
    assert sizes[1] == []
