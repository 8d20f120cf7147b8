"""Whole trainings in one process, on both engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grid.federated.averaging import aggregator
from syft_ext.errors import Conflict, InvalidConfig, InvalidTensors, InvalidToken, NotFound, TooLarge
from syft_ext.transport import PayloadReader
from tests.federated.driver import Driver, together
from tests.federated.models import encode, small_model


def _diff(value: float) -> dict[str, Any]:
    return {"weight": np.full((4, 4), value, np.float32), "bias": np.full(4, value, np.float32)}


def test_a_training_runs_exactly_its_cycles(driver: Driver) -> None:
    driver.host({"num_cycles": 3, "max_diffs": 2})
    for number in range(1, 4):
        parts = [driver.join(), driver.join()]
        assert {reply.cycle for _, reply in parts} == {number}
        assert parts[0][1].checkpoint == number
        assert driver.report(parts[0], _diff(1.0), loss=2.0, samples=10).cycle_status == "collecting"
        last = driver.report(parts[1], _diff(3.0), loss=5.0, samples=20)
        assert (last.reported, last.cycle_status) == (2, "aggregating")
        driver.completed(number)
        np.testing.assert_allclose(driver.model()["weight"], 1.0 - 2.0 * number)
    assert driver.view.status == "completed"
    assert driver.view.checkpoint == 4
    over = driver.check_in()
    assert (over.status, over.reason, over.retry_after) == ("rejected", "over", None)
    for number in range(1, 5):
        np.testing.assert_allclose(driver.model(number)["weight"], 1.0 - 2.0 * (number - 1))
    metrics = driver.pipeline.views.metrics(driver.process_id)
    assert [m.cycle for m in metrics] == [1, 2, 3]
    assert all(m.loss == pytest.approx((2 * 10 + 5 * 20) / 30) and m.samples == 30 for m in metrics)
    assert all(m.admitted == m.reported == 2 and m.checkpoint == m.cycle + 1 for m in metrics)


def test_history_is_gapless_and_tells_everything(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 1})
    part = driver.join()
    driver.report(part, _diff(1.0))
    driver.completed(1)
    events = driver.pipeline.views.events(driver.process_id).events
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    told = [(e.entity, e.before, e.after) for e in events]
    assert told == [
        ("process", "", "created"),
        ("process", "created", "running"),
        ("cycle", "", "collecting"),
        ("assignment", "", "assigned"),
        ("assignment", "assigned", "reported"),
        ("cycle", "collecting", "aggregating"),
        ("cycle", "aggregating", "applying"),
        ("assignment", "reported", "included"),
        ("cycle", "applying", "completed"),
        ("process", "running", "completed"),
    ]


def test_reports_are_added_many_at_a_time(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones sixteen at a time, and the rest when the cycle is closed; large ones each as it comes."""
    jobs: list[str] = []
    submit = driver.pipeline.executor.submit
    monkeypatch.setattr(
        driver.pipeline.executor, "submit", lambda key, name, job: (jobs.append(name), submit(key, name, job))
    )
    driver.host({"num_cycles": 2, "max_diffs": 37})
    for cycle, together_ in ((1, 4 << 20), (2, 100)):
        monkeypatch.setattr(aggregator, "TOGETHER", together_)
        jobs.clear()
        parts = [driver.join() for _ in range(37)]
        for part in parts:
            driver.report(part, _diff(1.0))
        driver.completed(cycle)
        advances = [name for name in jobs if name.startswith("advance")]
        assert len(advances) == (2 if cycle == 1 else 36)
        np.testing.assert_allclose(driver.model()["weight"], 1.0 - cycle)


def test_weighted_mean_of_trained_parameters(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 2, "weighting": "samples"})
    parts = [driver.join(), driver.join()]
    driver.report(parts[0], small_model(2.0), kind="params", samples=30)
    driver.report(parts[1], small_model(6.0), kind="params", samples=10)
    driver.completed(1)
    np.testing.assert_allclose(driver.model()["weight"], 3.0, rtol=1e-6)


def test_reports_are_removed_once_they_are_averaged(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 2})
    parts = [driver.join(), driver.join()]
    for value, part in enumerate(parts):
        driver.report(part, _diff(value))
    driver.completed(1)
    assert driver.pipeline.drain()
    driver.pipeline.garbage.stop()
    # The plan and two checkpoints.
    assert len(set(driver.pipeline.store.blobs.digests())) == 3


def test_a_thousand_check_ins_at_once_against_a_cap_of_130(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 100})
    workers = [driver.worker() for _ in range(1000)]
    replies = together(1000, lambda i: driver.check_in(workers[i]))
    accepted = [r for r in replies if r.status == "accepted"]
    assert len(accepted) == 130
    assert len({r.assignment_id for r in accepted}) == len({r.request_key for r in accepted}) == 130
    assert {r.reason for r in replies if r.status == "rejected"} <= {"full", "not-selected"}
    assert driver.view.admitted == 130


