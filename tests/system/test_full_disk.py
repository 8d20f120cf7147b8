"""A disk that is full for a while, with a training running: nothing ends, and it goes on by itself."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import syft_ext as sy
from syft_ext.errors import Unavailable
from tests.nodes import NodeProcess
from tests.sdk.live import EMAIL, PASSWORD, log_in

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """80 MB; skips where nothing may be mounted."""
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "none", str(path)], capture_output=True)
    if done.returncode:
        pytest.skip("no right to mount a small disk")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=False)


@sy.make_plan
def less(params=sy.List([torch.zeros(30_000)])):  # type: ignore[no-untyped-def]
    return [param - 1.0 for param in params]


def until(condition: Callable[[], object], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.2)


def ready(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, json.dumps(error.read().decode())


def test_a_full_disk_ends_nothing(small_disk: Path) -> None:
    owner = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD}
    node = NodeProcess(
        "domain", small_disk / "home", ["--host", "127.0.0.1", "--port", "0"], environment=owner
    )
    try:
        client = log_in(node.url, save=True)
        training = sy.ModelCentricFLClient(node.url).host_federated_training(
            model=[torch.zeros(30_000)],
            client_plans={"training_plan": less},
            client_config={"name": "endless", "version": "1"},
            server_config={"num_cycles": 0, "max_diffs": 1, "max_workers": 1},
        )
        job = sy.FLClient(url=node.url, auth_token="").new_job("endless", "1")
        ended: list[object] = []

        def work() -> None:
            try:
                ended.append(job.run(lambda job: job.report([p - 1.0 for p in job.model], samples=1)))
            except BaseException as error:
                ended.append(error)

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        until(lambda: training.refresh().view.cycles_completed >= 2)
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"x" * 65536)
        try:  # what is left goes bit by bit
            for _ in range(2000):
                with ballast.open("ab", buffering=0) as file:
                    file.write(b"x" * 512)
        except OSError:
            pass
        time.sleep(4)
        code, said = ready(node.url)
        assert code == 503 and "full" in said
        with pytest.raises(Unavailable, match="full"):
            for _ in range(200):
                client.store.put(torch.randn(20_000))
        assert not ended
        ballast.unlink()
        reached = training.refresh().view.cycles_completed
        until(lambda: training.refresh().view.cycles_completed >= reached + 3)
        assert not ended and training.view.status == "running"
        client.store.put(torch.randn(20_000))
        job.stop()
        worker.join(60)
        assert getattr(ended[0], "reason", ended[0]) == "stopped"
        assert log_in(node.url).me.email == EMAIL
    finally:
        node.kill()
