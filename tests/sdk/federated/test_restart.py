"""The Domain is killed and started again while workers train: they come back, and nothing counts twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import syft_ext as sy
from syft_ext.federated import RunSummary
from tests.nodes import NodeProcess
from tests.sdk.live import EMAIL, PASSWORD, log_in
from tests.sdk.scripted import least_squares

CYCLES, WORKERS = 12, 2


class Phoenix:
    """A Domain in a process of its own, always at the same port with the same state."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, 0
        self.start()

    def start(self) -> None:
        owner = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD}
        arguments = ["--host", "127.0.0.1", "--port", str(self.port), "--name", "phoenix"]
        self.node = NodeProcess("domain", self.home, arguments, environment=owner)
        self.url = self.node.url
        self.port = int(self.url.rsplit(":", 1)[1])

    def kill(self) -> None:
        self.node.kill()


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    phoenix = Phoenix(tmp_path_factory.mktemp("phoenix"))
    yield phoenix
    phoenix.kill()


def host(url: str, cycles: int) -> sy.Training:
    return sy.ModelCentricFLClient(url).host_federated_training(
        model=[torch.zeros(2), torch.zeros(1)],
        client_plans={"training_plan": least_squares()},
        client_config={"name": "line", "version": "1.0"},
        server_config={
            "num_cycles": cycles,
            "max_diffs": WORKERS,
            "min_workers": WORKERS,
            "max_workers": WORKERS,
            "cycle_length": 3600,
        },
    )


@pytest.mark.slow
def test_workers_survive_kill_9_of_the_domain(phoenix: Phoenix) -> None:
    owner = log_in(phoenix.url)
    node_id = owner.id
    training = host(phoenix.url, CYCLES)
    summaries: list[RunSummary] = []
    trained = threading.Semaphore(0)

    def work() -> None:
        def train(job: sy.FLJob) -> list[torch.Tensor]:
            trained.release()
            time.sleep(0.02)  # so that the kills below hit reports too, not only waits
            return [parameter + 1 for parameter in job.model]

        summaries.append(sy.FLClient(phoenix.url).new_job("line", "1.0").run(train))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for kill in range(3):
        for _ in range(2 * WORKERS):
            assert trained.acquire(timeout=240)
        time.sleep(0.01 * kill)
        phoenix.kill()
        phoenix.start()
    metrics = training.watch(timeout=120)
    for thread in threads:
        thread.join(60)
    assert owner.metadata.node_id == node_id
    assert [summary.reason for summary in summaries] == ["over"] * WORKERS
    assert len(metrics) == CYCLES
    assert [(cycle.status, cycle.reported) for cycle in metrics] == [("completed", WORKERS)] * CYCLES
    # Each cycle moves every parameter by exactly 1, once: a lost or doubled report would show.
    (weights, bias) = training.model()
    assert [*weights.tolist(), *bias.tolist()] == [float(CYCLES)] * 3


@pytest.mark.slow
def test_a_killed_process_of_a_user_comes_back_to_its_assignment(phoenix: Phoenix, own_folder: Path) -> None:
    log_in(phoenix.url, save=True)  # for the processes, too
    training = sy.ModelCentricFLClient(phoenix.url).host_federated_training(
        model=[torch.zeros(2), torch.zeros(1)],
        client_plans={"training_plan": least_squares()},
        client_config={"name": "killed", "version": "1.0"},
        server_config={"num_cycles": 1, "max_diffs": 1, "max_workers": 1, "cycle_length": 3600},
    )
    code = (
        "import sys, time, syft_ext as sy\n"
        "def train(job):\n"
        "    print(job.assignment.assignment_id, flush=True)\n"
        "    time.sleep(600)\n"
        "sy.FLClient(sys.argv[1]).new_job('killed', '1.0').run(train)\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", code, phoenix.url],
        env={**os.environ, "GRID_USER_HOME": str(own_folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline().startswith("killed 1.0: runs training_plan")
    assignment = worker.stdout.readline().strip()
    beside = sy.FLClient(phoenix.url)  # while the first lives, it is another worker
    worker.kill()
    worker.communicate(timeout=30)
    again: list[str] = []

    def train(job: sy.FLJob) -> list[torch.Tensor]:
        assert job.assignment is not None
        again.append(job.assignment.assignment_id)
        return job.model

    with sy.FLClient(phoenix.url) as client:
        assert client.device != beside.device
        assert client.new_job("killed", "1.0").run(train).cycles == 1
    assert again == [assignment]
    after = [event.after for event in training.history() if event.entity == "assignment"]
    assert after == ["assigned", "reported", "included"]
    beside.close()


@pytest.mark.slow
def test_an_upload_goes_on_after_kill_9_of_the_domain(phoenix: Phoenix) -> None:
    client = log_in(phoenix.url)
    values = torch.randn(12_000_000)
    outcome: list[BaseException | None] = []

    def create() -> None:
        try:
            client.datasets.create("large", {"data": values})
            outcome.append(None)
        except sy.GridError as error:
            outcome.append(error)

    def arrived() -> dict[str, int]:
        found = (phoenix.home / "blobs" / "uploads").glob("*")
        return {file.name: file.stat().st_size for file in found if file.is_file()}

    uploading = threading.Thread(target=create, daemon=True)
    uploading.start()
    deadline = time.monotonic() + 60
    while not any(size > 4 << 20 for size in arrived().values()):
        assert time.monotonic() < deadline and uploading.is_alive(), outcome
        time.sleep(0.001)
    phoenix.kill()
    names = set(arrived())
    phoenix.start()
    for _ in range(2):  # where it was away for longer than a call waits, the same call again goes on
        while uploading.is_alive():
            names |= set(arrived())
            time.sleep(0.001)
        if outcome[-1] is not None:
            uploading = threading.Thread(target=create, daemon=True)
            uploading.start()
    assert outcome[-1] is None
    assert len(names) == 1, "nothing was begun anew"
    assert torch.equal(client.datasets["large"]["data"].data, values)
    client.datasets["large"].delete()
    client.close()


@pytest.mark.slow
def test_an_interrupted_worker_frees_its_slot(phoenix: Phoenix, own_folder: Path) -> None:
    log_in(phoenix.url, save=True)  # for the worker, too
    training = sy.ModelCentricFLClient(phoenix.url).host_federated_training(
        model=[torch.zeros(2), torch.zeros(1)],
        client_plans={"training_plan": least_squares()},
        client_config={"name": "interrupted", "version": "1.0"},
        server_config={"num_cycles": 1, "max_diffs": 1, "max_workers": 1, "cycle_length": 3600},
    )
    code = (
        "import signal, sys, time, syft_ext as sy\n"
        # Whoever runs the tests in the background has it ignored, and children inherit that.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def train(job):\n"
        "    print('training', flush=True)\n"
        "    time.sleep(600)\n"
        "sy.FLClient(sys.argv[1]).new_job('interrupted', '1.0').run(train)\n"
    )
    environment = {**os.environ, "GRID_USER_HOME": str(own_folder)}
    worker = subprocess.Popen(
        [sys.executable, "-c", code, phoenix.url],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline().startswith("interrupted 1.0: runs training_plan")
    assert worker.stdout.readline() == "training\n"
    worker.send_signal(2)  # Ctrl-C
    _, errors = worker.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    after = [event.after for event in training.history() if event.entity == "assignment"]
    assert after == ["assigned", "failed-by-worker"]
    job = sy.FLClient(phoenix.url).new_job("interrupted", "1.0")
    assert job.run(lambda job: job.model).cycles == 1
