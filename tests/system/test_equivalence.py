"""Federated averaging over equal-size full-batch steps is the centralised step (McMahan et al. 2017, §2)."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from torch.func import functional_call

import syft_ext as sy
from tests.nodes import NodeProcess

EMAIL, PASSWORD = "owner@equal.example", "correct horse battery staple"
WORKERS, ROWS, CYCLES, RATE = 4, 32, 3, 0.5


def model() -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))


def step_of(net: torch.nn.Module):  # type: ignore[no-untyped-def]
    names = [name for name, _ in net.named_parameters()]

    def step(x, y, lr, params):  # type: ignore[no-untyped-def]
        leaves = [p.detach().requires_grad_() for p in params]
        logits = functional_call(net, dict(zip(names, leaves, strict=True)), (x,))
        loss = torch.nn.functional.cross_entropy(logits, y)
        loss.backward()
        with torch.no_grad():
            return [p - lr * p.grad for p in leaves]

    return step


def test_federated_mean_of_full_batch_steps_is_the_centralised_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path / "user"))
    net, lr = model(), torch.tensor(RATE)
    torch.manual_seed(5)
    x, y = torch.randn(WORKERS * ROWS, 6), torch.randint(0, 3, (WORKERS * ROWS,))
    step = step_of(net)
    start = [p.detach().clone() for p in net.parameters()]
    plan = sy.make_plan(symbols={"x": {0: "B"}, "y": {0: "B"}})(
        with_defaults(step, x[:ROWS], y[:ROWS], lr, start)
    )
    environment = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD}
    with NodeProcess("domain", tmp_path / "domain", ["--port", "0"], environment=environment) as node:
        sy.login(node.url, EMAIL, PASSWORD)
        client = sy.ModelCentricFLClient(address=node.url, secure=False)
        client.connect()
        client.host_federated_training(
            model=net,
            client_plans={"training_plan": plan},
            client_protocols={},
            server_averaging_plan=None,
            client_config={"name": "equal", "version": "1"},
            server_config={"num_cycles": CYCLES, "max_diffs": WORKERS, "max_workers": WORKERS,
                           "min_workers": WORKERS, "cycle_length": 60},
        )  # fmt: skip

        def work(index: int) -> None:
            rows = slice(index * ROWS, (index + 1) * ROWS)

            def train(job: sy.FLJob) -> None:
                trained = job.plans["training_plan"](x=x[rows], y=y[rows], lr=lr, params=job.model)
                job.report(trained, samples=ROWS)

            sy.FLClient(url=node.url, auth_token="", secure=False).new_job("equal", "1").run(train=train)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        central = start
        for cycle in range(1, CYCLES + 1):
            central = step(x, y, lr, central)
            federated = list(client.retrieve_model("equal", "1", checkpoint=cycle + 1))
            for ours, theirs in zip(federated, central, strict=True):
                assert torch.allclose(ours, theirs, rtol=0, atol=1e-6), cycle
        # …and training did move the model, so that the comparison says something.
        assert any((a - b).abs().max() > 1e-2 for a, b in zip(start, central, strict=True))


def with_defaults(step, x, y, lr, params):  # type: ignore[no-untyped-def]
    """The step with its examples as default values, as ``make_plan`` wants it."""

    def training_plan(x=x, y=y, lr=lr, params=sy.List(params)):  # type: ignore[no-untyped-def]
        return step(x, y, lr, params)

    return training_plan
