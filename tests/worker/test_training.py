"""A Worker takes part in trainings of a live Domain, by itself, on data that stay with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def host(url: str, name: str, cycles: int, epochs: int = 1, version: str = "1.0") -> sy.ModelCentricFLClient:
    config = {"num_cycles": cycles, "max_diffs": 1, "max_workers": 1, "min_workers": 1, "cycle_length": 300}
    return hosted(url, name, {**config, "assignment_timeout": 10}, epochs, version)


def hosted(
    url: str, name: str, server: dict[str, Any], epochs: int = 1, version: str = "1.0", **options: Any
) -> sy.ModelCentricFLClient:
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
        client_config={"name": name, "version": version, "batch_size": 16, "lr": 0.1, "epochs": epochs},
        inputs=sy.TableInputs(
            columns=[sy.NumberColumn(name=each) for each in "abcd"],
            label=sy.CategoryColumn(name="label", categories=["0", "1"]),
        ),
        server_config=server,
        **options,
    )
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
    nodes.login(domain, save=True)
    path = data(tmp_path)
    flags = ("--domain", domain.url, "--data", str(path))
    flags = (*flags, "--training", "cancer/*", "--trust", "owner")
    worker = nodes.start("worker", "w", *flags)
    accept(domain)
    client = host(domain.url, "cancer", cycles=CYCLES, epochs=20)
    host(domain.url, "spam", cycles=1)  # not among those that the owner wants to look at
    training = client.training("cancer", "1.0")
    eventually(lambda: training.refresh().view.cycles_completed >= 2, "two cycles", 120, worker, domain)

    domain.kill()
    time.sleep(0.5)
    domain = nodes.restart(domain)
    nodes.login(domain, save=True)
    training = client.training("cancer", "1.0")
    done = training.view.cycles_completed
    eventually(lambda: training.refresh().view.cycles_completed > done, "another cycle", 90, worker, domain)

    worker.kill()
    worker = nodes.restart(worker, *flags)
    eventually(lambda: training.refresh().view.status == "completed", "the end", 120, worker, domain)
    metrics = training.metrics()
    assert [cycle.status for cycle in metrics] == ["completed"] * CYCLES
    assert metrics[-1].loss is not None and metrics[0].loss is not None
    assert metrics[-1].loss < metrics[0].loss, "it learns"
    assert metrics[-1].samples == 96, "rows, each once: not the 20 epochs over them"
    assert (metrics[-1].accuracy or 0) > 0.8

    eventually(lambda: _seen(worker)["cancer"]["state"] == "over", "the board", 30, worker)
    assert list(_seen(worker)) == ["cancer"]
    assert _seen(worker)["cancer"]["decided_by"] == "the Domain's owner, whose own it is"
    assert client.training("spam", "1.0").view.admitted == 0
    assert worker.stop() == 0


def accept(domain: NodeProcess, name: str = "w") -> None:
    """The Domain's owner accepts the Worker that has asked to join."""
    assert grid("domain", "accept", name, "--url", domain.url).code == 0


def _rows(worker: NodeProcess) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = grid(
        "worker", "trainings", "--home", str(worker.home), "--format", "json"
    ).json
    return rows


def _seen(worker: NodeProcess) -> dict[str, dict[str, object]]:
    return {str(row["name"]): row for row in _rows(worker)}


def test_the_owner_approves_one_by_one_and_the_domain_accepts_the_worker(
    nodes: Nodes, tmp_path: Path
) -> None:
    domain = nodes.start("domain", "d")
    owner = nodes.login(domain, save=True)
    worker = nodes.start(
        *("worker", "w", "--domain", domain.url, "--data", str(data(tmp_path)), "--trust", "owner"),
        *("--clip-norm", "0.5", "--max-reports", "7"),
    )
    requests = grid("domain", "requests", "--url", domain.url, "--format", "json").json
    assert [(row["name"], row["kind"], row["status"]) for row in requests] == [("w", "worker", "pending")]
    assert requests[0]["address"] == worker.url, "it can be called back"
    client = host(domain.url, "digits", cycles=1)
    training = client.training("digits", "1.0")
    eventually(
        lambda: any("has not accepted this Worker" in line for line in worker.log), "word of it", 30, worker
    )
    time.sleep(1.5)
    assert (_seen(worker), training.refresh().view.admitted) == ({}, 0), "pending, it takes no part"
    assert worker.stop() == 0

    accept(domain)
    worker = nodes.restart(
        worker,
        "--domain",
        domain.url,
        "--data",
        str(data(tmp_path)),
        "--clip-norm",
        "0.5",
        "--max-reports",
        "7",
        *("--trust", "nobody"),  # what an earlier start said holds until another says otherwise
    )
    eventually(lambda: "digits" in _seen(worker), "the offer", 30, worker)
    assert _seen(worker)["digits"]["decision"] == "waiting"
    home = ("--home", str(worker.home))
    assert "digits" in grid("worker", "review", *home).out
    text = grid("worker", "review", "digits/1.0", *home).out
    digest = str(_seen(worker)["digits"]["digest"])
    for shown in (
        *(digest, "its host decides", "plan training_plan", "returns:", "weight: F32 [2, 4]", "norm 0.5"),
        *("at most 7 reports", "trial on 96 made-up rows", "no version of it was approved before"),
    ):
        assert shown in text, shown
    assert client.training("digits", "1.0").view.admitted == 0, "reading it is no part in it"
    approved = grid("worker", "approve", "digits/1.0", "--digest", digest[:8], *home, "--format", "json")
    assert (approved.json["decision"], approved.json["decided_by"]) == ("approved", "owner")
    eventually(lambda: training.refresh().view.status == "completed", "the training", 90, worker, domain)
    assert "What leaves this Worker at most" in grid("worker", "trainings", *home).out
    associations = grid("domain", "associations", "--url", domain.url, "--format", "json").json
    assert associations[0]["online"] in ("online", "busy")
    assert owner.kind == "domain"

    second = host(domain.url, "digits", cycles=1, version="2.0", epochs=2)
    eventually(lambda: any(row["version"] == "2.0" for row in _rows(worker)), "the next version", 30, worker)
    text = grid("worker", "review", "digits/2.0", "--no-trial", *home).out
    assert "+client_config.epochs: 2" in text and "-client_config.epochs: 1" in text
    assert "trial" not in text
    assert second.training("digits", "2.0").view.admitted == 0, "a new version waits for the owner's word"


