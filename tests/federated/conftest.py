"""A pipeline on each database engine: with the system's clock and its threads, or with a clock that is turned."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock
from tests.federated.driver import Driver


@pytest.fixture
def driver(database: Database, blobs: FileBlobStore) -> Iterator[Driver]:
    """A running pipeline."""
    driver = Driver(database, blobs)
    driver.pipeline.start()
    yield driver
    driver.pipeline.stop()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def manual(database: Database, blobs: FileBlobStore, clock: ManualClock) -> Iterator[Driver]:
    """A pipeline whose timers only run in ``driver.pipeline.scheduler.timers.run_due()``."""
    driver = Driver(database, blobs, clock)
    driver.pipeline.queue.start()
    yield driver
    driver.pipeline.stop()
