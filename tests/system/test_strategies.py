"""Strategies that keep a state, over real nodes: with kill -9 in the middle, the models are those without it."""

from __future__ import annotations

import random
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import syft_ext as sy
from syft_ext.messages.federated import GetProcess, ListProcesses
from syft_ext.transport.backoff import Backoff
from tests.system.test_kill import EMAIL, PASSWORD, phoenix, start

CYCLES, WORKERS, KILLS = 8, 2, 4
NAME, VERSION = "momentum", "1.0"


class Participant(threading.Thread):
    """Learns the same from the same model, whatever happens to the Domain."""

    def __init__(self, url: str, index: int) -> None:
        super().__init__(daemon=True)
        self.url, self.index = url, index
        self.reported = threading.Semaphore(0)
        self.error: Exception | None = None

    def run(self) -> None:
        def train(job: sy.FLJob) -> None:
            job.report([p - (0.1 * p + 0.01 * (self.index + 1)) for p in job.model], samples=1)
            self.reported.release()

        try:
            client = sy.FLClient(url=self.url, auth_token="", secure=False)
            client.new_job(NAME, VERSION).run(train=train)
        except Exception as error:
            self.error = error


def models(home: Path, aggregator: Any, kills: int) -> list[str]:
    """The digests of all models of a training at whose Domain so many kills come."""
    dice = random.Random(5)
    with phoenix(home, f"sqlite:///{home}.db") as nodes:
        url = nodes[0].url
        port = int(url.rsplit(":", 1)[1])
        owner = sy.login(url, EMAIL, PASSWORD)
        training = sy.ModelCentricFLClient(address=url, secure=False)
        training.connect()
        example = [torch.arange(12.0).reshape(3, 4), torch.ones(5)]

        @sy.make_plan
        def training_plan(params=sy.List(example)):  # type: ignore[no-untyped-def]
            return [p - 1.0 for p in params]

        training.host_federated_training(
            model=example,
            client_plans={"training_plan": training_plan},
            client_config={"name": NAME, "version": VERSION},
            server_config={"num_cycles": CYCLES, "max_diffs": WORKERS, "min_workers": WORKERS,
                           "max_workers": WORKERS, "cycle_length": 600, "aggregator": aggregator},
        )  # fmt: skip
        crew = [Participant(url, index) for index in range(WORKERS)]
        for worker in crew:
            worker.start()
        for _ in range(kills):
            # Somewhere around the averaging of a cycle: the last report of it was just acknowledged.
            assert crew[0].reported.acquire(timeout=240) and crew[1].reported.acquire(timeout=240)
            threading.Event().wait(dice.uniform(0.0, 0.05))
            nodes[-1].kill()
            nodes.append(start(home, port, f"sqlite:///{home}.db"))
        for worker in crew:
            worker.join(60)
            assert not worker.is_alive() and worker.error is None
        (process,) = owner.call(ListProcesses(name=NAME)).processes
        view = owner.call(GetProcess(process_id=process.process_id))
        assert (view.status, view.checkpoint) == ("completed", CYCLES + 1)
        assert view.aggregator == (aggregator if isinstance(aggregator, str) else aggregator["name"])
        return [owner.trainings.model(NAME, VERSION, n).digest for n in range(1, CYCLES + 2)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "aggregator",
    ["fedavgm", {"name": "fedadam", "parameters": {"learning_rate": 0.05}}],
    ids=["fedavgm", "fedadam"],
)
def test_a_domain_that_is_killed_makes_the_same_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aggregator: Any
) -> None:
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path / "user"))
    monkeypatch.setattr("syft_ext.federated.retry.Backoff", partial(Backoff, cap=0.3))
    quiet = models(tmp_path / "quiet", aggregator, 0)
    assert len(set(quiet)) == CYCLES + 1
    assert models(tmp_path / "killed", aggregator, KILLS) == quiet
