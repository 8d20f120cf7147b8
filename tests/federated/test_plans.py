"""Hosted averaging plans, run in the real sandbox: iterative, stacked and listed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from grid.federated.averaging.plan_process import AveragingSandbox
from grid.node.plan_processes import PlanProcesses
from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from syft_ext.confinement.gate import Gate
from syft_ext.errors import InvalidPlan, TooLarge
from syft_ext.plans import Int, List, make_plan
from tests.federated.driver import Driver

PARAMETERS = [torch.zeros(4, 4), torch.zeros(4)]


def _iterative() -> bytes:
    @make_plan  # the paper's listing 5
    def avg_plan(avg=List(PARAMETERS), item=List(PARAMETERS), num=Int(0)):  # type: ignore[no-untyped-def]
        new_avg = []
        for i, _param in enumerate(avg):
            new_avg.append((avg[i] * num + item[i]) / (num + 1))
        return new_avg

    return avg_plan.dumps()


def _stacked() -> bytes:
    stacked = [torch.zeros(3, 4, 4), torch.zeros(3, 4)]

    @make_plan
    def median(diffs=List(stacked)):  # type: ignore[no-untyped-def]
        return [d.sort(0).values[1] for d in diffs]

    return median.dumps()


def _weighted() -> bytes:
    stacked = [torch.zeros(2, 4, 4), torch.zeros(2, 4)]

    @make_plan
    def fedavg(diffs=List(stacked), weights=torch.ones(2)):  # type: ignore[no-untyped-def]
        w = weights / weights.sum()
        return [(diffs[0] * w.view(-1, 1, 1)).sum(0), (diffs[1] * w.view(-1, 1)).sum(0)]

    return fedavg.dumps()


def _listed() -> bytes:
    @make_plan
    def larger(one=List(PARAMETERS), other=List(PARAMETERS)):  # type: ignore[no-untyped-def]
        return [torch.maximum(a, b) for a, b in zip(one, other, strict=True)]

    return larger.dumps()


def _diff(value: float) -> dict[str, Any]:
    return {"weight": np.full((4, 4), value, np.float32), "bias": np.full(4, value, np.float32)}


@pytest.fixture(scope="module")
def plans() -> Iterator[AveragingSandbox]:
    processes = PlanProcesses(Gate())
    yield AveragingSandbox(processes)
    processes.close()


@pytest.fixture
def hosting(sqlite_url: str, blobs: FileBlobStore, plans: AveragingSandbox) -> Iterator[Driver]:
    database = Database(sqlite_url)
    driver = Driver(database, blobs, plans=plans)
    driver.pipeline.start()
    yield driver
    driver.pipeline.stop()
    database.close()


def _host(driver: Driver, plan: bytes, reports: int, **config: Any) -> None:
    driver.host(
        {"num_cycles": 1, "max_diffs": reports, "min_diffs": reports, **config},
        client_plans={},
        averaging_plan=plan,
    )


def _train(driver: Driver, values: list[float], kind: str = "diff", **options: Any) -> None:
    parts = [driver.join() for _ in values]
    for part, value in zip(parts, values, strict=True):
        driver.report(part, _diff(value), kind=kind, **options)


def test_the_papers_iterative_plan_is_the_mean(hosting: Driver) -> None:
    _host(hosting, _iterative(), 5, iterative_plan=True)
    _train(hosting, [1.0, 2.0, 3.0, 4.0, 10.0])
    hosting.completed(1)
    np.testing.assert_allclose(hosting.model()["weight"], 1.0 - 4.0, rtol=1e-6)


def test_trained_parameters_reach_the_plan_as_differences(hosting: Driver) -> None:
    _host(hosting, _iterative(), 2, iterative_plan=True)
    _train(hosting, [3.0, 5.0], kind="params")
    hosting.completed(1)
    np.testing.assert_allclose(hosting.model()["weight"], 4.0, rtol=1e-6)


def test_a_plan_that_takes_all_reports_at_once(hosting: Driver) -> None:
    _host(hosting, _stacked(), 3)
    _train(hosting, [100.0, 1.0, 2.0])
    hosting.completed(1)
    np.testing.assert_allclose(hosting.model()["weight"], 1.0 - 2.0)


def test_a_plan_that_takes_weights(hosting: Driver) -> None:
    _host(hosting, _weighted(), 2, weighting="samples")
    parts = [hosting.join(), hosting.join()]
    hosting.report(parts[0], _diff(1.0), samples=3)
    hosting.report(parts[1], _diff(5.0), samples=1)
    hosting.completed(1)
    np.testing.assert_allclose(hosting.model()["weight"], 1.0 - 2.0, rtol=1e-6)


def test_a_plan_that_takes_lists(hosting: Driver) -> None:
    _host(hosting, _listed(), 2)
    _train(hosting, [7.0, -1.0])
    hosting.completed(1)
    np.testing.assert_allclose(hosting.model()["weight"], 1.0 - 7.0)


def test_plans_that_cannot_average_are_refused_when_they_are_hosted(hosting: Driver) -> None:
    cases: list[tuple[bytes, dict[str, Any], str]] = [
        (_stacked(), {"iterative_plan": True}, "avg, item, num"),
        (_iterative(), {"iterative_plan": True, "weighting": "samples"}, "weights"),
        (b"no plan at all", {}, "plan"),
    ]
    for plan, config, match in cases:
        with pytest.raises(InvalidPlan, match=match):
            _host(hosting, plan, 3, **config)
    with pytest.raises(InvalidPlan):
        hosting.host({"num_cycles": 1}, client_plans={"training_plan": b"garbage"})
    assert hosting.pipeline.views.processes() == []


def test_plans_that_do_not_fit_the_model_are_refused_with_it(hosting: Driver) -> None:
    with pytest.raises(InvalidPlan, match="tensor"):
        hosting.host(
            {"num_cycles": 1, "iterative_plan": True},
            client_plans={},
            averaging_plan=_iterative(),
            model={"weight": np.ones((4, 5), np.float32), "bias": np.ones(4, np.float32)},
        )
    (process,) = hosting.pipeline.views.processes()
    assert process.status == "created"
    with pytest.raises(InvalidPlan, match="takes 2 reports"):
        hosting.host(
            {"num_cycles": 1, "max_diffs": 3, "min_diffs": 3},
            version="2",
            client_plans={},
            averaging_plan=_listed(),
        )


def test_a_plan_that_takes_all_at_once_is_bounded_in_memory(
    hosting: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.aggregation.plan_average.MEMORY_LIMIT", 100)
    with pytest.raises(TooLarge):
        _host(hosting, _stacked(), 3)


def test_a_plan_that_fails_ends_the_training_with_the_reason(hosting: Driver) -> None:
    """The plan was traced for three reports; the timer closes the cycle with two."""
    hosting.host(
        {"num_cycles": 1, "max_diffs": 3, "min_diffs": 2, "cycle_length": 0.5},
        client_plans={},
        averaging_plan=_stacked(),
    )
    _train(hosting, [1.0, 2.0])
    view = hosting.until(lambda view: view.status != "running")
    assert (view.status, view.cycle_status) == ("failed", "failed")
    assert "averaging failed" in view.reason
