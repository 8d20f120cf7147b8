"""Data owners register, data scientists find: datasets, objects and search of a Domain's client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import safetensors.torch
import torch

import syft_ext as sy
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.governance.service import SERVICES as GOVERNANCE
from grid.node.metadata import MetadataService
from syft_ext.client import upload as upload_module
from syft_ext.clock import SystemClock
from syft_ext.errors import BadRequest, Forbidden, NotFound, Unavailable
from syft_ext.messages.objects import ListUploads
from syft_ext.plans import make_plan
from syft_ext.transport import LocalTransport
from tests.accounts.people import OWNER, PASSWORD, House

FRAME = pandas.DataFrame({"age": [61, 47, 70], "radius": [14.2, 11.0, 17.9]})
MOCK = pandas.DataFrame({"age": [50], "radius": [10.0]})


@pytest.fixture
def domain(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    services = (MetadataService, *ACCOUNTS, *CATALOGUE, *GOVERNANCE)
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
    with pytest.raises(Forbidden, match=r"ask: \.request"):
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
    with pytest.raises(NotFound, match="no dataset 'nothing' here"):
        owner.datasets.get("nothing")
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
        (pandas.DataFrame({"sex": ["f", "m"]}), {}, "column 'sex', row 1.*encode"),
        (numpy.array(["2024-01-01"]), {}, "encode"),
        (FRAME, {"encoding": "latin-1"}, "is no text"),
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


def test_another_process_goes_on_with_an_upload(
    domain: House, owner: sy.DomainClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that died left nothing but what the node has; the next one finds it by the content."""
    monkeypatch.setattr(upload_module, "RESUMABLE", 1000)
    monkeypatch.setattr(upload_module, "PART", 700)
    numpy.save(tmp_path / "x.npy", numpy.arange(1000.0))
    line, exchange = owner.connection.transport, owner.connection.transport.exchange
    sent = list[str]()

    def dying(envelope: Any, payload: Any = (), *, timeout: float | None = None) -> Any:
        sent.append(envelope.operation)
        if sent.count("uploads.append") == 5:
            raise KeyboardInterrupt
        return exchange(envelope, payload, timeout=timeout)

    with monkeypatch.context() as patch:
        patch.setattr(line, "exchange", dying)
        with pytest.raises(KeyboardInterrupt):
            owner.datasets.create("x", tmp_path / "x.npy")
    assert len(owner.datasets) == len(owner.store) == 0
    (left,) = owner.call(ListUploads()).uploads
    assert left.received == 4 * 700
    again, offsets = client(domain, OWNER), list[int]()
    exchange = again.connection.transport.exchange

    def watching(envelope: Any, payload: Any = (), *, timeout: float | None = None) -> Any:
        if envelope.operation == "uploads.append":
            offsets.append(envelope.payload_size)
        return exchange(envelope, payload, timeout=timeout)

    monkeypatch.setattr(again.connection.transport, "exchange", watching)
    made = again.datasets.create("x", tmp_path / "x.npy")
    assert sum(offsets) == made["data"].view.size - 4 * 700, "nothing is sent twice"
    assert made["data"].data.tolist() == list(range(1000))
    assert owner.call(ListUploads()).uploads == []


