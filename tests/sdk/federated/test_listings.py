"""Listings 4 to 8 of the paper against a live Domain, each side a process of its own; the model improves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import syft_ext as sy
from grid.web.testing import ServedNode
from tests.sdk.live import log_in, serve

LISTINGS = Path(__file__).parent / "listings"
CYCLES = 30
#: The script as it stands, but for its rest: listing 8 sleeps for a second after each cycle.
RUNNER = """\
import runpy, sys, time
sleep = time.sleep
time.sleep = lambda seconds: sleep(seconds / 20)
sys.path[0] = sys.argv[1]
runpy.run_path(f"{sys.argv[1]}/{sys.argv[2]}", run_name="__main__")
"""


@pytest.fixture
def domain(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedNode]:
    with serve(tmp_path / "home", sqlite_url, monkeypatch) as served:
        yield served


def run(script: str, address: str, own_folder: Path) -> str:
    environment = {
        **os.environ,
        "GRID_ADDRESS": address,
        "GRID_USER_HOME": str(own_folder),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", RUNNER, str(LISTINGS), script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def accuracy(parameters: sy.Parameters) -> float:
    """Right answers on held-out digits."""
    w1, b1, w2, b2 = parameters
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = torch.zeros(len(images), 28, 28)
    x[:, 10:18, 10:18] = torch.tensor(images, dtype=torch.float32).reshape(-1, 8, 8) / 16
    logits = torch.relu(x[1500:].reshape(-1, 784) @ w1.T + b1) @ w2.T + b2
    return float((logits.argmax(1) == torch.tensor(labels[1500:])).float().mean())


@pytest.mark.slow
def test_the_papers_listings_train_a_model(domain: ServedNode, own_folder: Path) -> None:
    log_in(domain.url, save=True)  # once, as with `grid login`: the listings pass no credentials
    address = domain.url.removeprefix("http://")
    assert "hosted <Training 'mnist' '1.0' running" in run("host.py", address, own_folder)
    said, *output = run("train.py", address, own_folder).splitlines()
    assert "mnist 1.0: runs training_plan" in said and "its host decides at this Domain" in said
    assert output == [*(f"Accepted into cycle {n}!" for n in range(1, CYCLES + 1)), "FL training is done)"]

    client = sy.ModelCentricFLClient(address)
    training = client.training("mnist", "1.0")
    assert training.view.status == "completed"
    metrics = training.metrics()
    assert [cycle.reported for cycle in metrics] == [1] * CYCLES
    assert all(cycle.samples == 23 * 64 for cycle in metrics)  # 1,500 images, full batches only
    first, last = metrics[0].loss, metrics[-1].loss
    assert first is not None and last is not None and last < first / 5
    before, after = (accuracy(client.retrieve_model("mnist", "1.0", n)) for n in (1, "latest"))
    assert before < 0.3
    assert after > 0.85
