"""A training over WebRTC at a Domain that nobody can connect to; its gateway is killed in the midst of reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

import syft_ext as sy
from syft_ext.federated import RunSummary
from syft_ext.messages.network import RequestAssociation
from tests.nodes import NodeProcess
from tests.peers.pool import until
from tests.processes import descendants
from tests.sdk.live import EMAIL, PASSWORD

OWNER = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD}
SIZE = 1 << 20  # numbers in a report: 4 MB
CYCLES, WORKERS = 3, 2


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    root = tmp_path_factory.mktemp("peers")
    flags = ["--host", "127.0.0.1", "--port", "0"]
    network = NodeProcess(
        "network", root / "net", [*flags, "--name", "net", "--auto-accept"], environment=OWNER
    )
    domain = NodeProcess(
        "domain",
        root / "north",
        [*flags, "--name", "north", "--keep-line", "--heartbeat-interval", "1", "--peers"],
        environment=OWNER,
    )
    yield network, domain
    domain.kill()
    network.kill()


def gateway_of(domain: NodeProcess) -> psutil.Process | None:
    """The Domain's gateway, while one runs."""
    for child in descendants(domain.process.pid):
        try:
            if "grid.peers.gateway" in child.cmdline():
                return child
        except psutil.Error:
            continue
    return None


@pytest.mark.slow
def test_a_training_over_webrtc_survives_the_gateways_end(
    nodes: tuple[NodeProcess, NodeProcess], own_folder: Path
) -> None:
    """Each cycle moves every number by exactly 1, once: a lost or doubled report would show."""
    network, domain = nodes
    owner = sy.login(domain.url, EMAIL, PASSWORD)
    owner.call(RequestAssociation(address=network.url))
    address = f"{network.url.replace('http', 'webrtc+http', 1)}/{owner.verify_key}"
    until(lambda: gateway_of(domain) is not None)
    sy.login(address, EMAIL, PASSWORD, save=True)

    @sy.make_plan
    def training_plan(
        xs: torch.Tensor = torch.zeros(2, 1),
        lr: torch.Tensor = torch.tensor(0.1),
        params=sy.List([torch.zeros(SIZE)]),
    ):
        loss = (xs.sum() - params[0].sum()) ** 2
        return (loss, *[p - lr * p for p in params])

    training = sy.ModelCentricFLClient(domain.url).host_federated_training(
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
    ways: list[str] = []
    trained = threading.Semaphore(0)

    def work() -> None:
        def train(job: sy.FLJob) -> list[torch.Tensor]:
            ways.append(client.path["taken"])
            trained.release()
            return [parameter + 1 for parameter in job.model]

        client = sy.FLClient(address)
        summaries.append(client.new_job("far", "1.0").run(train))
        client.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    assert trained.acquire(timeout=120)
    before = gateway_of(domain)
    assert before is not None
    time.sleep(0.1)  # a report is on its way, or is about to be: either must hold
    before.kill()
    until(lambda: (now := gateway_of(domain)) is not None and now.pid != before.pid)
    metrics = training.watch(timeout=240)
    for thread in threads:
        thread.join(60)
    assert [summary.reason for summary in summaries] == ["over"] * WORKERS
    assert [(cycle.status, cycle.reported) for cycle in metrics] == [("completed", WORKERS)] * CYCLES
    (numbers,) = training.model()
    assert set(numbers.tolist()) == {float(CYCLES)}
    assert set(ways) == {"webrtc"}
