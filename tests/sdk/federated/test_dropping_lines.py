"""Uploads and downloads over a line that drops: each goes on where it stopped, and is checked as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import syft_ext as sy
from grid.web.testing import ServedNode
from syft_ext.transport import backoff
from tests.dropping_proxy import DroppingProxy
from tests.sdk.live import log_in, serve

FLOATS = 300_000
"""Of a model of 1.2 MB, over a line that holds for 0.2 MB."""
LIMIT = 200_000


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("dropping")
        served = serve(home / "home", f"sqlite:///{home}/node.db", patch)
        yield served
        served.close()


@pytest.fixture
def line(node: ServedNode, monkeypatch: pytest.MonkeyPatch) -> Iterator[DroppingProxy]:
    monkeypatch.setattr(backoff.Backoff, "wait", lambda self: bool(self.next_delay()) or True)
    with DroppingProxy(int(node.url.rsplit(":", 1)[1]), LIMIT) as proxy:
        yield proxy


@sy.make_plan
def nothing(params=sy.List([torch.zeros(FLOATS)])):  # type: ignore[no-untyped-def]
    return [param - 1.0 for param in params]


def test_datasets_go_up_and_come_down(line: DroppingProxy, tmp_path: Path) -> None:
    client = log_in(line.url)
    values = torch.randn(FLOATS)
    dataset = client.datasets.create("large", {"data": values})
    assert line.cuts > 3
    before = line.cuts
    assert torch.equal(client.datasets["large"]["data"].data, values)
    client.datasets["large"]["data"].save(tmp_path / "large.safetensors")
    assert line.cuts > before + 6
    assert dataset.name == "large"
    client.close()


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_a_training_whose_models_and_reports_are_larger_than_the_line_holds(
    line: DroppingProxy, scheme: str
) -> None:
    log_in(line.url, save=True)
    first = torch.randn(FLOATS)
    host = sy.ModelCentricFLClient(line.url)
    training = host.host_federated_training(
        model=[first],
        client_plans={"training_plan": nothing},
        client_config={"name": scheme, "version": "1"},
        server_config={"num_cycles": 1, "max_diffs": 1},
    )
    assert training.status == "running" and line.cuts > 3
    before = line.cuts
    url = line.url.replace("http", scheme)
    with sy.FLClient(url=url, auth_token="") as worker:
        summary = worker.new_job(scheme, "1").run(
            lambda job: job.report([param - 1.0 for param in job.model], samples=1)
        )
    assert (summary.cycles, summary.reason) == (1, "over")
    assert line.cuts > before + 6
    after = host.retrieve_model(scheme, "1")
    torch.testing.assert_close(after[0], first - 1.0)
    host.close()
