"""The site's policy on trainings: applied after whatever the job does, from the very next cycle on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from grid.access.tables import PolicyRow
from grid.aggregation.base import Contribution
from grid.aggregation.clipped import ClippedMean
from grid.aggregation.tensor_file import TensorFile
from grid.privacy.mechanisms.registry import vector_mechanism
from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock
from syft_ext.errors import BadRequest, InvalidConfig
from syft_ext.messages.federated import CyclePolicy
from syft_ext.messages.policy import SitePolicy
from syft_ext.tensors import encode_tensors
from tests.federated.driver import Driver

Tensors = Mapping[str, Any]
MODEL = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.zeros(3, np.float16),
    "n": np.array([7], np.int64),
}


def set_policy(driver: Driver, **fields: Any) -> None:
    document = msgspec.to_builtins(SitePolicy(**fields))
    with driver.pipeline.store.database.transaction() as session:
        session.merge(PolicyRow(id=1, document=document, changed_at=0.0, changed_by="owner"))


def ones(value: float) -> dict[str, Any]:
    return {name: np.full_like(tensor, value) for name, tensor in MODEL.items()}


def norm(tensors: Tensors) -> float:
    return float(np.sqrt(sum(float((np.asarray(t, np.float64) ** 2).sum()) for t in tensors.values())))


def moved(driver: Driver, checkpoint: int) -> dict[str, Any]:
    """What the model moved by in the cycle that made this checkpoint: the mean of the differences."""
    before, after = driver.model(checkpoint - 1), driver.model(checkpoint)
    return {name: before[name].astype(np.float64) - after[name] for name in MODEL}


def cycle(driver: Driver, *reports: Mapping[str, Any], **options: Any) -> Any:
    parts = [driver.join() for _ in reports]
    done = driver.view.cycles_completed
    for part, tensors in zip(parts, reports, strict=True):
        driver.report(part, tensors, **options)
    return driver.completed(done + 1)


CONFIG = {"max_diffs": 2, "max_workers": 4}


def test_contributions_are_clipped_from_the_next_cycle_on(driver: Driver) -> None:
    driver.host(CONFIG, model=MODEL)
    assert driver.view.policy is None
    first, second = driver.join(), driver.join()
    set_policy(driver, clip_norm=1.0)
    for part in (first, second):
        driver.report(part, ones(10.0))  # of a cycle that was open before
    driver.completed(1)
    assert np.allclose(moved(driver, 2)["w"], 10.0)
    assert driver.view.policy == CyclePolicy(clip_norm=1.0)
    cycle(driver, ones(10.0), ones(0.0))  # clipped to norm 1, and nothing: the mean's norm is a half
    by = moved(driver, 3)
    assert norm({"w": by["w"]}) == pytest.approx(0.5 * np.sqrt(6 / 10), rel=0.01)  # six of ten equal numbers
    views = driver.pipeline.views
    definition = driver.pipeline.definitions.get(driver.process_id)
    assert [views.checkpoint(definition, n).policy for n in (1, 2, 3)] == [
        None,
        None,
        CyclePolicy(clip_norm=1.0),
    ]
    assert [each.policy for each in views.metrics(driver.process_id)][:2] == [
        None,
        CyclePolicy(clip_norm=1.0),
    ]


def test_trained_parameters_are_clipped_as_differences(driver: Driver) -> None:
    set_policy(driver, clip_norm=1.0)
    driver.host(CONFIG, model=MODEL)
    trained = {**MODEL, "w": MODEL["w"] - 100.0}
    cycle(driver, trained, trained, kind="params")
    by = moved(driver, 2)
    assert norm(by) == pytest.approx(1.0, rel=1e-5) and np.allclose(by["w"], by["w"][0, 0])


def test_noise_of_the_demanded_size_is_added_once(driver: Driver) -> None:
    nothing = {"w": np.zeros((300, 300), np.float32)}
    set_policy(driver, clip_norm=2.0, noise_multiplier=3.0)
    driver.host(CONFIG, model=nothing)
    cycle(driver, nothing, nothing)
    noise = driver.model(2)["w"]
    # (0 + 0 + N(0, (3 · 2)²)) / 2: a standard deviation of 3, known to 1/√(2 · 90,000) of it
    assert float(noise.std()) == pytest.approx(3.0, rel=0.015)
    assert abs(float(noise.mean())) < 5 * 3.0 / 300
    cycle(driver, nothing, nothing)
    again = driver.model(3)["w"] - noise
    correlation = float((again * noise).mean() / (again.std() * noise.std()))
    assert abs(correlation) < 5 / 300  # drawn anew


def test_too_few_participants_release_nothing(manual: Driver, clock: ManualClock) -> None:
    set_policy(manual, min_participants=3)
    manual.host({"cycle_length": 60.0, "max_workers": 5}, model=MODEL)
    for _ in range(2):
        manual.report(manual.join(), ones(1.0))
    for _ in range(3):
        clock.advance(61)
        manual.pipeline.scheduler.timers.run_due()
    assert (manual.view.checkpoint, manual.view.cycle_status) == (1, "collecting")
    manual.report(manual.join(), ones(1.0))
    clock.advance(61)
    manual.pipeline.scheduler.timers.run_due()
    assert manual.completed(1).checkpoint == 2


def test_what_cannot_be_honoured_is_refused_at_hosting(manual: Driver) -> None:
    set_policy(manual, min_participants=5, clip_norm=1.0)
    good = {"max_diffs": 5, "max_workers": 6}
    for wrong, field in (
        ({"max_diffs": 4}, "max_diffs"),
        ({"max_diffs": 4, "max_workers": 4}, "max_workers"),
        ({"max_workers": 4, "cycle_length": 60.0}, "max_workers"),
        ({"weighting": "samples"}, "weighting"),
    ):
        with pytest.raises(InvalidConfig, match="policy") as caught:
            manual.host({**({} if "cycle_length" in wrong else good), **wrong}, model=MODEL)
        assert caught.value.extra["field"] == field
    with pytest.raises(InvalidConfig, match="averaging plan"):
        manual.host(good, averaging_plan=b"plan", model=MODEL)
    manual.host(good, model=MODEL)
    set_policy(manual)
    manual.host({"max_diffs": 1, "weighting": "samples"}, model=MODEL, name="free")


@pytest.mark.parametrize("demand", [{"min_participants": 3}, {"clip_norm": 1.0}])
def test_a_running_training_that_cannot_honour_a_change_ends_with_the_reason(
    driver: Driver, demand: dict[str, Any]
) -> None:
    driver.host({"max_diffs": 1, "weighting": "samples"}, model=MODEL)
    part = driver.join()
    set_policy(driver, **demand)
    driver.report(part, ones(1.0), samples=3)
    driver.completed(1)  # this cycle was opened before
    driver.report(driver.join(), ones(1.0), samples=3)
    failed = driver.until(lambda view: view.status == "failed")
    assert "policy" in failed.reason and failed.checkpoint == 2


def test_reports_of_few_rows_are_refused(manual: Driver) -> None:
    set_policy(manual, min_rows=10)
    manual.host(CONFIG, model=MODEL)
    part = manual.join()
    with pytest.raises(BadRequest, match="at least 10"):
        manual.report(part, ones(1.0), samples=9)
    with pytest.raises(BadRequest, match="at least 10"):
        manual.report(part, ones(1.0))  # saying nothing is no way around it
    manual.report(part, ones(1.0), samples=10)


def test_a_cycle_keeps_its_policy_through_a_restart(
    driver: Driver, database: Database, blobs: FileBlobStore
) -> None:
    set_policy(driver, clip_norm=1.0)
    driver.host(CONFIG, model=MODEL)
    driver.report(driver.join(), ones(10.0))
    driver.pipeline.stop()
    set_policy(driver)
    again = Driver(database, blobs)
    again.process_id = driver.process_id
    again.pipeline.start()
    try:
        again.report(again.join(), ones(10.0))
        again.completed(1)
        assert norm({"w": moved(again, 2)["w"]}) == pytest.approx(np.sqrt(6 / 10), rel=0.01)
        assert again.view.policy is None  # of the cycle that was opened since
    finally:
        again.pipeline.stop()


def test_the_sum_is_exact_in_float64_whatever_the_order_of_the_tensors() -> None:
    generator = torch.Generator().manual_seed(1)
    base = {"a": torch.randn(40, generator=generator), "b": torch.randn(7, 3, generator=generator).bfloat16()}
    diffs = [
        {name: torch.randn(t.shape, generator=generator).to(t.dtype) * scale for name, t in base.items()}
        for scale in (0.01, 1.0, 30.0)
    ]
    start = TensorFile(encode_tensors(base))
    half, other = (ClippedMean(start, vector_mechanism(2.0, None)) for _ in range(2))
    turned = {"b": diffs[1]["b"], "a": diffs[1]["a"]}
    half.accumulate(Contribution(TensorFile(encode_tensors(diffs[0])), 1.0))
    half.accumulate(Contribution(TensorFile(encode_tensors(turned)), 5.0))  # none weighs more
    other.accumulate(Contribution(TensorFile(encode_tensors(diffs[2])), 1.0))
    half.merge(other)
    result = half.finish()
    doubles = [{name: t.double().numpy() for name, t in diff.items()} for diff in diffs]
    factors = [min(1.0, 2.0 / norm(diff)) for diff in doubles]
    assert factors[0] == 1.0 and factors[2] < 1.0
    for values, name in zip(result.values, ("a", "b"), strict=True):
        wanted = sum(diff[name] * factor for diff, factor in zip(doubles, factors, strict=True)) / 3
        assert values.dtype == np.float32  # what the model updater takes for both dtypes
        assert np.allclose(values, wanted.astype(np.float32).ravel(), rtol=1e-6, atol=0)
    assert (result.count, result.scale) == (3, 1.0)
