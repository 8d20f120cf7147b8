"""A real Domain is killed, and the model that it had just made is not on the disk: a power cut, as far as one can.

Reports are kept by the test as they appear: a real power cut would find them, nothing is deleted before the model
that was made of them is synced; here it was synced, and they may be gone.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import syft_ext as sy
from tests.nodes import NodeProcess

EMAIL, PASSWORD = "owner@cut.example", "correct horse battery staple"
CYCLES = 5


@contextlib.contextmanager
def domain(home: Path, port: int = 0) -> Iterator[NodeProcess]:
    """A Domain on its embedded database, which ends as a machine without power does."""
    environment = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD, "GRID_DATABASE_URL": ""}
    node = NodeProcess(
        "domain",
        home,
        ["--host", "127.0.0.1", "--port", str(port), "--name", "cut"],
        environment=environment,
    )
    try:
        yield node
    finally:
        node.kill()


@contextlib.contextmanager
def kept(contents: Path) -> Iterator[dict[str, bytes]]:
    """Every content that appears in the directory meanwhile."""
    found: dict[str, bytes] = {}
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.002):
            for path in contents.iterdir():
                if path.name not in found:
                    with contextlib.suppress(FileNotFoundError):
                        found[path.name] = path.read_bytes()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def host(url: str) -> None:
    example = [torch.zeros(30, 4), torch.zeros(5)]

    @sy.make_plan
    def training_plan(params=sy.List(example)):  # type: ignore[no-untyped-def]
        return [p - 1.0 for p in params]

    @sy.make_plan
    def averaging_plan(avg=sy.List(example), item=sy.List(example), num=sy.Int(0)):  # type: ignore[no-untyped-def]
        return [(a * num + i) / (num + 1) for a, i in zip(avg, item, strict=True)]

    client = sy.ModelCentricFLClient(address=url, secure=False)
    client.connect()
    client.host_federated_training(
        model=example,
        client_plans={"training_plan": training_plan},
        client_protocols={},
        server_averaging_plan=averaging_plan,
        client_config={"name": "cut", "version": "1"},
        server_config={"num_cycles": CYCLES, "max_diffs": 2, "min_workers": 2, "max_workers": 2,
                       "cycle_length": 600, "iterative_plan": True},
    )  # fmt: skip


def take_part(url: str, cycles: int | None = None) -> None:
    """Two workers; together they move every parameter by -1.5 in a cycle."""

    def work(step: float) -> None:
        def train(job: sy.FLJob) -> None:
            job.report([p - step for p in job.model], samples=1)

        client = sy.FLClient(url=url, auth_token="", secure=False)
        client.new_job("cut", "1").run(train=train, max_cycles=cycles)

    threads = [threading.Thread(target=work, args=(step,)) for step in (1.0, 2.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def lose_the_model(home: Path, number: int) -> tuple[Path, bytes]:
    """Zeros in the place of this checkpoint's content: its file, and what was in it."""
    with contextlib.closing(sqlite3.connect(home / "node.db")) as database:
        query = "SELECT number, blob_digest FROM fl_checkpoint ORDER BY number DESC LIMIT 1"
        latest, digest = database.execute(query).fetchone()
    assert latest == number
    path = home / "blobs" / "contents" / digest
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(bytes(len(content)))
    return path, content


def cut_after_two_cycles(home: Path) -> tuple[int, dict[str, bytes]]:
    """Port of the Domain, and all contents that there were."""
    with domain(home) as node, kept(home / "blobs" / "contents") as contents:
        owner = sy.login(node.url, EMAIL, PASSWORD)
        host(node.url)
        take_part(node.url, cycles=2)
        while owner.trainings["cut"].view.cycles_completed < 2:
            time.sleep(0.01)
        return int(node.url.rsplit(":", 1)[1]), contents


@pytest.mark.slow
@pytest.mark.parametrize("reports", [True, False])
def test_the_model_is_made_again_or_the_training_ends(
    reports: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path / "user"))
    home = tmp_path / "domain"
    port, contents = cut_after_two_cycles(home)
    path, model = lose_the_model(home, number=3)
    for name, content in contents.items():
        if name != path.name:
            path.with_name(name).unlink(missing_ok=True)
            if reports:
                path.with_name(name).write_bytes(content)
    with domain(home, port) as node:
        owner = sy.login(node.url, EMAIL, PASSWORD)
        if reports:
            assert path.read_bytes() == model, "to the last bit"
            take_part(node.url)
            client = sy.ModelCentricFLClient(address=node.url, secure=False)
            client.connect()
            for tensor in client.retrieve_model("cut", "1"):
                assert torch.equal(tensor, torch.full_like(tensor, -1.5 * CYCLES))
            assert owner.trainings["cut"].view.status == "completed"
        else:
            assert owner.trainings["cut"].view.status == "failed"
            assert "model 3 was lost (a power cut, or a damaged disk)" in owner.trainings["cut"].view.reason
            assert not path.exists(), "zeros are given to nobody"
