"""Leases with fencing, dead letters, unusable reports, and sums that are made again."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from grid.aggregation.base import Aggregator, Contribution
from grid.aggregation.mean import WeightedMean
from grid.aggregation.tensor_file import TensorFile
from grid.concurrency.jobs import ATTEMPTS
from grid.concurrency.passing import LONGEST
from grid.federated.averaging import aggregator
from grid.federated.averaging.aggregator import AGGREGATE, AVERAGE
from grid.federated.intake.format import ReportReader, StoredReport
from grid.federated.intake.plain import PlainFormat
from grid.federated.state import tables as t
from grid.federated.state.events import WorkDue
from grid.federated.state.outbox import LEASE, MAX_ATTEMPTS, Message, Outbox
from grid.node.replica import replica_name
from grid.storage.blobs.files import FileBlobStore
from grid.storage.objects.checked import CheckedContents
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock
from syft_ext.errors import Conflict, InvalidTensors, Unavailable
from syft_ext.ids import is_id
from tests.federated.driver import Driver
from tests.federated.models import decode


def _diff(value: float) -> dict[str, Any]:
    return {"weight": np.full((4, 4), value, np.float32), "bias": np.full(4, value, np.float32)}


@pytest.fixture
def lazy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are only looked at when the cycle is closed."""
    for name in ("MANY", "TOGETHER"):
        monkeypatch.setattr(aggregator, name, 1 << 60)


def test_a_lease_has_one_holder_and_an_old_token_is_worth_nothing(manual: Driver, clock: ManualClock) -> None:
    manual.host({"num_cycles": 1})
    ours, theirs = (Outbox(manual.pipeline.store, name) for name in ("ours", "theirs"))
    with manual.pipeline.store.unit(manual.process_id) as unit:
        held = message = ours.put(unit, AGGREGATE, "x")
    assert theirs.take(message) is None
    assert ours.take(message) is None, "who puts it holds it"
    clock.advance(LEASE)
    taken_over = theirs.take(message)
    assert taken_over is not None
    assert taken_over.token > held.token
    with pytest.raises(Conflict) as caught, manual.pipeline.store.unit(manual.process_id) as unit:
        ours.done(unit, held)
    assert caught.value.extra["reason"] == "fenced"
    theirs.release_own()  # it died and came back
    again = theirs.take(message)
    assert again is not None
    with manual.pipeline.store.unit(manual.process_id) as unit:
        theirs.bury(unit, again, "hopeless")
    clock.advance(10 * LEASE)
    assert theirs.take(message) is None, "a dead letter is never taken again"
    rows = manual.pipeline.store.read(select(t.OutboxMessage.status, t.OutboxMessage.error))
    assert [tuple(row) for row in rows] == [("dead", "hopeless")]


@pytest.mark.usefixtures("lazy")
def test_one_unusable_report_is_dropped_and_the_others_are_used(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 3, "min_diffs": 2})
    parts = [driver.join() for _ in range(3)]
    for value, part in enumerate(parts[:2]):
        driver.report(part, _diff(1.0 + value))
    _damage(driver, parts[0][1].assignment_id)
    driver.report(parts[2], _diff(4.0))
    driver.completed(1)
    np.testing.assert_allclose(driver.model()["weight"], 1.0 - 3.0)
    (cycle,) = driver.pipeline.views.metrics(driver.process_id)
    assert (cycle.reported, cycle.rejected) == (2, 1)


@pytest.mark.usefixtures("lazy")
def test_a_report_that_a_nodes_contents_refuse_is_dropped_too(
    database: Database, blobs: FileBlobStore
) -> None:
    """A node's contents are checked before they are read: they raise for what the pipeline found by itself."""
    driver = Driver(database, CheckedContents(blobs, database))
    driver.pipeline.start()
    try:
        test_one_unusable_report_is_dropped_and_the_others_are_used(driver)
    finally:
        driver.pipeline.stop()


@pytest.mark.usefixtures("lazy")
def test_too_few_usable_reports_reopen_the_cycle(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 2, "min_diffs": 2, "max_workers": 2})
    parts = [driver.join() for _ in range(2)]
    driver.report(parts[0], _diff(1.0))
    _damage(driver, parts[0][1].assignment_id)
    waiting = driver.worker()
    driver.report(parts[1], _diff(2.0))
    reply = driver.check_in(waiting, wait=20.0)
    assert (reply.status, reply.cycle) == ("accepted", 1)
    driver.report((waiting, reply), _diff(6.0))
    driver.completed(1)
    np.testing.assert_allclose(driver.model()["weight"], 1.0 - 4.0)


