"""A Worker takes part in trainings of a live Domain, by itself, on data that stay with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.func import functional_call

import syft_ext as sy
from tests.apps.conftest import Nodes, grid
from tests.nodes import NodeProcess

pytestmark = pytest.mark.slow
#: Enough that there is time to kill somebody before the training is over.
CYCLES = 25


def eventually(condition: Callable[[], bool], what: str, seconds: float = 90.0, *logs: NodeProcess) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            lines = "\n".join(f"{node.kind}: {line}" for node in logs for line in node.log)
            raise AssertionError(f"{what} did not happen\n{lines}")
        time.sleep(0.1)


def host(url: str, name: str, cycles: int, epochs: int = 1) -> sy.ModelCentricFLClient:
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 2)
    names = [each for each, _ in net.named_parameters()]
    params = [p.detach().clone() for p in net.parameters()]

    @sy.make_plan(symbols={"x": {0: "B"}, "y": {0: "B"}})
    def training_plan(  # type: ignore[no-untyped-def]
        x=torch.zeros(8, 4),
        y=torch.zeros(8, dtype=torch.int64),
        lr=torch.tensor(0.1),
        params=sy.List(params),
    ):
        leaves = [p.detach().requires_grad_() for p in params]
        logits = functional_call(net, dict(zip(names, leaves, strict=True)), (x,))
        loss = torch.nn.functional.cross_entropy(logits, y)
        loss.backward()
        accuracy = (logits.argmax(1) == y).float().mean()
        return loss, accuracy, *[p - lr * p.grad for p in leaves]

    client = sy.ModelCentricFLClient(address=url, secure=False)
    client.connect()
    client.host_federated_training(
        model=net,
        client_plans={"training_plan": training_plan},
        client_config={"name": name, "version": "1.0", "batch_size": 16, "lr": 0.1, "epochs": epochs},
        server_config={"num_cycles": cycles, "max_diffs": 1, "max_workers": 1, "min_workers": 1,
                       "cycle_length": 300, "assignment_timeout": 10},
    )  # fmt: skip
    return client


def data(folder: Path, seed: int = 0) -> Path:
    random = np.random.default_rng(seed)
    x = random.normal(size=(96, 4))
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    path = folder / f"data{seed}.csv"
    lines = [",".join(map(str, (*row, label))) for row, label in zip(x.tolist(), y.tolist(), strict=True)]
    path.write_text("\n".join(["a,b,c,d,label", *lines]) + "\n")
    return path


def test_a_worker_takes_part_through_kills_of_domain_and_worker(nodes: Nodes, tmp_path: Path) -> None:
    domain = nodes.start("domain", "d")
    nodes.login(domain)
    path = data(tmp_path)
    flags = ("--domain", domain.url, "--data", str(path), "--target", "label", "--standardise", "local")
    worker = nodes.start("worker", "w", *flags, "--training", "cancer/*")
    client = host(domain.url, "cancer", cycles=CYCLES, epochs=20)
    host(domain.url, "spam", cycles=1)  # not among those that the owner allows
    training = client.training("cancer", "1.0")
    eventually(lambda: training.refresh().view.cycles_completed >= 2, "two cycles", 120, worker, domain)

    domain.kill()
    time.sleep(0.5)
    domain = nodes.restart(domain)
    nodes.login(domain)
    training = client.training("cancer", "1.0")
    done = training.view.cycles_completed
    eventually(lambda: training.refresh().view.cycles_completed > done, "another cycle", 90, worker, domain)

    worker.kill()
    worker = nodes.restart(worker, *flags, "--training", "cancer/*")
    eventually(lambda: training.refresh().view.status == "completed", "the end", 120, worker, domain)
    metrics = training.metrics()
    assert [cycle.status for cycle in metrics] == ["completed"] * CYCLES
    assert metrics[-1].loss is not None and metrics[0].loss is not None
    assert metrics[-1].loss < metrics[0].loss, "it learns"
    assert metrics[-1].samples == 96 * 20
    assert (metrics[-1].accuracy or 0) > 0.8

    eventually(lambda: _seen(worker)["cancer"]["state"] == "over", "the board", 30, worker)
    assert _seen(worker)["spam"]["decision"] == "waiting"
    assert client.training("spam", "1.0").view.admitted == 0
    assert worker.stop() == 0


def _seen(worker: NodeProcess) -> dict[str, dict[str, object]]:
    rows = grid("worker", "trainings", "--home", str(worker.home), "--format", "json").json
    return {row["name"]: row for row in rows}


def test_the_owner_approves_one_by_one_and_the_domain_accepts_the_worker(
    nodes: Nodes, tmp_path: Path
) -> None:
    domain = nodes.start("domain", "d")
    owner = nodes.login(domain, save=True)
    worker = nodes.start(
        "worker", "w", "--domain", domain.url, "--data", str(data(tmp_path)), "--approve", "ask"
    )
    requests = grid("domain", "requests", "--url", domain.url, "--format", "json").json
    assert [(row["name"], row["kind"], row["status"]) for row in requests] == [("w", "worker", "pending")]
    assert requests[0]["address"] == worker.url, "it can be called back"
    assert grid("domain", "accept", "w", "--url", domain.url).code == 0
    client = host(domain.url, "digits", cycles=1)
    eventually(lambda: "digits" in _seen(worker), "the offer", 30, worker)
    assert _seen(worker)["digits"]["decision"] == "waiting"
    approved = grid("worker", "approve", "digits/1.0", "--home", str(worker.home), "--format", "json")
    assert approved.json["decision"] == "approved"
    training = client.training("digits", "1.0")
    eventually(lambda: training.refresh().view.status == "completed", "the training", 90, worker, domain)
    associations = grid("domain", "associations", "--url", domain.url, "--format", "json").json
    assert associations[0]["online"] in ("online", "busy")
    assert owner.kind == "domain"


def test_the_owner_can_have_a_training_repeated_to_the_last_bit(nodes: Nodes, tmp_path: Path) -> None:
    domain = nodes.start("domain", "d")
    nodes.login(domain)
    flags = ("--domain", domain.url, "--data", str(data(tmp_path)), "--target", "label")
    worker = nodes.start("worker", "w", *flags, "--training", "study-*/*", "--shuffle-seed", "7")
    models = []
    for name in ("study-1", "study-2"):
        client = host(domain.url, name, cycles=2, epochs=2)
        training = client.training(name, "1.0")
        eventually(lambda t=training: t.refresh().view.status == "completed", name, 90, worker, domain)  # type: ignore[misc]
        models.append(client.retrieve_model(name, "1.0"))
    for first, second in zip(*models, strict=True):
        assert torch.equal(first, second)


def test_data_that_cannot_be_used_is_said_and_shows_in_readyz(nodes: Nodes, tmp_path: Path) -> None:
    import urllib3

    domain = nodes.start("domain", "d")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\nx,1\n")
    worker = nodes.start("worker", "w", "--domain", domain.url, "--data", str(tmp_path / "bad.csv"))

    def told() -> bool:
        answer = urllib3.request("GET", f"{worker.url}/readyz", retries=False)
        return answer.status == 503 and b"holds no number" in answer.data

    eventually(told, "the refusal", 60, worker)
    assert any("column 'a' holds no number" in line for line in worker.log)
