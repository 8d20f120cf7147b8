"""Jobs of this process, found by their URL, and what a node makes of them."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from apps.assembly import open_node
from grid.concurrency import local_jobs
from grid.concurrency.job_queues import GROUP, open_jobs
from grid.concurrency.jobs import JobQueue
from grid.concurrency.local_jobs import LocalJobs
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
