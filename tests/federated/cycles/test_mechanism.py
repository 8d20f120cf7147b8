"""The mechanism that the site's policy names makes the noise of trainings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from syft_ext.errors import Unavailable
from syft_ext.messages.federated import CyclePolicy
from tests.federated.cycles.test_policy import CONFIG, set_policy
from tests.federated.driver import Driver
from tests.privacy.shifted import SHIFT, installed

__all__ = ["installed"]


def test_trainings_get_its_noise(installed: Path, driver: Driver) -> None:
    set_policy(driver, clip_norm=1.0, noise_multiplier=1.0, mechanism="shifted")
    model = {"w": np.zeros(4, np.float64)}
    driver.host(CONFIG, model=model)
    for _ in range(2):
        driver.report(driver.join(), model)
    driver.completed(1)
    assert driver.view.policy == CyclePolicy(
        clip_norm=1.0, noise_multiplier=1.0, mechanism="shifted", participation="open"
    )
    np.testing.assert_array_equal(driver.model(2)["w"], -SHIFT / 2)


def test_a_training_waits_for_a_package_that_is_gone(
    installed: Path, driver: Driver, database: Database, blobs: FileBlobStore
) -> None:
    set_policy(driver, clip_norm=1.0, noise_multiplier=1.0, mechanism="shifted")
    model = {"w": np.zeros(4, np.float64)}
    driver.host(CONFIG, model=model)
    parts = [driver.join() for _ in range(2)]
    installed.rename(installed.with_name("gone"))
    for part in parts:
        driver.report(part, model)
    driver.pipeline.drain()
    assert (driver.view.status, driver.view.cycles_completed) == ("running", 0)
    training = driver.process_id
    with pytest.raises(Unavailable, match="shifted"):
        driver.host(CONFIG, model=model, name="another")
    driver.pipeline.stop()
    installed.with_name("gone").rename(installed)
    again = Driver(database, blobs)
    again.process_id = training
    again.pipeline.start()
    try:
        again.completed(1)
        np.testing.assert_array_equal(again.model(2)["w"], -SHIFT / 2)
    finally:
        again.pipeline.stop()
