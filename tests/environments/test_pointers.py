"""Remote objects in an environment: sent to it, loaded into it, computed with and saved at the Domain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import syft_ext as sy
from apps.domain.app import build
from grid.accounts.bootstrap import bootstrap_owner
from grid.web.testing import ServedNode
from syft_ext.errors import BadRequest, Forbidden
from tests.accounts.people import OWNER, PASSWORD

from .conftest import SETTINGS


@pytest.fixture
def served(tmp_path: Path, own_folder: Path, no_process_is_left: None) -> Iterator[ServedNode]:
    node = build(tmp_path / "home", SETTINGS)
    assert bootstrap_owner(node, OWNER, PASSWORD)
    served = ServedNode(node)
    yield served
    served.close()


def log_in(served: ServedNode, email: str = OWNER) -> sy.DomainClient:
    client = sy.login(served.url, email, PASSWORD, save=False)
    assert isinstance(client, sy.DomainClient)
    return client


@sy.make_plan
def scale(xs: torch.Tensor = torch.zeros(2)) -> torch.Tensor:
    return xs * 3


def test_load_compute_save(served: ServedNode) -> None:
    owner = log_in(served)
    eve_id = owner.users.create("eve@x.org", PASSWORD).id
    eve = log_in(served, "eve@x.org")
    ages = owner.store.put(torch.tensor([40.0, 50.0]), description="ages").update(programmers=[eve_id])
    worker = owner.workers.create("eve@x.org")

    worker = eve.workers[0]
    remote = worker.load(ages.id)
    assert remote.location == worker.location != eve.location
    bias = torch.tensor([1.0, 2.0]).send(worker)
    result = remote * 2 + bias
    with pytest.raises(Forbidden):
        result.get_copy()
    saved = worker.save(result, description="doubled", searchable=True)
    assert owner.store.get(saved.id).tolist() == [81.0, 102.0]
    with pytest.raises(Forbidden):
        saved.get()
    assert bias.get().tolist() == [1.0, 2.0]

    at_the_domain = eve.pointer(ages.id) + 1  # values elsewhere at the Domain come by way of its store
    with pytest.raises(BadRequest):
        worker.save(at_the_domain)
    moved = worker.load(at_the_domain)
    assert moved.location == worker.location and worker.load(moved) is moved
    total = worker.save((moved + remote).sum(), searchable=True)
    assert float(owner.store.get(total.id)) == 182.0
    model = torch.nn.Linear(2, 1)
    model.send(worker)
    assert model(remote).location == worker.location
    scaled = scale(xs=remote)  # plans run where their arguments are
    kept = worker.save(scaled, searchable=True)
    assert owner.store.get(kept.id).tolist() == [120.0, 150.0]
    assert worker.refresh().view.sessions == 1
    assert worker.destroy().state == "destroyed"
