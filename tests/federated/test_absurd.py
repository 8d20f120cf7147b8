"""One participant's absurd, but finite report ends nobody's training: it is left out, and named.

Source: flwrlabs/flower#1060, NVIDIA/NVFlare#5240.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from grid.aggregation.base import Aggregator
from grid.aggregation.plan_average import IterativePlanAverage, Leaf, PlanShape
from grid.aggregation.tensor_file import TensorFile
from grid.federated.hosting.config import ServerConfig
from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from tests.aggregation.test_plan_average import NUMBER, Arithmetic
from tests.federated.driver import Driver, NoPlans
from tests.federated.models import small_model

MAX = float(np.finfo(np.float32).max)


class MeanPlan(NoPlans):
    """A hosted plan that averages as listing 5 of the paper does."""

    def check(self, owner: str, kind: str, plan: bytes, server: ServerConfig) -> None:
        """Anything is taken."""

    def check_model(self, *args: Any) -> None:
        """Every model fits."""

    def aggregator(self, owner: str, plan: bytes, server: ServerConfig, base: TensorFile) -> Aggregator:
        model = tuple(Leaf(spec.dtype, spec.shape) for spec in base.layout.specs)
        shape = PlanShape((("avg", model), ("item", model), ("num", (NUMBER,))), model)
        return IterativePlanAverage(Arithmetic(), plan, shape, base)


@pytest.fixture
def planned(database: Database, blobs: FileBlobStore) -> Iterator[Driver]:
    driver = Driver(database, blobs, plans=MeanPlan())
    driver.pipeline.start()
    yield driver
    driver.pipeline.stop()


def tensors(value: float, other: float = 0.0) -> dict[str, Any]:
    return {"weight": np.full((4, 4), other, np.float32), "bias": np.full(4, value, np.float32)}


def report_all(driver: Driver, values: list[float], **options: Any) -> list[str]:
    workers = []
    for value in values:
        part = driver.join()
        driver.report(part, tensors(value), **options)
        workers.append(part[0])
    return workers


def left_out(driver: Driver) -> list[dict[str, Any]]:
    events = driver.pipeline.views.events(driver.process_id).events
    return [event.detail for event in events if (event.entity, event.after) == ("assignment", "rejected")]


def collects_on(driver: Driver) -> bool:
    events = driver.pipeline.views.events(driver.process_id).events
    states = [event.after for event in events if event.entity == "cycle"]
    return "aggregating" in states and states[-1] == "collecting"


CONFIG: dict[str, Any] = {
    "num_cycles": 2,
    "max_diffs": 3,
    "min_diffs": 2,
    "max_workers": 6,
    "cycle_length": 600,
}


@pytest.mark.parametrize("value", [3e36, 1e20, -1e38, MAX])
@pytest.mark.parametrize("aggregator", ["mean", "fedavgm", "fedadam"])
def test_it_is_left_out_and_named_whatever_the_strategy(
    driver: Driver, aggregator: str, value: float
) -> None:
    driver.host({**CONFIG, "aggregator": aggregator, "weighting": "samples"})
    workers = report_all(driver, [1.0, value, 3.0], samples=200)
    view = driver.completed(1)
    assert view.status == "running"
    (named,) = left_out(driver)
    assert (named["worker_id"], named["tensor"]) == (workers[1], "bias")
    assert "absurdly far" in named["reason"] and str(value) not in named["reason"]
    model = driver.model()
    assert all(np.abs(part).max() < 10 for part in model.values())
    if aggregator == "mean":
        np.testing.assert_allclose(model["bias"], small_model()["bias"] - 2.0)
    report_all(driver, [1.0, 2.0, 3.0], samples=200)
    assert driver.until(lambda view: view.status != "running").status == "completed"
    assert [cycle.rejected for cycle in driver.pipeline.views.metrics(driver.process_id)] == [1, 0]


def test_trained_parameters_too(driver: Driver) -> None:
    driver.host(CONFIG)
    workers = report_all(driver, [1.0, -MAX, 3.0], kind="params")
    driver.completed(1)
    assert [named["worker_id"] for named in left_out(driver)] == [workers[1]]
    np.testing.assert_allclose(driver.model()["bias"], 2.0)


@pytest.mark.parametrize("value", [1e20, MAX])
def test_a_hosted_plan_averages_the_others(planned: Driver, value: float) -> None:
    planned.host({**CONFIG, "iterative_plan": True}, averaging_plan=b"average")
    workers = report_all(planned, [1.0, value, 3.0])
    planned.completed(1)
    assert [named["worker_id"] for named in left_out(planned)] == [workers[1]]
    assert np.abs(planned.model()["bias"]).max() < 10


def test_with_too_few_others_the_cycle_collects_on(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 2, "min_diffs": 2, "max_workers": 4})
    report_all(driver, [1.0, 1e30])
    driver.until(lambda view: collects_on(driver))  # it admits nobody until all is averaged that there is
    assert left_out(driver) and driver.view.status == "running"
    report_all(driver, [3.0])
    assert driver.until(lambda view: view.status != "running").status == "completed"


def test_numbers_that_all_report_are_nobodys_fault(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 2})
    report_all(driver, [1e14, 2e14])
    driver.until(lambda view: view.status == "completed")
    assert left_out(driver) == []