def _damage(driver: Driver, assignment_id: str) -> None:
    """Cut the stored report short, as a broken disk might."""
    query = select(t.Assignment.blob_digest).where(t.Assignment.id == assignment_id)
    digest = driver.pipeline.store.read(query)[0][0]
    driver.pipeline.store.blobs.cache.trim(everything=True)  # else it is averaged out of memory
    blobs: Any = driver.pipeline.store.blobs
    path = getattr(blobs, "inner", blobs).path(digest)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-4])


def test_a_model_that_overflows_ends_the_training_instead_of_becoming_the_model(driver: Driver) -> None:
    driver.host({"num_cycles": 1, "max_diffs": 2})
    for _ in range(2):
        driver.report(driver.join(), _diff(-3e38))
    view = driver.until(lambda view: view.status != "running")
    assert (view.status, view.checkpoint) == ("failed", 1)
    assert "not finite" in view.reason


def test_a_sum_made_again_after_a_restart_is_the_same_to_the_last_bit(driver: Driver) -> None:
    random = np.random.default_rng(5)
    reports = [
        {
            "weight": random.normal(size=(4, 4)).astype(np.float32),
            "bias": random.normal(size=4).astype(np.float32),
        }
        for _ in range(7)
    ]
    digests = []
    for version, restart in (("1", False), ("2", True)):
        driver.host({"num_cycles": 1, "max_diffs": 7, "weighting": "samples"}, version=version)
        parts = [driver.join() for _ in reports]
        for index, (part, report) in enumerate(zip(parts, reports, strict=True)):
            if restart:
                assert driver.pipeline.drain()
                driver.pipeline.sums.close()  # the memory of a process that died
            driver.report(part, report, samples=index + 1)
        driver.completed(1)
        definition = driver.pipeline.definitions.get(driver.process_id)
        digests.append(driver.pipeline.views.checkpoint(definition).digest)
    assert digests[0] == digests[1]


def test_a_replica_that_starts_takes_nothing_from_another(manual: Driver) -> None:
    """It gives back its own leases: what another holds is being worked on."""
    manual.host({"num_cycles": 1})
    store = manual.pipeline.store
    with store.unit(manual.process_id) as unit:
        held = Outbox(store, "other").put(unit, AGGREGATE, "x")
    manual.pipeline.averaging.start()
    assert Outbox(store, "third").take(held) is None
    same = Driver(store.database, store.blobs, store.clock, replica="other")
    same.pipeline.averaging.start()
    assert Outbox(store, "third").take(held) is not None


def test_a_home_gives_its_process_a_name_of_its_own(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("a", "b")]
    for home in homes:
        home.mkdir()
    names = [replica_name(home) for home in homes]
    assert len(set(names)) == 2
    assert [replica_name(home) for home in homes] == names
    (homes[0] / "replica").write_text("")  # a power cut before its first sync
    assert is_id(replica_name(homes[0]))


def test_what_another_replica_finished_is_not_kept(driver: Driver) -> None:
    other = Driver(driver.pipeline.store.database, driver.pipeline.store.blobs, replica="other")
    other.process_id = driver.host({"num_cycles": 4, "max_diffs": 2, "max_workers": 2})
    other.pipeline.start()
    try:
        for cycle in (1, 2, 3):
            parts = [driver.join() for _ in range(2)]
            driver.report(parts[0], _diff(1.0))
            assert driver.pipeline.drain()
            assert len(driver.pipeline.sums._running) == 1, "of this cycle, and of none before"
            other.report(parts[1], _diff(2.0))
            other.completed(cycle)
            assert other.pipeline.drain()
            assert other.pipeline.sums._running == {}
    finally:
        other.pipeline.stop()


class _LateCheck(ReportReader):
    """Finds that a report is unusable when it is in the sum already."""

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator

    def add(self, report: StoredReport) -> None:
        file = TensorFile(report.content)
        self._aggregator.accumulate(Contribution(file, report.weight))
        if decode(report.content)["bias"][0] == 100.0:
            self._aggregator.settle()
            raise InvalidTensors("too much")

    def finish(self) -> None:
        """Nothing had to wait."""


