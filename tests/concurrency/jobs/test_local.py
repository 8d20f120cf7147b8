"""Jobs of this process, found by their URL, and what a node makes of them."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import NoReturn

import pytest
from prometheus_client import generate_latest

from apps.assembly import open_node
from grid.concurrency import local_jobs
from grid.concurrency.job_queues import GROUP, open_jobs
from grid.concurrency.jobs import JobQueue
from grid.concurrency.local_jobs import LocalJobs
from grid.node.node import Node
from grid.node.service import Service
from syft_ext.clock import ManualClock
from syft_ext.errors import BadRequest, InvalidConfig
from tests.concurrency.jobs.contract import Flaky, JobQueueContract


class TestLocalJobs(JobQueueContract):
    clock: ManualClock

    def make(self) -> LocalJobs:
        self.clock = ManualClock()
        return LocalJobs(self.clock)

    def pass_time(self, queue: JobQueue, seconds: float) -> None:
        assert isinstance(queue, LocalJobs)
        assert queue.drain()
        self.clock.advance(seconds)
        queue.timers.run_due()
        assert queue.drain()

    def test_the_oldest_dead_letters_go_first(self, queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local_jobs, "MOST_DEAD", 2)
        queue.handle("x", Flaky(*[BadRequest("no")] * 3))
        ids = [queue.submit("x", {}, key="k", idempotency_key=str(n)) for n in range(3)]
        assert queue.drain()
        assert [job.id for job in queue.dead_letters()] == ids[1:]
        assert queue.submit("x", {}, idempotency_key="0") != ids[0], "nobody remembers it"


def test_a_queue_is_found_by_the_scheme_of_its_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    assert isinstance(open_jobs("local:", clock), LocalJobs)
    for wrong in ("smoke://host", "", "local", "http://[", "local:more", "local://host"):
        with pytest.raises(InvalidConfig, match="job_queue") as caught:
            open_jobs(wrong, clock)
        assert caught.value.extra["field"] == "job_queue"
    metadata = tmp_path / "grid_test_queue-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: grid_test_queue\nVersion: 1.0\n")
    points = f"[{GROUP}]\nsmoke = tests.concurrency.jobs.test_local:open_smoke\n"
    (metadata / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert open_jobs("smoke://host/path", clock) == ("host", "/path", clock)  # type: ignore[comparison-overlap]


def open_smoke(url: object, clock: ManualClock) -> tuple[object, object, ManualClock]:
    """The opener of a package; what it returns is not looked at."""
    return url.netloc, url.path, clock  # type: ignore[attr-defined]


def test_a_node_runs_the_jobs_that_it_was_handed(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="no job queue 'smoke-signals'"):
        open_node("domain", tmp_path / "none", "d", [], jobs="smoke-signals:")
    assert not (tmp_path / "none" / "node.db").exists()
    node = open_node("domain", tmp_path / "home", "d", [])
    handler = Flaky(BadRequest("no"))
    node.jobs.handle("x", handler)
    node.jobs.submit("x", {})
    assert handler.calls == []
    node.start()
    try:
        assert node.jobs.drain() and len(handler.calls) == 1
        assert b"grid_dead_jobs 1.0" in generate_latest(node.metrics)
        node.jobs.submit("x", {})
        assert node.jobs.drain() and len(handler.calls) == 2
    finally:
        node.stop()
    node.jobs.submit("x", {})
    assert len(handler.calls) == 2


class _Noting(Service):
    """Notes when it is started and stopped, and has a job done."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.notes: list[str] = []
        node.jobs.handle("x", lambda args: self.notes.append("job"))
        node.jobs.submit("x", {})

    def start(self) -> None:
        time.sleep(0.05)  # a job that did not wait would be done by now
        self.notes.append("start")

    def stop(self) -> None:
        self.notes.append("stop")


def test_no_job_is_run_before_the_services_have_started(tmp_path: Path) -> None:
    node = open_node("domain", tmp_path / "home", "d", [_Noting])
    node.start()
    assert node.jobs.drain()
    node.stop()
    assert node.service(_Noting).notes == ["start", "job", "stop"]


def test_a_queue_whose_broker_is_away_takes_nothing_else_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> NoReturn:
        raise ConnectionError("no broker")

    node = open_node("domain", tmp_path / "home", "d", [_Noting])
    node.start()
    assert node.jobs.drain()
    monkeypatch.setattr(node.jobs, "dead_letters", away)
    assert b"grid_dead_jobs NaN" in generate_latest(node.metrics)
    stop = node.jobs.stop
    monkeypatch.setattr(node.jobs, "stop", away)
    closed: list[str] = []
    for name, part in (("journal", node.journal), ("database", node.db)):
        close = part.close
        monkeypatch.setattr(part, "close", lambda name=name, close=close: (closed.append(name), close()))
    node.stop()
    assert node.service(_Noting).notes[-1] == "stop" and closed == ["journal", "database"]
    stop()
