"""LoRA on a base that is larger than any plan: the base comes once, and is in no report."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

import syft_ext as sy
from grid.federated.participation.moving_parts import MovingParts
from grid.web.testing import ServedNode
from syft_ext.federated import job as jobs
from syft_ext.federated.model_file import ModelFile
from syft_ext.federated.session import WorkerSession
from syft_ext.messages.federated import BlobView, CheckInReply, GetModel
from syft_ext.plans import Limits
from syft_ext.tensors import encode_tensors, kinds_metadata, moving_stretches, read_layout
from tests.sdk.live import log_in, serve

WIDTH, RANK = 2900, 2
BASE = torch.nn.Parameter(torch.zeros(WIDTH, WIDTH).double(), requires_grad=False)  # 67 MB


@pytest.fixture
def domain(tmp_path: Path, sqlite_template: Path) -> Iterator[ServedNode]:
    shutil.copyfile(sqlite_template, tmp_path / "node.db")
    patch = pytest.MonkeyPatch()
    with serve(tmp_path / "home", f"sqlite:///{tmp_path / 'node.db'}", patch) as served:
        yield served
    patch.undo()


def adapted(base: Any) -> Any:
    down = torch.randn(RANK, WIDTH, generator=torch.Generator().manual_seed(1)) / WIDTH**0.5

    @sy.make_plan
    def training_plan(
        xs: Any = sy.Batch(torch.randn(4, WIDTH)),
        ys: Any = sy.Target(torch.randn(4)),
        lr: Any = sy.Option(0.1),
        params: Any = sy.Param([base, down, torch.zeros(WIDTH, RANK)]),
    ) -> Any:
        frozen = params[0]
        thin = [p.detach().requires_grad_() for p in params[1:]]
        out = ((xs.double() @ frozen).float() + (xs @ thin[0].T) @ thin[1].T).mean(1)
        loss = ((out - ys) ** 2).mean()
        grads = torch.autograd.grad(loss, thin)
        return loss, frozen, *[p - lr * g for p, g in zip(thin, grads, strict=True)]

    return training_plan, {"base": base, "down": down, "up": torch.zeros(WIDTH, RANK)}


@pytest.mark.slow
def test_a_base_beyond_the_limit_of_plans_comes_once_and_stays(
    domain: ServedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, model = adapted(BASE)
    size = BASE.nbytes
    assert size > Limits().max_plan_bytes > 100 * len(plan.dumps())
    log_in(domain.url)
    client = sy.ModelCentricFLClient(domain.url)
    client.connect()
    training = client.host_federated_training(
        model=model,
        client_plans={"training_plan": plan},
        client_config={"name": "lora", "version": "1.0", "batch_size": 4, "lr": 0.1},
        server_config={"num_cycles": 2, "max_diffs": 1, "cycle_length": 3600},
    )
    came: list[int] = []
    left: list[int] = []
    download, delivery = WorkerSession.download, jobs.Delivery

    def counted(self: WorkerSession, message: Any) -> Any:
        reply, data = download(self, message)
        if type(message).__name__ == "GetModel":
            came.append(len(data))
        return reply, data

    def delivered(session: Any, message: Any, pieces: Any, first: Any) -> Any:
        left.append(sum(memoryview(piece).nbytes for piece in pieces))
        return delivery(session, message, pieces, first)

    monkeypatch.setattr(WorkerSession, "download", counted)
    monkeypatch.setattr(jobs, "Delivery", delivered)
    rows = torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(2))
    with sy.FLClient(domain.url, "") as participant:
        summary = participant.new_job("lora", "1.0").run(data=(rows, torch.ones(4)), seed=0)
    assert (summary.cycles, summary.failures) == (2, 0)
    thin = 2 * RANK * WIDTH * 4
    assert came[0] > size and came[1:] == [thin]
    assert len(left) == 2 and all(thin <= sent < thin + 1000 for sent in left)
    latest = client.retrieve_model("lora", "1.0")
    assert torch.equal(latest[0], BASE) and latest[2].abs().sum() > 0
    losses = [cycle.loss for cycle in training.watch(timeout=30)]
    assert losses[-1] < losses[0]
    client.close()


class Sent:
    """What a Domain answers, one after the other; what it was asked for."""

    def __init__(self, *answers: tuple[bytes, bytes]) -> None:
        self.answers, self.asked = list(answers), list[bool]()

    def download(self, message: GetModel) -> tuple[BlobView, bytearray]:
        whole, data = self.answers.pop(0)
        self.asked.append(message.moving)
        return BlobView(digest=blake3(whole).hexdigest(), size=len(whole)), bytearray(data)


def checkpoint(value: float, frozen: str = "constant", constant: float = 1.0) -> bytes:
    kinds: Any = {"base": frozen}
    tensors = {"base": torch.full((4,), constant), "thin": torch.full((1,), value)}
    return bytes(encode_tensors(tensors, kinds_metadata(kinds)))


FIRST, SECOND, OTHER = checkpoint(1.0), checkpoint(2.0), checkpoint(2.0, constant=3.0)
MOVED = bytes(encode_tensors({"thin": torch.full((1,), 2.0)})[-4:])
ALIKE = [checkpoint(value, "parameter") for value in (1.0, 2.0)]


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([(FIRST, FIRST), (SECOND, MOVED)], [False, True]),
        ([(FIRST, FIRST), (SECOND, SECOND)], [False, True]),  # a Domain that sends whole files only
        ([(FIRST, FIRST), (OTHER, MOVED), (OTHER, OTHER)], [False, True, False]),  # its constants are others
        ([(each, each) for each in ALIKE], [False, False]),  # nothing is constant
    ],
    ids=["moving", "whole", "changed", "no constants"],
)
def test_a_model_is_downloaded_once_a_cycle(answers: list[tuple[bytes, bytes]], asked: list[bool]) -> None:
    session, file, reply = (
        Sent(*answers),
        ModelFile(),
        CheckInReply(status="accepted", assignment_id="0" * 32),
    )
    for _ in range(2):
        view, data = file.fetch(session, reply)  # type: ignore[arg-type]
        assert blake3(data).hexdigest() == view.digest
    assert bytes(data) == answers[-1][0]
    assert session.asked == asked


class OneFile:
    """Contents that are one file."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def open(self, digest: str) -> OneFile:
        return self

    def __enter__(self) -> OneFile:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, start: int, stop: int) -> bytes:
        return self.data[start:stop]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=8), st.data())
def test_any_range_of_what_moves_is_that_of_the_file(parts: list[tuple[bool, int]], data: Any) -> None:
    tensors = {str(i): torch.full((count,), float(i + 1)) for i, (_, count) in enumerate(parts)}
    kinds: Any = {str(i): "constant" for i, (frozen, _) in enumerate(parts) if frozen}
    file = encode_tensors(tensors, kinds_metadata(kinds))
    layout = read_layout(file)
    expected = b"".join(bytes(file[start:stop]) for start, stop in moving_stretches(layout))
    moving = sum(count for frozen, count in parts if not frozen)
    assert len(expected) == 4 * moving
    found = MovingParts(OneFile(bytes(file))).download(layout, BlobView(digest="0" * 64, size=len(file)))  # type: ignore[arg-type]
    start = data.draw(st.integers(0, found.size))
    stop = data.draw(st.integers(start, found.size))
    assert b"".join(bytes(piece) for piece in found.chunks(start, stop)) == expected[start:stop]
