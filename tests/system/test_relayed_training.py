"""A Domain that nobody can connect to trains, through a Network; both are killed in the middle of reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import syft_ext as sy
from syft_ext.federated import RunSummary
from syft_ext.messages.network import RequestAssociation
from syft_ext.transport.relayed.relay import relay_address
from tests.nodes import NodeProcess
from tests.sdk.live import EMAIL, PASSWORD

OWNER = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD}
SIZE = 1 << 20  # numbers in a report: 4 MB
CYCLES, WORKERS = 4, 2


class Mortal:
    """A node in a process of its own that comes back at the same port, with the same state."""

    def __init__(self, kind: str, home: Path, *flags: str) -> None:
        self._kind, self._home, self._flags, self._port = kind, home, flags, "0"
        self.start()

    def start(self) -> None:
        arguments = ["--host", "127.0.0.1", "--port", self._port, *self._flags]
        self.node = NodeProcess(self._kind, self._home, arguments, environment=OWNER)
        self.url, self._port = self.node.url, self.node.url.rsplit(":", 1)[1]

    def kill_and_start(self) -> None:
        self.node.kill()
        self.start()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mortal, Mortal]]:
    root = tmp_path_factory.mktemp("relayed")
    network = Mortal("network", root / "net", "--name", "net", "--auto-accept")
    domain = Mortal("domain", root / "north", "--name", "north", "--keep-line", "--heartbeat-interval", "1")
    yield network, domain
    domain.node.kill()
    network.node.kill()


@pytest.mark.slow
def test_a_training_through_a_network_survives_kills(nodes: tuple[Mortal, Mortal], own_folder: Path) -> None:
    """Each cycle moves every number by exactly 1, once: a lost or doubled report would show."""
    network, domain = nodes
    owner = sy.login(domain.url, EMAIL, PASSWORD)
    owner.call(RequestAssociation(address=network.url))
    view = sy.login(network.url, EMAIL, PASSWORD).domains["north"]  # type: ignore[attr-defined]
    assert view.address == ""
    through = relay_address(network.url, view.verify_key)
    sy.login(through, EMAIL, PASSWORD, save=True)

    @sy.make_plan
    def training_plan(
        xs: torch.Tensor = torch.zeros(2, 1),
        lr: torch.Tensor = torch.tensor(0.1),
        params=sy.List([torch.zeros(SIZE)]),
    ):
        loss = (xs.sum() - params[0].sum()) ** 2
        return (loss, *[p - lr * p for p in params])

    training = sy.ModelCentricFLClient(through).host_federated_training(
        model=[torch.zeros(SIZE)],
        client_plans={"training_plan": training_plan},
        client_config={"name": "far", "version": "1.0"},
        server_config={
            "num_cycles": CYCLES,
            "max_diffs": WORKERS,
            "min_workers": WORKERS,
            "max_workers": WORKERS,
            "cycle_length": 3600,
        },
    )
    summaries: list[RunSummary] = []
    trained = threading.Semaphore(0)

    def work() -> None:
        def train(job: sy.FLJob) -> list[torch.Tensor]:
            trained.release()
            return [parameter + 1 for parameter in job.model]

        summaries.append(sy.FLClient(through).new_job("far", "1.0").run(train))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for victim in (network, domain, network):
        assert trained.acquire(timeout=90)
        time.sleep(0.02)
        victim.kill_and_start()
    metrics = training.watch(timeout=180)
    for thread in threads:
        thread.join(60)
    assert [summary.reason for summary in summaries] == ["over"] * WORKERS
    assert [(cycle.status, cycle.reported) for cycle in metrics] == [("completed", WORKERS)] * CYCLES
    (numbers,) = training.model()
    assert set(numbers.tolist()) == {float(CYCLES)}