def test_one_idempotency_key_is_one_assignment_and_one_answer(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 10})
    worker = driver.worker()
    replies = together(10, lambda _: driver.check_in(worker, idempotency_key="k"))
    replies += [driver.check_in(worker, idempotency_key="k")]
    assert all(reply == replies[0] for reply in replies)
    assert replies[0].status == "accepted"
    assert driver.view.admitted == 1
    # The key is the worker's own: somebody else's equal key is another assignment.
    other = driver.check_in(idempotency_key="k")
    assert other.assignment_id != replies[0].assignment_id
    # Another key of the same worker is no second assignment: it came back, and goes on with its own.
    again = driver.check_in(worker, idempotency_key="l")
    assert (again.assignment_id, again.request_key) == (replies[0].assignment_id, replies[0].request_key)
    driver.report((worker, again), _diff(1.0))
    assert driver.check_in(worker, idempotency_key="m").reason == "taking-part"
    assert driver.view.admitted == 2


def test_the_answer_survives_a_restart(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 10})
    worker = driver.worker()
    first = driver.check_in(worker, idempotency_key="k")
    again = Driver(driver.pipeline.store.database, driver.pipeline.store.blobs)
    again.process_id = driver.process_id
    assert again.check_in(worker, idempotency_key="k") == first
    again.report((worker, first), _diff(1.0))
    again.pipeline.stop()


def _one_that_announces_less(content: bytes) -> PayloadReader:
    """A body that comes in small pieces and has more in it than it has said."""
    body = PayloadReader.of(content)
    body.size = 10
    return body


def test_wrong_reports_are_refused_one_by_one_and_hold_up_nobody(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 2, "max_workers": 4})
    good, bad, worse = driver.join(), driver.join(), driver.join()
    before = driver.pipeline.views.events(driver.process_id).last
    held = set(driver.pipeline.store.blobs.digests())
    infinite = _diff(1.0)
    infinite["bias"] = np.array([1, np.inf, 0, 0], np.float32)
    wrong_shape = {"weight": np.ones((4, 3), np.float32), "bias": np.ones(4, np.float32)}
    for tensors in (wrong_shape, {"weight": np.ones((4, 4), np.float32)}, infinite):
        with pytest.raises(InvalidTensors):
            driver.report(bad, tensors)
    for body in (PayloadReader.of(encode(infinite)), _one_that_announces_less(encode(infinite))):
        with pytest.raises(InvalidTensors, match="finite"):
            driver.report(bad, {}, body=body)
    for body in ([b"garbage that is no tensor file"], [encode(_diff(1.0))[:-1]], [encode(_diff(1.0)), b"x"]):
        with pytest.raises((InvalidTensors, TooLarge)):
            driver.report(bad, {}, body=body)
    with pytest.raises(InvalidToken):
        driver.report((bad[0], good[1]), _diff(1.0))
    with pytest.raises(InvalidToken):
        wrong = worse[1].__class__(**{**_fields(worse[1]), "request_key": "0" * 64})
        driver.report((worse[0], wrong), _diff(1.0))
    with pytest.raises(NotFound):
        unknown = good[1].__class__(**{**_fields(good[1]), "assignment_id": "f" * 32})
        driver.report((good[0], unknown), _diff(1.0))
    assert driver.pipeline.views.events(driver.process_id).last == before, "nothing changed"
    assert set(driver.pipeline.store.blobs.digests()) == held, "nothing was stored"
    driver.report(good, _diff(1.0))
    with pytest.raises(Conflict) as caught:
        driver.report(good, _diff(1.0))
    assert caught.value.extra["reason"] == "duplicate"
    driver.report(worse, _diff(2.0))
    driver.completed(1)
    with pytest.raises(Conflict) as caught:
        driver.report(bad, _diff(1.0))
    assert caught.value.extra["reason"] == "late"
    np.testing.assert_allclose(driver.model()["weight"], 1.0 - 1.5)


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def test_reports_at_one_moment_are_all_counted_once(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 20, "max_workers": 24})
    parts = [driver.join() for _ in range(24)]
    replies = together(24, lambda i: driver.report(parts[i], _diff(float(i))))
    accepted = [i for i, reply in enumerate(replies) if not isinstance(reply, Exception)]
    assert len(accepted) == 20
    refused = [reply for reply in replies if isinstance(reply, Exception)]
    assert all(isinstance(r, Conflict) and r.extra["reason"] == "late" for r in refused)
    driver.completed(1)
    np.testing.assert_allclose(driver.model()["weight"], 1.0 - np.mean(accepted), rtol=1e-5)


