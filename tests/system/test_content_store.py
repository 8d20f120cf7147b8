"""A Domain whose contents are in another store than files, named by a URL, as an installed package offers it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import demo.processes
import syft_ext as sy
from syft_ext.messages import objects as m
from tests.storage.blobs.bucket import Bucket, BucketStore
from tests.system.test_equivalence import model, step_of, with_defaults

EMAIL, PASSWORD = "owner@bucket.example", "correct horse battery staple"
ROOT = Path(__file__).resolve().parents[2]
ROWS, CYCLES = 16, 2


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The bucket installed, as an entry point that a new process finds."""
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path / "user"))
    info = tmp_path / "packages" / "bucket-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bucket\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[grid.content_stores]\nbucket = tests.storage.blobs.bucket:open_url\n"
    )
    return {
        "GRID_OWNER_EMAIL": EMAIL,
        "GRID_OWNER_PASSWORD": PASSWORD,
        "GRID_CONTENTS": f"bucket://{tmp_path}/bucket",
        "PYTHONPATH": os.pathsep.join([str(info.parent), str(ROOT)]),
    }


def start(tmp_path: Path, environment: dict[str, str]) -> demo.processes.NodeProcess:
    return demo.processes.NodeProcess("domain", tmp_path / "domain", ["--port", "0"], environment=environment)


@pytest.fixture
def domain(tmp_path: Path, environment: dict[str, str]) -> Iterator[demo.processes.NodeProcess]:
    node = start(tmp_path, environment)
    yield node
    node.kill()


@pytest.mark.slow
def test_a_domain_on_another_store(
    tmp_path: Path, environment: dict[str, str], domain: demo.processes.NodeProcess
) -> None:
    client = sy.login(domain.url, EMAIL, PASSWORD)
    assert isinstance(client, sy.DomainClient)
    table = np.arange(600_000, dtype=np.float64).reshape(-1, 3)  # 4.8 MB: uploaded in parts
    client.datasets.create("readings", {"x": table}, description="three columns of numbers")
    (hit,) = client.search("columns of numbers")
    assert hit.name == "readings"
    np.testing.assert_array_equal(client.datasets["readings"]["x"].data, table)

    # A table that the Domain converts itself, in a child process that needs a file.
    text = b"age,dose\n" + b"".join(b"%d,%d.5\n" % (n, n) for n in range(100))
    upload = client.call(m.BeginUpload(size=len(text)))
    client.call(m.AppendUpload(upload_id=upload.upload_id, offset=0), [text])
    made = client.call(m.ConvertUpload(upload_id=upload.upload_id, format="csv"))
    assert made.kind == "tensors"

    train(domain.url)
    store = BucketStore(Bucket(tmp_path / "bucket"))
    before = set(store.digests())
    assert len(before) >= 2 + CYCLES and not (tmp_path / "domain" / "blobs").exists()

    domain.kill()
    again = start(tmp_path, environment)
    try:
        client = sy.login(again.url, EMAIL, PASSWORD)
        assert isinstance(client, sy.DomainClient)
        np.testing.assert_array_equal(client.datasets["readings"]["x"].data, table)
        client.datasets["readings"].delete()
    finally:
        assert again.stop() == 0
    assert set(store.digests()) < before, "what nothing refers to is deleted"


def train(url: str) -> None:
    """Two workers, two cycles: the models are the centralised ones."""
    net, lr = model(), torch.tensor(0.5)
    torch.manual_seed(5)
    x, y = torch.randn(2 * ROWS, 6), torch.randint(0, 3, (2 * ROWS,))
    step = step_of(net)
    start = [p.detach().clone() for p in net.parameters()]
    plan = sy.make_plan(symbols={"x": {0: "B"}, "y": {0: "B"}})(
        with_defaults(step, x[:ROWS], y[:ROWS], lr, start)
    )
    client = sy.ModelCentricFLClient(address=url, secure=False)
    client.connect()
    client.host_federated_training(
        model=net,
        client_plans={"training_plan": plan},
        client_protocols={},
        server_averaging_plan=None,
        client_config={"name": "equal", "version": "1"},
        server_config={"num_cycles": CYCLES, "max_diffs": 2, "max_workers": 2, "min_workers": 2,
                       "cycle_length": 60},
    )  # fmt: skip

    def work(index: int) -> None:
        rows = slice(index * ROWS, (index + 1) * ROWS)

        def train(job: sy.FLJob) -> None:
            job.report(
                job.plans["training_plan"](x=x[rows], y=y[rows], lr=lr, params=job.model), samples=ROWS
            )

        sy.FLClient(url=url, auth_token="", secure=False).new_job("equal", "1").run(train=train)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    central = start
    for cycle in range(1, CYCLES + 1):
        central = step(x, y, lr, central)
        federated = list(client.retrieve_model("equal", "1", checkpoint=cycle + 1))
        for ours, theirs in zip(federated, central, strict=True):
            assert torch.allclose(ours, theirs, rtol=0, atol=1e-6), cycle
