"""PostgreSQL ends every connection of a node, again and again, while a training runs: it counts right."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import torch

import syft_ext as sy
from syft_ext.federated import RunSummary
from tests.nodes import NodeProcess
from tests.sdk.live import EMAIL, PASSWORD, log_in
from tests.sdk.scripted import least_squares
from tests.user_folder import fresh_user

CYCLES, ENDINGS = 16, 6


@pytest.fixture
def domain(postgresql_url: str, tmp_path: Path) -> Iterator[NodeProcess]:
    environment = {
        "GRID_DATABASE_URL": postgresql_url,
        "GRID_OWNER_EMAIL": EMAIL,
        "GRID_OWNER_PASSWORD": PASSWORD,
    }
    node = NodeProcess("domain", tmp_path / "home", ["--port", "0"], environment=environment)
    with fresh_user(tmp_path / "user"), node:
        yield node


@pytest.mark.postgres
@pytest.mark.slow
def test_a_training_outlives_its_database_connections(domain: NodeProcess, postgresql_url: str) -> None:
    log_in(domain.url, save=True)
    training = sy.ModelCentricFLClient(domain.url).host_federated_training(
        model=[torch.zeros(2), torch.zeros(1)],
        client_plans={"training_plan": least_squares()},
        client_config={"name": "line", "version": "1.0"},
        server_config={"num_cycles": CYCLES, "max_diffs": 1, "max_workers": 1, "cycle_length": 3600},
    )
    trained = threading.Semaphore(0)
    summaries: list[RunSummary] = []

    def work() -> None:
        def train(job: sy.FLJob) -> list[torch.Tensor]:
            trained.release()
            return [parameter + 1 for parameter in job.model]

        summaries.append(sy.FLClient(domain.url).new_job("line", "1.0").run(train))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    ended = 0
    with psycopg.connect(postgresql_url, autocommit=True) as administrator:
        for _ in range(ENDINGS):
            assert trained.acquire(timeout=240)
            ended += len(
                administrator.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name = 'grid'"
                ).fetchall()
            )
    assert ended >= ENDINGS
    metrics = training.watch(timeout=120)
    worker.join(60)
    assert [summary.reason for summary in summaries] == ["over"]
    assert [(cycle.status, cycle.reported) for cycle in metrics] == [("completed", 1)] * CYCLES
    (weights, bias) = training.model()
    assert [*weights.tolist(), *bias.tolist()] == [float(CYCLES)] * 3
