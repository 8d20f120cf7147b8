"""The site's policy on trainings: applied after whatever the job does, from the very next cycle on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import select

from grid.aggregation.base import Contribution
from grid.aggregation.clipped import ClippedMean
from grid.aggregation.tensor_file import TensorFile
from grid.federated.state import tables as t
from grid.privacy.mechanisms.registry import vector_mechanism
from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock
from syft_ext.errors import BadRequest, InvalidConfig
from syft_ext.messages.policy import CyclePolicy
from syft_ext.messages.training_reviews import WorkerBounds
from syft_ext.tensors import encode_tensors
from tests.federated.driver import SECRET, Driver
from tests.open_site import open_site

Tensors = Mapping[str, Any]
MODEL = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.zeros(3, np.float16),
    "n": np.array([7], np.int64),
}


OPENED = CyclePolicy(participation="open")
CLIPPED = CyclePolicy(participation="open", clip_norm=1.0)


def set_policy(driver: Driver, **fields: Any) -> None:
    open_site(driver.pipeline.store.database, **fields)


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
    assert driver.view.policy == OPENED
    first, second = driver.join(), driver.join()
    set_policy(driver, clip_norm=1.0)
    for part in (first, second):
        driver.report(part, ones(10.0))  # of a cycle that was open before
    driver.completed(1)
    assert np.allclose(moved(driver, 2)["w"], 10.0)
    assert driver.view.policy == CLIPPED
    cycle(driver, ones(10.0), ones(0.0))  # clipped to norm 1, and nothing: the mean's norm is a half
    by = moved(driver, 3)
    # Six of the nine parameters, equal ones; the counter is none, and stays.
    assert norm({"w": by["w"]}) == pytest.approx(0.5 * np.sqrt(6 / 9), rel=0.01) and not by["n"].any()
    views = driver.pipeline.views
    definition = driver.pipeline.definitions.get(driver.process_id)
    assert [views.checkpoint(definition, n).policy for n in (1, 2, 3)] == [
        None,
        OPENED,
        CLIPPED,
    ]
    assert [each.policy for each in views.metrics(driver.process_id)][:2] == [
        OPENED,
        CLIPPED,
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


def test_what_reports_say_beside_the_model_does_not_get_around_the_noise(driver: Driver) -> None:
    """A loss is a number that the plan makes of the data: a row of it, if it likes."""
    facts = {"samples": 50, "loss": 37.25, "accuracy": 0.5}
    set_policy(driver, clip_norm=1.0, noise_multiplier=1.0, min_rows=10)
    driver.host(CONFIG, model=MODEL)
    cycle(driver, ones(0.0), ones(0.0), **facts)
    set_policy(driver, clip_norm=1.0, min_rows=10)
    cycle(driver, ones(0.0), ones(0.0), **facts)  # opened before
    cycle(driver, ones(0.0), ones(0.0), **facts)
    with driver.pipeline.store.database.read() as session:
        kept = session.scalars(select(t.Assignment.loss).where(t.Assignment.loss.is_not(None))).all()
    assert kept == [37.25, 37.25]
    found = driver.pipeline.views.metrics(driver.process_id)[:3]
    assert [(each.samples, each.loss, each.accuracy) for each in found] == [
        (0, None, None),
        (0, None, None),
        (100, 37.25, 0.5),
    ]
    part = driver.join()
    with pytest.raises(BadRequest, match="finite"):  # they are checked as ever
        driver.report(part, ones(0.0), samples=50, loss=float("nan"))


def test_a_round_that_is_made_again_has_the_same_noise(sqlite_template: Path, tmp_path: Path) -> None:
    """Every database here begins from nothing, as one that was restored does: ids are drawn anew, reports come in
    another order. The same round of the same reports is the same model to the last bit; others have other noise.
    """
    model = {"w": np.zeros(5000, np.float32)}
    reports = [{"w": np.random.default_rng(n).normal(size=5000).astype(np.float32)} for n in range(3)]

    def noise(name: str, *given: int, secret: bytes = SECRET, version: str = "1.0", **policy: Any) -> Any:
        folder = tmp_path / name
        folder.mkdir()
        shutil.copyfile(sqlite_template, folder / "node.db")
        database = Database(f"sqlite:///{folder / 'node.db'}")
        driver = Driver(database, FileBlobStore(folder / "blobs"), secret=secret)
        driver.pipeline.start()
        try:
            set_policy(driver, **{"clip_norm": 1.0, "noise_multiplier": 1.0, **policy})
            config = {"max_diffs": len(given), "max_workers": 4, "num_cycles": 2}
            driver.host(config, model=model, version=version)
            cycle(driver, *(reports[n] for n in given))
            first = driver.model(2)["w"]
            if name == "again":
                cycle(driver, *(reports[n] for n in given))
                assert abs(np.corrcoef(first, driver.model(3)["w"] - first)[0, 1]) < 0.1
            return first
        finally:
            driver.pipeline.stop()
            database.close()

    once = noise("once", 0, 1)
    np.testing.assert_array_equal(noise("again", 1, 0), once)
    others = [
        noise("fewer", 0),
        noise("another", 0, 2),
        noise("more", 0, 1, 2),
        noise("version", 0, 1, version="2.0"),
        noise("rule", 0, 1, noise_multiplier=1.5),
        noise("secret", 0, 1, secret=b"another node's secret"),
    ]
    for other in others:
        assert abs(np.corrcoef(once, other)[0, 1]) < 0.1


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
        assert norm({"w": moved(again, 2)["w"]}) == pytest.approx(np.sqrt(6 / 9), rel=0.01)
        assert again.view.policy == OPENED  # of the cycle that was opened since
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


# -- what single assignments come to, under noise


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_report_that_is_not_finite_is_taken_as_nothing_where_there_is_noise(
    driver: Driver, odd: float
) -> None:
    """A Worker without bounds of its own sends it: refused, it would tell one exact bit of a row."""
    set_policy(driver, clip_norm=1.0, noise_multiplier=1.0)
    driver.host(CONFIG, model=MODEL)
    bad = ones(0.0)
    bad["w"][1, 2] = odd
    for whole in (True, False):  # in memory, or to a file while it comes
        parts = [driver.join(), driver.join()]
        body = encode_tensors({name: torch.from_numpy(np.asarray(value)) for name, value in bad.items()})
        driver.report(parts[0], bad, **({} if whole else {"body": [body]}), loss=odd)
        driver.report(parts[1], ones(0.0))
        done = driver.completed(1 if whole else 2)
        assert all(np.isfinite(np.asarray(each, np.float64)).all() for each in driver.model().values())
        assert [each.rejected for each in driver.pipeline.views.metrics(done.process_id)][:2] == [0, 0]


def test_why_a_worker_failed_is_for_managers_where_there_is_noise(manual: Driver) -> None:
    driver, secret = manual, "ZeroDivisionError"
    for demands in ({}, {"clip_norm": 1.0, "noise_multiplier": 1.0}):
        set_policy(driver, **demands)
        driver.host(CONFIG, model=MODEL, version=f"1.{len(demands)}")
        worker, part = driver.join()
        assert (part.policy and part.policy.noise_multiplier) == demands.get("noise_multiplier")
        driver.pipeline.collector.give_up(part.assignment_id, worker, part.request_key, secret)
        views = driver.pipeline.views
        known = views.events(driver.process_id).events
        shown = views.without_outcomes(views.events(driver.process_id)).events
        last = (known[-1].after, known[-1].detail)
        assert last == ("failed-by-worker", {"reason": secret})
        hidden = (shown[-1].after, shown[-1].detail)
        assert hidden == (("ended", {}) if demands else last)
        assert shown[:-1] == known[:-1]


@pytest.mark.parametrize("whose", ["site", "worker"])
def test_a_row_does_not_leave_as_a_loss_where_reports_are_clipped(driver: Driver, whose: str) -> None:
    set_policy(driver, **({"clip_norm": 1.0} if whose == "site" else {}))
    driver.host({"max_diffs": 1, "max_workers": 1}, model=MODEL)
    definition = driver.pipeline.definitions.get(driver.process_id)
    bounds = WorkerBounds(clip_norm=1.0) if whose == "worker" else None
    worker = driver.pipeline.assignments.authenticate(definition, None, key="k", bounds=bounds)
    driver.report((worker, driver.check_in(worker)), ones(0.0), loss=0.8251673, accuracy=1.7e300, samples=7)
    driver.completed(1)
    events = driver.pipeline.views.events(driver.process_id).events
    assert [each.detail for each in events if each.after == "reported"] == [{"samples": 7}]
    if whose == "site":  # else whoever declared the bound has rounded it themselves
        found = driver.pipeline.views.metrics(driver.process_id)[0]
        assert (found.loss, found.accuracy) == (0.8252, 1e6)