def test_a_waiting_worker_hears_of_the_next_cycle_by_push(driver: Driver) -> None:
    driver.host({"num_cycles": 2, "max_diffs": 1, "max_workers": 1})
    part = driver.join()
    waiting = driver.worker()
    results = together(
        2,
        lambda i: driver.check_in(waiting, wait=20.0) if i == 0 else driver.report(part, _diff(1.0)),
    )
    assert results[0].status == "accepted"
    assert results[0].cycle == 2
    assert results[0].checkpoint == 2


def test_waiting_ends_with_an_answer(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 1, "max_workers": 1})
    driver.join()
    assert driver.check_in(wait=0.05).reason == "full"

    def cancel_when_somebody_waits(i: int) -> Any:
        if i:
            return driver.check_in(wait=20.0)
        while not len(driver.pipeline.assignments._room(driver.process_id)):
            pass
        return driver.pipeline.tasks.cancel(driver.process_id)

    reply = together(2, cancel_when_somebody_waits)[1]
    assert (reply.reason, reply.retry_after) == ("over", None)


def test_a_worker_gives_its_slot_back(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 1, "max_workers": 1})
    worker, reply = driver.join()
    assert driver.check_in().reason == "full"
    driver.pipeline.collector.give_up(reply.assignment_id, worker, reply.request_key, "battery")
    part = driver.join()
    with pytest.raises(Conflict) as caught:
        driver.report((worker, reply), _diff(1.0))
    assert caught.value.extra["reason"] == "failed"
    driver.report(part, _diff(1.0))
    driver.completed(1)


def test_pause_resume_and_cancel(driver: Driver) -> None:
    driver.host({"num_cycles": 2, "max_diffs": 2})
    first, second = driver.join(), driver.join()
    driver.report(first, _diff(1.0))
    driver.pipeline.tasks.pause(driver.process_id)
    with pytest.raises(Conflict):
        driver.pipeline.tasks.pause(driver.process_id)
    assert driver.check_in().reason == "paused"
    assert driver.report(second, _diff(3.0)).cycle_status == "collecting", "kept, and not averaged yet"
    assert driver.view.cycles_completed == 0
    driver.pipeline.tasks.resume(driver.process_id)
    driver.completed(1)
    np.testing.assert_allclose(driver.model()["weight"], -1.0)
    part = driver.join()
    driver.pipeline.tasks.cancel(driver.process_id, "enough")
    assert (driver.view.status, driver.view.reason) == ("cancelled", "enough")
    with pytest.raises(Conflict) as caught:
        driver.report(part, _diff(1.0))
    assert caught.value.extra["reason"] == "cancelled"
    with pytest.raises(Conflict):
        driver.pipeline.tasks.resume(driver.process_id)
    np.testing.assert_allclose(driver.model()["weight"], -1.0)


def test_hosting_twice_is_a_conflict_and_bad_hosting_leaves_nothing(driver: Driver) -> None:
    driver.host({"num_cycles": 1})
    with pytest.raises(Conflict) as caught:
        driver.host({"num_cycles": 1})
    assert caught.value.extra["reason"] == "exists"
    with pytest.raises(Conflict):
        driver.pipeline.tasks.upload_model(driver.process_id, [encode(small_model())])
    driver.host({"num_cycles": 1}, version="2.0")
    with pytest.raises(InvalidConfig):
        driver.host({"num_cycles": 1, "aggregator": "median"}, version="3.0")
    with pytest.raises(NotFound):
        driver.pipeline.definitions.find("mnist", "3.0")
    assert [p.version for p in driver.pipeline.views.processes()] == ["2.0", "1.0"]
    assert [p.version for p in driver.pipeline.views.processes("mnist", "1.0")] == ["1.0"]


def test_trainings_do_not_count_each_others_cycles(driver: Driver) -> None:
    ids = [driver.host({"num_cycles": 2, "max_diffs": 1}, version=str(v)) for v in range(3)]
    for _ in range(2):
        for driver.process_id in ids:
            part = driver.join()
            driver.report(part, _diff(1.0))
            driver.completed(part[1].cycle)
    assert {p.status for p in driver.pipeline.views.processes()} == {"completed"}
    assert {p.cycles_completed for p in driver.pipeline.views.processes()} == {2}


def test_a_strange_worker_is_not_found(driver: Driver) -> None:
    driver.host({"num_cycles": 1})
    with pytest.raises(NotFound):
        driver.check_in("0" * 32)
    first = driver.process_id
    worker = driver.worker()
    driver.host({"num_cycles": 1}, version="2.0")
    assert first != driver.process_id
    with pytest.raises(NotFound):
        driver.check_in(worker)


def test_speeds_are_required_where_the_training_says_so(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "minimum_upload_speed": 100, "minimum_download_speed": 200})
    worker = driver.worker()
    for speeds in ({}, {"upload": 100.0}, {"upload": 99.9, "download": 500.0}):
        reply = driver.check_in(worker, wait=5.0, **speeds)
        assert (reply.status, reply.reason) == ("rejected", "too-slow")
    assert driver.check_in(worker, upload=100.0, download=200.0).status == "accepted"
