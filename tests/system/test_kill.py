"""kill -9 the Domain again and again while a training runs; what it promised must still be true at the end.

The reports are chosen so that the final model counts how often an update was applied: worker ``i`` always
reports base minus trained = ``i + 1`` everywhere, so a cycle moves every parameter by exactly 1.5, once.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

import syft_ext as sy
from syft_ext.errors import GridError
from syft_ext.messages.federated import ListProcesses, ProcessHistory
from syft_ext.transport.backoff import Backoff
from tests.nodes import NodeProcess

EMAIL, PASSWORD = "owner@kill.example", "correct horse battery staple"
KILLS = 26  # per engine: 52 in all
WORKERS = 2
NAME, VERSION = "survivor", "1.0"


def start(home: Path, port: int, database_url: str) -> NodeProcess:
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--name", "phoenix"]
    environment = {
        "GRID_OWNER_EMAIL": EMAIL,
        "GRID_OWNER_PASSWORD": PASSWORD,
        "GRID_DATABASE_URL": database_url,
    }
    return NodeProcess("domain", home, arguments, environment=environment)


class Crew(threading.Thread):
    """A worker that takes part until the training ends, whatever happens to the Domain."""

    def __init__(self, url: str, index: int) -> None:
        super().__init__(daemon=True)
        self.url, self.index = url, index
        self.acknowledged = 0
        self.error: Exception | None = None

    def run(self) -> None:
        def train(job: sy.FLJob) -> None:
            trained = [p - (self.index + 1.0) for p in job.model]
            job.report(trained, samples=1, loss=float(self.index))
            self.acknowledged += 1

        try:
            client = sy.FLClient(url=self.url, auth_token="", secure=False)
            client.new_job(NAME, VERSION).run(train=train)
        except Exception as error:
            self.error = error


@contextlib.contextmanager
def phoenix(home: Path, database_url: str) -> Iterator[list[NodeProcess]]:
    nodes = [start(home, 0, database_url)]
    try:
        yield nodes
    finally:
        nodes[-1].kill()


@pytest.mark.slow
def test_a_training_survives_kill_9_at_seeded_points(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path / "user"))
    # Workers ask again soon: more of the time goes into training, and less into waiting for them.
    monkeypatch.setattr("syft_ext.federated.retry.Backoff", partial(Backoff, cap=0.3))
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # shown when the test fails
    dice = random.Random(seed)
    cycles = 10_000  # more than can be done before the last kill; cut off afterwards
    with phoenix(tmp_path / "domain", database_url) as nodes:
        url = nodes[0].url
        port = int(url.rsplit(":", 1)[1])
        owner = sy.login(url, EMAIL, PASSWORD)
        node_id, user_id = owner.id, owner.me.id
        example = [torch.zeros(3, 4), torch.zeros(5)]
        dataset = owner.datasets.create(
            name="biopsies", description="kept over every kill", tags=["oncology"],
            assets={"mock": torch.zeros(2, 2)},
        )  # fmt: skip

        @sy.make_plan
        def training_plan(params=sy.List(example)):  # type: ignore[no-untyped-def]
            return [p - 1.0 for p in params]

        training = sy.ModelCentricFLClient(address=url, secure=False)
        training.connect()
        training.host_federated_training(
            model=example,
            client_plans={"training_plan": training_plan},
            client_protocols={},
            server_averaging_plan=None,
            client_config={"name": NAME, "version": VERSION},
            server_config={"num_cycles": cycles, "max_diffs": WORKERS, "min_workers": WORKERS,
                           "max_workers": WORKERS, "cycle_length": 600},
        )  # fmt: skip
        crew = [Crew(url, index) for index in range(WORKERS)]
        for worker in crew:
            worker.start()

        completed = 0
        for kill in range(KILLS):
            wait_for_reports(crew)  # the workers have come back by themselves: the training runs
            time.sleep(dice.uniform(0.0, 0.3))
            nodes[-1].kill()
            nodes.append(start(tmp_path / "domain", port, database_url))
            assert owner.metadata.node_id == node_id, kill
            assert owner.me.id == user_id, kill  # the session outlives the process too
            assert [d.name for d in owner.datasets.all()] == [dataset.name], kill
            (process,) = owner.call(ListProcesses(name=NAME)).processes
            assert process.cycles_completed >= completed, kill
            assert process.status == "running", kill
            completed = process.cycles_completed
        assert [worker.error for worker in crew] == [None, None]

        wait_for_reports(crew)
        owner.trainings.cancel(process.process_id)
        for worker in crew:
            worker.join(120)
            assert not worker.is_alive()

        (process,) = owner.call(ListProcesses(name=NAME)).processes
        assert process.cycles_completed >= KILLS, "too little happened between the kills"
        assert process.checkpoint == process.cycles_completed + 1
        model = list(training.retrieve_model(NAME, VERSION))
        for parameter in model:
            # 1.5 × cycles is exact in float32: one lost or doubled update would show.
            assert torch.equal(parameter, torch.full_like(parameter, -1.5 * process.cycles_completed))
        included = count_included(owner, process.process_id)
        assert included == process.cycles_completed * WORKERS
        for worker in crew:
            assert worker.acknowledged >= process.cycles_completed


def wait_for_reports(crew: list[Crew]) -> None:
    """Until every worker had a report acknowledged since now."""
    before = [worker.acknowledged for worker in crew]
    deadline = time.monotonic() + 120
    while any(worker.acknowledged == count for worker, count in zip(crew, before, strict=True)):
        assert time.monotonic() < deadline, f"the training did not go on: {[w.error for w in crew]}"
        assert not any(worker.error for worker in crew)
        time.sleep(0.02)


def count_included(owner: sy.DomainClient, process_id: str) -> int:
    """Assignments whose report went into a model, from the append-only history."""
    included, after = 0, 0
    while True:
        page = owner.call(ProcessHistory(process_id=process_id, after=after, limit=1000))
        included += sum(e.entity == "assignment" and e.after == "included" for e in page.events)
        if not page.events:
            return included
        after = page.last


def test_nobody_answers_while_the_domain_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path / "user"))
    with phoenix(tmp_path / "domain", f"sqlite:///{tmp_path}/node.db") as nodes:
        owner = sy.login(nodes[0].url, EMAIL, PASSWORD)
        nodes[0].kill()
        with pytest.raises(GridError) as caught:
            _ = owner.me
        assert caught.value.code == "unavailable"
