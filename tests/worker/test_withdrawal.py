"""A data owner withdraws consent in the middle of a training: their Worker takes part no more."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from apps.cli.client import open_own_node
from syft_ext.messages.worker import DecideTraining, ListSeenTrainings, SeenTrainingView
from tests.apps.conftest import Nodes, grid
from tests.worker.test_training import accept, data, eventually, host

pytestmark = pytest.mark.slow


def test_what_is_being_learned_when_consent_ends_stays_with_its_owner(nodes: Nodes, tmp_path: Path) -> None:
    domain = nodes.start("domain", "d")
    nodes.login(domain, save=True)
    flags = ("--domain", domain.url, "--data", str(data(tmp_path)), "--trust", "owner")
    worker = nodes.start("worker", "w", *flags)
    accept(domain)
    client = host(
        domain.url, "cancer", cycles=1000, epochs=3000
    )  # a second or more of training in each cycle
    training, owner = client.training("cancer", "1.0"), open_own_node(worker.home)

    def seen() -> SeenTrainingView:
        (view,) = owner.call(ListSeenTrainings()).trainings
        return view  # type: ignore[no-any-return]

    def begun() -> bool:
        view = training.refresh().view
        return bool(view.cycles_completed >= 1 and view.admitted == 1 and not view.reported)

    eventually(begun, "the next assignment", 120, worker, domain)
    owner.call(DecideTraining(name="cancer", version="1.0", decision="denied"))
    eventually(lambda: seen().state == "idle", "leaving", 60, worker)
    reports, done = seen().reports, training.refresh().view.cycles_completed
    time.sleep(1.0)
    view = training.refresh().view
    assert (view.cycles_completed, view.reported, seen().reports) == (done, 0, reports)
    events = [each for each in training.history() if each.entity == "assignment"]
    assert events[-1].after == "failed-by-worker"  # given back, not reported
    assert worker.stop() == 0


def test_a_worker_whose_association_ends_takes_part_no_more(nodes: Nodes, tmp_path: Path) -> None:
    domain = nodes.start("domain", "d")
    nodes.login(domain, save=True)
    flags = ("--domain", domain.url, "--data", str(data(tmp_path)), "--trust", "owner")
    worker = nodes.start("worker", "w", *flags)
    accept(domain)
    client = host(domain.url, "cancer", cycles=1000, epochs=20)
    training, owner = client.training("cancer", "1.0"), open_own_node(worker.home)
    eventually(lambda: training.refresh().view.cycles_completed >= 1, "a cycle", 120, worker, domain)
    assert grid("worker", "leave", "--home", str(worker.home)).code == 0

    def left() -> bool:
        (view,) = owner.call(ListSeenTrainings()).trainings
        return bool(view.state != "joined")

    eventually(left, "leaving", 60, worker)
    done = training.refresh().view.cycles_completed
    time.sleep(2.0)
    assert training.refresh().view.cycles_completed == done
    assert worker.stop() == 0
