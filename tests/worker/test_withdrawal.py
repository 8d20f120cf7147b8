"""A data owner withdraws his consent in the middle of a training: his Worker takes part no more."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.apps.conftest import Nodes, grid
from tests.worker.test_training import _seen, data, eventually, host

pytestmark = pytest.mark.slow


def test_what_is_being_learned_when_consent_ends_stays_with_its_owner(nodes: Nodes, tmp_path: Path) -> None:
    domain = nodes.start("domain", "d")
    nodes.login(domain)
    flags = ("--domain", domain.url, "--data", str(data(tmp_path)), "--target", "label")
    worker = nodes.start("worker", "w", *flags, "--training", "cancer")
    client = host(domain.url, "cancer", cycles=1000, epochs=200)  # seconds of training in each cycle
    training = client.training("cancer", "1.0")
    eventually(lambda: training.refresh().view.cycles_completed >= 1, "a cycle", 120, worker, domain)
    eventually(lambda: training.refresh().view.admitted == 1, "the next assignment", 60, worker, domain)
    denied = grid("worker", "deny", "cancer/1.0", "--home", str(worker.home), "--format", "json")
    assert denied.json["decision"] == "denied"
    reports = int(_seen(worker)["cancer"]["reports"])  # type: ignore[call-overload]
    eventually(lambda: _seen(worker)["cancer"]["state"] == "idle", "leaving", 60, worker)
    view = training.refresh().view
    assert int(_seen(worker)["cancer"]["reports"]) <= reports  # type: ignore[call-overload]
    time.sleep(1.0)
    after = training.refresh().view
    assert (after.cycles_completed, after.reported) == (view.cycles_completed, 0)
    events = [each for each in training.history() if each.entity == "assignment"]
    assert events[-1].after == "failed-by-worker"  # given back, not reported
    assert worker.stop() == 0