def test_the_owner_can_have_a_training_repeated_to_the_last_bit(nodes: Nodes, tmp_path: Path) -> None:
    domain = nodes.start("domain", "d")
    nodes.login(domain, save=True)
    flags = ("--domain", domain.url, "--data", str(data(tmp_path)), "--trust", "owner")
    worker = nodes.start("worker", "w", *flags, "--training", "study-*/*", "--shuffle-seed", "7")
    accept(domain)
    models = []
    for name in ("study-1", "study-2"):
        client = host(domain.url, name, cycles=2, epochs=2)
        training = client.training(name, "1.0")
        eventually(lambda t=training: t.refresh().view.status == "completed", name, 90, worker, domain)  # type: ignore[misc]
        models.append(client.retrieve_model(name, "1.0"))
    for first, second in zip(*models, strict=True):
        assert torch.equal(first, second)


def test_a_domain_under_another_key_is_not_taken_for_the_one_that_was_joined(
    nodes: Nodes, tmp_path: Path
) -> None:
    """It was away, and another is at its address: the owner is told that, not only that it was away."""
    domain = nodes.start("domain", "d")
    nodes.login(domain, save=True)
    flags = ("--domain", domain.url, "--data", str(data(tmp_path)))
    worker = nodes.start("worker", "w", *flags)
    accept(domain)
    home = ("--home", str(worker.home))

    def said(words: str) -> bool:
        return words in " ".join(str(grid("worker", "status", *home, "--format", "json").json).split())

    eventually(lambda: not said("warning"), "it is accepted", 60, worker)
    domain.kill()
    eventually(lambda: said("does not say what trainings it has"), "the Domain is away", 60, worker)
    other = nodes.start("domain", "other", port=int(domain.url.rsplit(":", 1)[1]))
    eventually(lambda: said("it is not the Domain that this Worker joined"), "another key", 90, worker)
    assert any("grid worker leave" in line for line in worker.log)
    listed = grid("worker", "trainings", *home)
    assert "no training yet" not in listed.out and "not the Domain that this Worker joined" in listed.err
    sy.forget_node(other.url)
    nodes.login(other, save=True)
    asked = ("domain", "requests", "--url", other.url, "--format", "json")
    assert grid(*asked).json == [], "the stranger hears nothing of it"

    assert grid("worker", "leave", *home).code == 0
    assert worker.stop() == 0
    worker = nodes.restart(worker, *flags)
    eventually(lambda: bool(grid(*asked).json), "the owner's word", 60, worker)


def test_data_that_cannot_be_used_is_said_and_shows_in_readyz(nodes: Nodes, tmp_path: Path) -> None:
    import urllib3

    domain = nodes.start("domain", "d")
    nodes.login(domain, save=True)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n1\n")
    worker = nodes.start("worker", "w", "--domain", domain.url, "--data", str(tmp_path / "bad.csv"))

    def told() -> bool:
        answer = urllib3.request("GET", f"{worker.url}/readyz", retries=False)
        return answer.status == 503 and b"1 of 2 columns" in answer.data

    eventually(told, "the refusal, before anybody accepts it", 60, worker)
    assert any("the data cannot be used: bad.csv" in line for line in worker.log)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n1,x\n")
    eventually(
        lambda: any("2 samples are ready" in line for line in worker.log), "the mended file", 60, worker
    )
    assert any("'x' is not numbers" in line and "'b' cannot be used" in line for line in worker.log)
    assert urllib3.request("GET", f"{worker.url}/readyz", retries=False).status == 200
