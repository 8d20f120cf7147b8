"""Workers take part in a training of encrypted reports by themselves: real nodes, whose key is its host's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import syft_ext as sy
from tests.apps.conftest import Nodes
from tests.worker.test_training import accept, data, hosted

pytestmark = pytest.mark.slow


def test_two_workers_and_a_holder_train_a_model(nodes: Nodes, tmp_path: Path) -> None:
    domain = nodes.start("domain", "d")
    nodes.login(domain, save=True)
    workers = []
    for number in range(2):
        flags = ("--domain", domain.url, "--data", str(data(tmp_path, number)))
        workers.append(
            nodes.start("worker", f"w{number}", *flags, "--training", "cancer/*", "--trust", "owner")
        )
        accept(domain, f"w{number}")
    keys = sy.EncryptionKeys.generate()
    hosted(
        domain.url,
        "cancer",
        {"num_cycles": 2, "max_diffs": 2, "max_workers": 2, "assignment_timeout": 120},
        encrypted=sy.EncryptedSums(keys=keys, clip=4.0),
    )
    client = sy.ModelCentricFLClient(address=domain.url)
    client.connect()
    training = client.training("cancer", "1.0").open_sums(keys, timeout=300)
    assert training.status == "completed", training.view.reason
    first, last = (client.retrieve_model("cancer", "1.0", number) for number in (1, 3))
    assert any(float((b - a).abs().max()) > 0.01 for a, b in zip(first, last, strict=True))
    rows = [np.loadtxt(data(tmp_path, number), delimiter=",", skiprows=1) for number in range(2)]
    x, y = np.concatenate(rows)[:, :4], np.concatenate(rows)[:, 4]
    weight, bias = (torch.as_tensor(value, dtype=torch.float64) for value in last)
    right = (torch.as_tensor(x) @ weight.T + bias).argmax(1) == torch.as_tensor(y)
    assert float(right.double().mean()) > 0.7
    metrics = training.metrics()
    assert [cycle.loss for cycle in metrics] == [None, None], "nothing is told beside an encrypted report"
