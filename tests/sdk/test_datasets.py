"""Data owners register, data scientists find: datasets, objects and search of a Domain's client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import torch
from argon2 import PasswordHasher

import syft_ext as sy
from grid.accounts.service import PASSWORDS
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.node.metadata import MetadataService
from syft_ext.client import upload as upload_module
from syft_ext.clock import SystemClock
from syft_ext.errors import BadRequest, Forbidden, NotFound, Unavailable
from syft_ext.plans import make_plan
from syft_ext.transport import LocalTransport
from tests.accounts.people import OWNER, PASSWORD, House

FRAME = pandas.DataFrame({"age": [61, 47, 70], "radius": [14.2, 11.0, 17.9]})
MOCK = pandas.DataFrame({"age": [50], "radius": [10.0]})


@pytest.fixture
def domain(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(PASSWORDS, "hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    services = (MetadataService, *ACCOUNTS, *CATALOGUE)
    house = House(tmp_path / "home", sqlite_url, clock=SystemClock(), services=services)
    house.set_up()
    yield house
    house.node.stop()


@pytest.fixture
def owner(domain: House) -> sy.DomainClient:
    return client(domain, OWNER)


@pytest.fixture
def scientist(
    domain: House, owner: sy.DomainClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> sy.DomainClient:
    owner.users.create("ann@lab.org", PASSWORD)
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path / "ann"))  # another person, another key
    return client(domain, "ann@lab.org")


def client(domain: House, email: str) -> sy.DomainClient:
    found = sy.login("http://h:1", email, PASSWORD, transport=LocalTransport(domain.node))
    assert isinstance(found, sy.DomainClient)
    return found


def test_a_data_frame_with_mock_and_schema(owner: sy.DomainClient, scientist: sy.DomainClient) -> None:
    owner.datasets.create(
        "biopsies",
        FRAME,
        mock=MOCK,
        description="Breast biopsies",
        tags=["oncology"],
        schema={"radius": {"unit": "mm", "description": "mean radius"}},
    )
    dataset = scientist.datasets["biopsies"]
    asset = dataset["data"]
    assert [(c.name, c.dtype, c.unit) for c in asset.view.columns] == [
        ("age", "int64", ""),
        ("radius", "float64", "mm"),
    ]
    assert {name: tensor.tolist() for name, tensor in asset.mock.items()} == {"age": [50], "radius": [10.0]}
    with pytest.raises((Forbidden, NotFound)):
        _ = asset.data
    assert owner.datasets["biopsies"]["data"].data["age"].tolist() == [61, 47, 70]
    for shown in (dataset._repr_html_(), asset._repr_html_(), scientist.datasets._repr_html_()):
        assert "biopsies" in shown
    assert "mm" in repr(asset)


def test_several_assets_by_name(owner: sy.DomainClient, scientist: sy.DomainClient) -> None:
    x, y = torch.randn(5, 3), numpy.arange(5)
    created = owner.datasets.create("xy", {"x": x, "y": y}, mock={"x": torch.zeros(2, 3)})
    assert torch.equal(created["x"].data, x)
    assert created["y"].data.tolist() == [0, 1, 2, 3, 4]
    seen = scientist.datasets.get("xy")
    assert seen["x"].mock.shape == (2, 3)
    assert seen[0].name == "x"
    with pytest.raises(NotFound, match="no mock"):
        _ = seen["y"].mock
    with pytest.raises(NotFound, match="it has: x, y"):
        seen["z"]


def test_a_mock_alone_when_the_data_stay_with_the_workers(
    owner: sy.DomainClient, scientist: sy.DomainClient
) -> None:
    owner.datasets.create("remote", mock={"x": torch.zeros(2, 3), "y": torch.zeros(2)})
    seen = scientist.datasets["remote"].assets
    assert [tuple(asset.mock.shape) for asset in seen] == [(2, 3), (2,)]
    assert [asset.view.shape for asset in seen] == [[0, 3], [0]]


@pytest.mark.parametrize(
    ("assets", "options", "complaint"),
    [
        (FRAME, {"mock": MOCK[["age"]]}, "other columns"),
        (torch.zeros(3, 2), {"mock": torch.zeros(3, 4)}, "other columns"),
        ({"x": torch.zeros(2)}, {"mock": {"z": torch.zeros(2)}}, "by name"),
        (FRAME, {"schema": {"size": {"unit": "mm"}}}, "columns are age, radius"),
        (pandas.DataFrame({"sex": ["f", "m"]}), {}, "column sex.*encode"),
        (numpy.array(["2024-01-01"], dtype="datetime64[D]"), {}, "encode"),
    ],
)
def test_what_cannot_be_registered_is_refused_and_leaves_nothing(
    owner: sy.DomainClient, assets: Any, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BadRequest, match=complaint):
        owner.datasets.create("bad", assets, **options)
    assert len(owner.store) == 0
    assert len(owner.datasets) == 0


def test_a_refused_dataset_leaves_no_data_behind(owner: sy.DomainClient) -> None:
    with pytest.raises(BadRequest):
        owner.datasets.create("bad", torch.zeros(3), visibility="everybody")
    assert len(owner.store) == 0


def test_nullable_and_boolean_columns_become_numbers(owner: sy.DomainClient) -> None:
    frame = pandas.DataFrame({"n": pandas.array([1, None], dtype="Int64"), "b": [True, False]})
    data = owner.datasets.create("t", frame)["data"].data
    assert data["n"][0] == 1 and data["n"][1].isnan()
    assert data["b"].dtype is torch.bool


def test_datasets_are_changed_and_deleted(owner: sy.DomainClient, scientist: sy.DomainClient) -> None:
    dataset = owner.datasets.create("d", torch.zeros(3), mock=torch.ones(1))
    assert owner.datasets.update("d", description="new", tags=["t"]).description == "new"
    owner.datasets.update(dataset.id, visibility="private")
    assert len(scientist.datasets) == 0
    owner.datasets.delete("d", objects=True)
    assert len(owner.datasets) == len(owner.store) == 0


def test_only_whoever_may_upload_can_register(scientist: sy.DomainClient) -> None:
    with pytest.raises(Forbidden):
        scientist.datasets.create("mine", torch.zeros(2))


def test_search_finds_by_words_tags_and_kind(owner: sy.DomainClient, scientist: sy.DomainClient) -> None:
    owner.datasets.create("biopsies", mock=torch.zeros(2), description="Breast biopsies", tags=["oncology"])
    owner.datasets.create("digits", mock=torch.zeros(2), tags=["images"])
    assert [hit.name for hit in scientist.search("BREAST")] == ["biopsies"]
    assert [hit.name for hit in scientist.search(tags=["images"], kind="dataset")] == ["digits"]
    found = scientist.search(kind="dataset")
    assert len(found) == 2
    assert "oncology" in repr(found) and "<table" in found._repr_html_()
    with pytest.raises(BadRequest):
        scientist.search(kind="table")


@pytest.mark.parametrize(
    "data",
    [torch.arange(6).reshape(2, 3), 3, 2.5, True, "text", b"bytes", [torch.zeros(1)], {"a": torch.ones(2)}],
)
def test_objects_come_back_as_they_went(owner: sy.DomainClient, data: Any) -> None:
    item = owner.store.put(data, description="an object", tags=["t"])
    assert repr(owner.store.get(item.id)) == repr(data)
    assert owner.store.describe(item.id).view.tags == ["t"]
    assert item.id in repr(owner.store)
    assert "an object" in item._repr_html_()
    owner.store.delete(item.id)
    with pytest.raises(NotFound):
        owner.store.describe(item.id)


def test_a_plan_is_kept_as_a_plan(owner: sy.DomainClient) -> None:
    @make_plan
    def double(x=torch.zeros(2)):  # type: ignore[no-untyped-def]
        return x * 2

    item = owner.store.put(double.dumps(), kind="plan")
    assert sy.Plan.loads(owner.store.get(item.id)) == double
    assert [found.view.kind for found in owner.store.search(kind="plan")] == ["plan"]


def test_who_may_read_is_the_owners_to_say(owner: sy.DomainClient, scientist: sy.DomainClient) -> None:
    item = owner.store.put(torch.ones(3))
    assert len(scientist.store) == 0
    owner.store.update(item.id, readers=[scientist.me.id], searchable=True)
    assert scientist.store[0].get().tolist() == [1, 1, 1]
    assert scientist.store[item.id].view.may_read


def test_large_uploads_go_in_parts_and_survive_a_broken_line(
    owner: sy.DomainClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_module, "RESUMABLE", 1000)
    monkeypatch.setattr(upload_module, "PART", 700)
    monkeypatch.setattr(upload_module.time, "sleep", lambda seconds: None)
    line = owner.connection.transport
    exchange, sent = line.exchange, list[str]()

    def breaking(envelope: Any, payload: Any = (), *, timeout: float | None = None) -> Any:
        sent.append(envelope.operation)
        if sent.count("uploads.append") == 2 and envelope.operation == "uploads.append":
            raise Unavailable("before")
        frame = exchange(envelope, payload, timeout=timeout)
        if sent.count("uploads.append") == 4 and envelope.operation == "uploads.append":
            raise Unavailable("after")
        return frame

    monkeypatch.setattr(line, "exchange", breaking)
    data = {"a": torch.arange(500), "b": torch.arange(37, dtype=torch.uint8)}
    item = owner.store.put(data)
    assert {name: tensor.tolist() for name, tensor in item.get().items()} == {
        k: v.tolist() for k, v in data.items()
    }
    assert sent.count("uploads.status") == 2