@pytest.mark.parametrize("together", [1, 1 << 60])
def test_of_a_report_that_is_taken_back_nothing_stays_in_the_sum(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(aggregator, "MANY", together)
    monkeypatch.setattr(PlainFormat, "reader", lambda self, cycle, base, adds: _LateCheck(adds))
    driver.host({"num_cycles": 1, "max_diffs": 4, "min_diffs": 3})
    parts = [driver.join() for _ in range(4)]
    for value, part in zip((1.0, 100.0, 2.0, 6.0), parts, strict=True):
        driver.report(part, _diff(value))
        if together == 1:
            assert driver.pipeline.drain()
    if together == 1:  # one more is needed, as one was taken back meanwhile
        driver.report(driver.join(), _diff(3.0))
    driver.completed(1)
    (cycle,) = driver.pipeline.views.metrics(driver.process_id)
    assert cycle.rejected == 1
    np.testing.assert_allclose(driver.model()["weight"], 1.0 - 3.0)


def test_a_reader_that_cannot_be_made_leaves_no_aggregator_behind(
    manual: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[object] = []

    def refuse(*_: Any) -> Any:
        raise Unavailable("no key host")

    monkeypatch.setattr(PlainFormat, "reader", refuse)
    monkeypatch.setattr(WeightedMean, "close", lambda self: closed.append(self))
    manual.host({"max_diffs": 2})
    part = manual.join()
    with pytest.raises(Unavailable):
        manual.pipeline.sums.add_accepted(manual.process_id, _cycle_of(manual, part[1].assignment_id))
    assert len(closed) == 1


def _cycle_of(driver: Driver, assignment_id: str) -> str:
    query = select(t.Assignment.cycle_id).where(t.Assignment.id == assignment_id)
    return str(driver.pipeline.store.read(query)[0][0])


def test_nothing_is_kept_of_a_training_that_is_over(driver: Driver) -> None:
    driver.host({"max_diffs": 1, "num_cycles": 1})
    driver.report(driver.join(), _diff(1.0))
    driver.completed(1)
    assert driver.pipeline.drain()
    assert not driver.pipeline.sums._running and not driver.pipeline.sums._turns


# -- faults that pass


def _pass(manual: Driver, clock: ManualClock, seconds: float, times: int = 1) -> None:
    """Time goes by, with what the node's timers do meanwhile."""
    queue, scheduler = manual.pipeline.queue, manual.pipeline.scheduler
    for _ in range(times):
        assert manual.pipeline.drain()
        clock.advance(seconds)
        scheduler.timers.run_due()
        queue.timers.run_due()
        assert manual.pipeline.drain()


def _attempts(manual: Driver) -> list[int]:
    return [row[0] for row in manual.pipeline.store.read(select(t.OutboxMessage.attempts))]


def _full(*_: Any, **__: Any) -> Any:
    raise OSError("database or disk is full")


@pytest.mark.parametrize("what", ["take", "retry"])
def test_an_outbox_that_cannot_be_written_for_a_while_ends_nothing(
    manual: Driver, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    manual.host({"max_diffs": 1, "num_cycles": 1})
    with monkeypatch.context() as fault:
        fault.setattr(Outbox, what, _full)
        fault.setattr(manual.pipeline.sums, "add_accepted", _full)
        manual.report(manual.join(), _diff(1.0))
        _pass(manual, clock, LEASE, 2)
        assert manual.pipeline.queue.dead_letters() == []
        assert manual.view.status == "running"
    _pass(manual, clock, LEASE, 2)
    assert (manual.view.status, manual.view.cycles_completed) == ("completed", 1)


def test_a_dead_letter_does_not_stand_for_what_the_outbox_still_holds(
    manual: Driver, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual.host({"max_diffs": 1, "num_cycles": 1})
    handlers, queue = manual.pipeline.queue._handlers, manual.pipeline.queue
    with monkeypatch.context() as fault:
        fault.setitem(handlers, AVERAGE, _full)  # as where the process that runs jobs dies of each
        manual.report(manual.join(), _diff(1.0))
        clock.advance(LEASE)
        manual.pipeline.scheduler._bus.publish(WorkDue())  # to be taken
        _pass(manual, clock, 30.0, ATTEMPTS)
        assert [job.attempts for job in queue.dead_letters()] == [ATTEMPTS] * 2
    manual.pipeline.scheduler._bus.publish(WorkDue())
    assert manual.pipeline.drain()
    assert queue.dead_letters() == []
    assert manual.view.cycles_completed == 1


def test_what_is_unavailable_is_tried_for_as_long_as_that_takes(
    manual: Driver, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual.host({"max_diffs": 1, "num_cycles": 1})

    def away(*_: Any) -> Any:
        raise Unavailable("not installed")

    with monkeypatch.context() as fault:
        fault.setattr(manual.pipeline.averaging._updater, "step", away)
        manual.report(manual.join(), _diff(1.0))
        _pass(manual, clock, LEASE + 1, 2 * MAX_ATTEMPTS)
        assert _attempts(manual)[0] <= 1, "what passes is not counted"
        assert manual.view.waits_for == "not installed"
        told = [e for e in manual.pipeline.views.events(manual.process_id).events if "waits_for" in e.detail]
        assert [event.detail["waits_for"] for event in told] == ["not installed"], "said once"
        assert (manual.view.status, manual.view.cycles_completed) == ("running", 0)
    _pass(manual, clock, LEASE + 1)
    assert manual.view.cycles_completed == 1
    assert manual.view.waits_for == ""


def test_a_disk_that_is_full_while_a_model_is_written_ends_nothing(
    manual: Driver, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is tried: and the cycle is done within seconds of there being room again."""
    manual.host({"max_diffs": 1, "num_cycles": 1})
    blobs = manual.pipeline.store.blobs

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as fault:
        fault.setattr(blobs, "put", full)
        if blobs.unsynced is not None:
            fault.setattr(blobs.unsynced, "store_unsynced", full)
        manual.report(manual.join(), _diff(1.0))
        _pass(manual, clock, LONGEST + 0.1, 3 * MAX_ATTEMPTS)
        assert (manual.view.status, manual.view.waits_for) == ("running", "the node's disk is full")
    _pass(manual, clock, LONGEST + 0.1)
    assert (manual.view.status, manual.view.cycles_completed, manual.view.waits_for) == ("completed", 1, "")


def test_a_database_that_is_away_for_a_moment_costs_no_lease(
    manual: Driver, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be noted is given back as soon as it can be, not when the lease has run out."""
    manual.host({"max_diffs": 1, "num_cycles": 1})

    def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("the database cannot be reached")

    with monkeypatch.context() as fault:
        fault.setattr(manual.pipeline.sums, "add_accepted", away)
        for what in ("retry", "wait"):
            fault.setattr(Outbox, what, away)
        manual.report(manual.join(), _diff(1.0))
        assert manual.pipeline.drain()
        assert manual.view.waits_for == "the database cannot be reached"
    _pass(manual, clock, 1.1, 2)
    assert manual.view.cycles_completed == 1


def test_the_pause_after_very_many_tries_is_a_minute(manual: Driver) -> None:
    manual.host({"num_cycles": 1})
    outbox = Outbox(manual.pipeline.store, "ours")
    with manual.pipeline.store.unit(manual.process_id) as unit:
        held = outbox.put(unit, AGGREGATE, "x")
        many = Message(held.id, held.topic, held.key, held.process_id, held.token, attempts=10_000)
        assert outbox.retry(unit, many, "away") == unit.now + LEASE


# -- what failed for another reason


def _fail(manual: Driver, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as fault:
        fault.setattr(manual.pipeline.sums, "add_accepted", _full)
        manual.report(manual.join(), _diff(1.0))
        _pass(manual, clock, LEASE + 1, MAX_ATTEMPTS)
    assert manual.view.status == "failed"


@pytest.mark.parametrize("strategy", ["mean", "fedadam"])
def test_what_failed_is_resumed_from_its_last_good_checkpoint(
    manual: Driver, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    manual.host({"max_diffs": 1, "num_cycles": 2, "aggregator": strategy})
    manual.report(manual.join(), _diff(1.0))
    _pass(manual, clock, 0.0)
    _fail(manual, clock, monkeypatch)
    assert manual.check_in().reason == "over"
    manual.pipeline.tasks.resume(manual.process_id)
    assert (manual.view.status, manual.view.reason, manual.view.checkpoint) == ("running", "", 2)
    manual.report(manual.join(), _diff(1.0))
    _pass(manual, clock, 0.0)
    assert (manual.view.status, manual.view.cycles_completed, manual.view.checkpoint) == ("completed", 2, 3)
    with pytest.raises(Conflict):
        manual.pipeline.tasks.resume(manual.process_id)


def test_a_checkpoint_that_is_corrupt_is_not_resumed_from(
    manual: Driver, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual.host({"max_diffs": 1, "num_cycles": 3})
    for value in (1.0, 2.0):
        manual.report(manual.join(), _diff(value))
        _pass(manual, clock, 0.0)
    _fail(manual, clock, monkeypatch)
    digest = manual.pipeline.definitions.checkpoint(manual.process_id, 3)[0]
    path = manual.pipeline.store.blobs.path(digest)  # type: ignore[attr-defined]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    manual.pipeline.tasks.resume(manual.process_id)
    view = manual.view
    assert (view.status, view.checkpoint, view.cycles_completed) == ("running", 2, 1)
    np.testing.assert_allclose(manual.model()["weight"], 0.0)
    manual.report(manual.join(), _diff(5.0))
    _pass(manual, clock, 0.0)
    np.testing.assert_allclose(manual.model()["weight"], -5.0)


def test_what_was_discarded_is_not_resumed(
    manual: Driver, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual.host({"max_diffs": 1, "num_cycles": 2, "aggregator": "fedadam"})
    manual.report(manual.join(), _diff(1.0))
    _pass(manual, clock, 0.0)
    _fail(manual, clock, monkeypatch)
    manual.pipeline.tasks.discard(manual.process_id)
    with pytest.raises(Conflict, match="discarded"):
        manual.pipeline.tasks.resume(manual.process_id)