def test_a_file_with_statistics_and_a_made_up_mock(
    owner: sy.DomainClient, scientist: sy.DomainClient, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("age,sex\n61,f\n47,m\n70,f\n")
    owner.datasets.create(
        "visits",
        tmp_path / "t.csv",
        subjects="adults",
        schema={"sex": {"categories": ["f", "m"]}, "age": {"low": 0.0, "high": 120.0}},
        statistics={"age": ["count", "mean"]},
        mock="generate",
        mock_rows=20,
    )
    seen = scientist.datasets["visits"]["data"]
    assert seen.statistics == {"age": {"count": 3.0, "mean": pytest.approx(178 / 3)}}
    assert set(seen.mock["sex"].tolist()) == {0, 1} and len(seen.mock["age"]) == 20
    inputs = sy.declare_inputs(seen.mock, "sex", standardise=True)
    assert inputs == sy.declare_inputs(seen, "sex", standardise=True)
    assert inputs.columns == [sy.NumberColumn(name="age", low=0.0, high=120.0, centre=60.0, scale=30.0)]
    assert inputs.label == sy.CategoryColumn(name="sex", categories=["f", "m"])
    assert "adults" in repr(scientist.datasets["visits"].table())
    assert "mean 59.3333" in repr(seen) and "0 f, 1 m" in repr(seen) and "0 to 120" in repr(seen)
    path = owner.datasets["visits"]["data"].save(tmp_path / "back.safetensors")
    assert safetensors.torch.load_file(path)["age"].tolist() == [61, 47, 70]
    assert [each.name for each in tmp_path.glob("*.part")] == []
    with pytest.raises(BadRequest, match=r"pathlib\.Path"):
        owner.datasets.create("text", "t.csv")
    with pytest.raises(BadRequest, match="no column"):
        owner.datasets.create("bad", tmp_path / "t.csv", columns=["age"], statistics={"height": ["mean"]})
    assert len(owner.datasets) == 1, "a dataset whose statistics are refused is not there"


def test_versions_of_an_asset(owner: sy.DomainClient, scientist: sy.DomainClient) -> None:
    owner.datasets.create("d", FRAME, schema={"age": {"unit": "years"}}, statistics=["max"])
    asset = owner.datasets["d"]["data"].update(FRAME[:2], note="one left", mock="generate")
    assert asset.data["age"].tolist() == [61, 47]
    seen = scientist.datasets["d"]["data"]
    assert [(v.number, v.note, v.rows) for v in seen.view.versions] == [(1, "", 3), (2, "one left", 2)]
    assert seen.statistics == {}, "of the old content only"
    assert seen.view.columns[0].unit == "years" and seen.view.has_mock
    assert "one left" in repr(seen.versions)
    with pytest.raises(BadRequest, match="other columns"):
        asset.update(mock=MOCK[["age"]])
    assert asset.update(schema={"age": {"unit": "months"}}).view.columns[0].unit == "months"
    assert asset.view.version == 2, "the content is the same"


def test_a_hit_leads_to_a_request(owner: sy.DomainClient, scientist: sy.DomainClient) -> None:
    created = owner.datasets.create("biopsies", FRAME, description="Breast biopsies")
    (hit,) = scientist.search("breast", columns=["radius"], min_rows=3)
    assert hit.domain_name == owner.name and hit["data"].columns == ["age", "radius"]
    asked = hit.request("for the paper", "statistics")
    assert asked.view.object_id == created["data"].object_id
    owner.requests[0].approve()
    assert asked.refresh().state == "approved"
    thing = owner.store.put(torch.ones(7), description="weights", searchable=True)
    (found,) = scientist.search("weights", kind="object", min_rows=7)
    assert found.assets[0].object_id == thing.id
    assert found.request("why not").view.object_id == thing.id
    assert scientist.search("weights", min_rows=8, kind="object") == []
    two = owner.datasets.create("two", {"a": FRAME, "b": FRAME})
    (hit,) = scientist.search(name="two")
    with pytest.raises(BadRequest, match=r"several assets \(a, b\)"):
        hit.request("both")
    assert hit["b"].request("one").view.object_id == two["b"].object_id
    assert "biopsies" in repr(scientist.search()) and "radius" in scientist.search("breast")[0]._repr_html_()


def test_what_values_mean_stands_in_the_schema_that_others_see(
    owner: sy.DomainClient, scientist: sy.DomainClient, tmp_path: Path
) -> None:
    index = pandas.Index([7, 9, 12])
    frame = pandas.DataFrame(
        {
            "seen": pandas.to_datetime(["2024-07-01 12:00", None, "2024-07-02 08:00"]),
            "risk": pandas.Categorical(["high", "low", "high"], ["low", "high"]),
        },
        index=index,
    )
    owner.datasets.create(
        "visits", frame, schema={"seen": {"timezone": "Europe/Berlin", "unit": "s"}}, mock="generate"
    )
    asset = scientist.datasets["visits"]["data"]
    columns = {column.name: column for column in asset.view.columns}
    assert columns["seen"].unit == "s since 1970-01-01 00:00 UTC"
    assert columns["risk"].categories == ["low", "high"]
    shown = repr(asset)
    for words in ("since 1970-01-01", "0 low, 1 high", "the index, which has no name, is left out"):
        assert words in shown, shown
    assert owner.datasets["visits"]["data"].data["seen"][0] == 1719828000
    assert set(asset.mock["risk"].tolist()) <= {0, 1}
    (tmp_path / "more.csv").write_text("seen;risk\n01.07.2025 12:00;low\n;high\n", encoding="latin-1")
    told = {"seen": {"format": "%d.%m.%Y %H:%M", "unit": "s"}, "risk": {"categories": ["low", "high"]}}
    mine = owner.datasets["visits"]["data"].update(tmp_path / "more.csv", schema=told, encoding="latin-1")
    assert mine.view.columns[0].unit == "s since 1970-01-01 00:00 (no time zone)"
