"""Statistics over real Domains and a Network, as a scientist asks for them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3
from click.testing import CliRunner

import syft_ext as sy
from apps.assembly import open_node
from apps.cli.commands.statistics import _document
from grid.accounts.bootstrap import bootstrap_owner
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.catalogue.schemas import statistics_service
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.config import DomainSettings, NetworkSettings
from grid.network.associations import AssociationService
from grid.network.hub import HubService
from grid.network.line_keeping import LineKeeper
from grid.network.monitor import MonitorService, NetworkMonitorService
from grid.network.relaying import LineService, RelayService
from grid.network.requester import RequesterService
from grid.network.search import NetworkSearchService
from grid.node import Node
from grid.node.metadata import MetadataService
from grid.statistics import service as statistics_room
from grid.web.testing import ServedNode
from syft_ext.errors import (
    BadRequest,
    DeadlineExceeded,
    Forbidden,
    NotFound,
    NotLoggedIn,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from syft_ext.messages.network import RequestAssociation
from syft_ext.messages.statistics import Begin, Bins, Continue, DescribeTable, RankQuery
from syft_ext.profile import credentials

EMAIL, PASSWORD = "ann@lab.org", "correct horse"
Rows = dict[str, Any]


@dataclass
class Region:
    network: ServedNode
    domains: list[ServedNode]
    rows: list[Rows]

    @property
    def pooled(self) -> Rows:
        return {name: np.concatenate([rows[name] for rows in self.rows]) for name in self.rows[0]}

    def tables(self) -> list[Any]:
        found = []
        for domain in self.domains:
            client = sy.login(domain.url, EMAIL, PASSWORD)
            assert isinstance(client, sy.DomainClient)
            found.append(client.datasets["diabetes"]["patients"])
        return found


def domain_node(root: Path, name: str) -> Node:
    return open_node(
        "domain",
        root / name,
        name,
        [
            MetadataService,
            *ACCOUNTS,
            *CATALOGUE,
            statistics_service,
            partial(AssociationService, offline_after=60.0),
            partial(HubService, settings=DomainSettings()),
            LineKeeper,
            partial(RequesterService, interval=1.0),
            MonitorService,
        ],
    )


def patients(rows: int, seed: int) -> Rows:
    random = np.random.default_rng(seed)
    age = random.normal(50, 12, rows)
    age[random.random(rows) < 0.05] = np.nan
    return {
        "age": age,
        "bmi": random.gamma(20, 1.2, rows).astype(np.float32),
        "sex": random.integers(0, 2, rows).astype(np.int8),
        "smoker": random.random(rows) < 0.3,
        "ill": (random.random(rows) < 0.4).astype(np.int64),
    }


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory, own_folder: Path) -> Iterator[Region]:
    """A Network and two Domains with patients, over sockets."""
    root = tmp_path_factory.mktemp("region")
    settings = NetworkSettings(auto_accept=True)
    network = open_node(
        "network",
        root / "network",
        "registry",
        [
            MetadataService,
            *ACCOUNTS,
            partial(AssociationService, offline_after=60.0),
            partial(HubService, settings=settings),
            NetworkMonitorService,
            LineService,
            partial(RelayService, settings=settings),
            partial(NetworkSearchService, deadline=5.0),
        ],
    )
    nodes = [domain_node(root, name) for name in ("north", "south")]
    rows = [patients(3000, 1), patients(2000, 2)]
    for node in (network, *nodes):
        bootstrap_owner(node, EMAIL, PASSWORD)
    with ServedNode(network) as hub, ServedNode(nodes[0]) as north, ServedNode(nodes[1]) as south:
        for served, part in zip((north, south), rows, strict=True):
            owner = sy.login(served.url, EMAIL, PASSWORD)
            assert isinstance(owner, sy.DomainClient)
            owner.call(RequestAssociation(address=hub.url))
            owner.datasets.create("diabetes", {"patients": part}, tags=["chronic"])
        yield Region(hub, [north, south], rows)


def test_five_lines_of_a_scientist(region: Region) -> None:
    network = sy.login(region.network.url, EMAIL, PASSWORD)
    assert isinstance(network, sy.NetworkClient)
    for name in ("north", "south"):
        network.connect(name, EMAIL, PASSWORD)
    tables = network.search("diabetes").assets
    assert [table.columns for table in tables] == [["age", "bmi", "sex", "smoker", "ill"]] * 2
    wanted = ["count", "mean", "std", "quantile", "histogram"]
    result = network.analyze(tables, wanted, columns=["age", "bmi"], by="sex")
    pooled = region.pooled
    for column in ("age", "bmi"):
        for sex in (0, 1):
            values = pooled[column][pooled["sex"] == sex].astype(float)
            values = values[~np.isnan(values)]
            assert result["count", column][sex] == len(values)
            assert result["mean", column][sex] == pytest.approx(values.mean(), rel=1e-9)
            assert result["std", column][sex] == pytest.approx(values.std(ddof=1), rel=1e-9)
            assert result["quantile", column][sex][0.5] == np.median(values)
    assert sum(result["histogram", "age"][1].counts) == result["count", "age"][1]
    text, page = repr(result), result._repr_html_()
    assert "north, south" in text and "q0.5" in text and "█" in text and "<table" in page
    frame = result.to_pandas()
    assert frame.index.names == ["sex", "column"]
    assert frame.loc[(0, "age"), "mean"] == result["mean", "age"][0]
    # Nobody is asked through the Network without a login of their own at the Domain.
    credentials.forget(region.domains[0].url)
    fresh = sy.login(region.network.url, EMAIL, PASSWORD)
    with pytest.raises(NotLoggedIn, match=r"sy\.login"):
        fresh.analyze(fresh.search("diabetes").assets, "count")


def test_domains_directly(region: Region) -> None:
    result = sy.analyze(region.tables(), ["correlation", "linear_regression", "logistic_regression"],
                        columns=["age", "bmi"], target="ill")  # fmt: skip
    pooled = region.pooled
    whole = np.stack([pooled["age"], pooled["bmi"].astype(float)])
    whole = whole[:, ~np.isnan(pooled["age"])]
    assert np.allclose(result["correlation"], np.corrcoef(whole), rtol=1e-9, atol=1e-12)
    assert "Linear regression of ill" in repr(result) and "Logistic" in result._repr_html_()
    assert list(result["linear_regression"].to_pandas().index) == ["(intercept)", "age", "bmi"]
    one = region.tables()[0]
    assert one.client.analyze(one, "mean")["mean", "smoker"] == region.rows[0]["smoker"].mean()
    groups = sy.analyze(region.tables(), "count", columns="bmi", by=["sex", "smoker"])["count", "bmi"]
    assert groups[1, 1] == ((pooled["sex"] == 1) & pooled["smoker"]).sum()


def test_a_dead_domain_is_named_or_left_out(region: Region, tmp_path: Path) -> None:
    node = domain_node(tmp_path, "gone")
    bootstrap_owner(node, EMAIL, PASSWORD)
    with ServedNode(node) as served:
        client = sy.login(served.url, EMAIL, PASSWORD)
        assert isinstance(client, sy.DomainClient)
        client.datasets.create("diabetes", {"patients": patients(10, 3)})
        gone = client.datasets["diabetes"]["patients"]
    tables = [*region.tables(), gone]
    with pytest.raises(Unavailable, match=r"^gone: "):
        sy.analyze(tables, "mean", columns="bmi")
    result = sy.analyze(tables, ["count", "quantile"], columns="bmi", missing="skip")
    assert result["count", "bmi"] == 5000
    assert len(result.notes) == 1 and "gone" in result.notes[0] and "gone" in repr(result)
    with pytest.raises(Unavailable):
        sy.analyze([gone], "mean", missing="skip")


def test_a_domain_that_dies_between_rounds_is_left_out_of_all_of_them(region: Region) -> None:
    first, second = region.tables()
    call = second.client.call

    def dies(message: Any, **options: Any) -> Any:
        if isinstance(message, Continue):
            raise Unavailable("gone meanwhile")
        return call(message, **options)

    second.client.call = dies
    result = sy.analyze([first, second], ["count", "quantile"], columns="bmi", missing="skip")
    mine = region.rows[0]["bmi"].astype(float)
    assert result["count", "bmi"] == len(mine)
    assert result["quantile", "bmi"][0.25] == np.quantile(mine, 0.25)
    assert result.notes == ["left out: south: gone meanwhile"]


def test_a_slow_domain_is_not_waited_for(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = region.tables()
    slow = tables[1].client.id
    require, over = statistics_room.require, threading.Event()

    def late(*arguments: Any, **options: Any) -> Any:
        if node_of(region, slow).id == slow and arguments[3] == [tables[1].object_id]:
            over.wait(60.0)
        return require(*arguments, **options)

    monkeypatch.setattr(statistics_room, "require", late)
    result = sy.analyze(tables, "count", columns="bmi", timeout=3.0, missing="skip")
    assert result["count", "bmi"] == 3000 and "south" in result.notes[0]
    with pytest.raises(DeadlineExceeded, match="south"):
        sy.analyze(tables, "count", columns="bmi", timeout=3.0)
    over.set()


def test_words_of_real_nodes_and_whoever_lacks(region: Region) -> None:
    """Categories in another order, a Domain that is gone; text, JSON of the terminal, pandas."""
    clients = [table.client for table in region.tables()]
    for client, order in zip(clients, (["f", "m"], ["m", "f"]), strict=True):
        codes = [order.index(word) for word in ["f"] * 60 + ["m"] * 40]
        rows = {"sex": np.array(codes), "age": np.array([30.0] * 60 + [70.0] * 40)}
        client.datasets.create(
            "words", {"t": rows}, schema={"sex": {"categories": order}, "age": {"unit": "years"}}
        )
    tables = [client.datasets["words"] for client in clients]
    result = sy.analyze(tables, ["count", "mean"], columns="age", by="sex")
    assert result["mean", "age"] == {"f": 30.0, "m": 70.0} and result["count", "age"] == {"f": 120, "m": 80}
    call = clients[1].call

    def down(message: Any, **options: Any) -> Any:
        raise Unavailable("is down")

    clients[1].call = down
    result = sy.analyze(tables, ["count", "mean"], columns="age", by="sex", missing="skip")
    assert result["count", "age"]["f"].value == 60 and "60*" in repr(result)
    document = json.loads(json.dumps(_document(result)))
    assert document["results"][0]["group"] == {"sex": "f"} and document["partial"]
    assert document["results"][0]["columns"]["age"]["count"] == {
        "value": 60, "partial": True, "without": ["south (t): left out: is down"],
    }  # fmt: skip
    clients[1].call = call
    clients[1].datasets["words"]["t"].update(
        schema={"sex": {"categories": ["m", "f"]}, "age": {"unit": "months"}}
    )
    with pytest.raises(BadRequest, match=r"different units \(years at north; months at south\)"):
        sy.analyze([client.datasets["words"] for client in clients], "mean", columns="age")
    for client in clients:
        client.datasets["words"].delete()


def test_a_domain_that_hangs_behind_a_network(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a search found is connected to by whoever waits for that Domain, within the time that there is."""
    network = sy.login(region.network.url, EMAIL, PASSWORD)
    assert isinstance(network, sy.NetworkClient)
    for name in ("north", "south"):
        network.connect(name, EMAIL, PASSWORD)
    tables = network.search("diabetes").assets
    slow = next(table for table in tables if table.source.name == "south")
    logged_in, over = sy.NetworkClient.logged_in, threading.Event()

    def late(self: Any, domain_id: str) -> Any:
        if domain_id == slow.source.domain_id:
            over.wait(60.0)
        return logged_in(self, domain_id)

    monkeypatch.setattr(sy.NetworkClient, "logged_in", late)
    result = network.analyze(tables, "count", columns="bmi", timeout=3.0, missing="skip")
    assert result["count", "bmi"].value == 3000 and result["count", "bmi"].sites == ("south",)
    with pytest.raises(DeadlineExceeded, match=r"^south: "):
        network.analyze(tables, "count", columns="bmi", timeout=3.0)
    over.set()


def node_of(region: Region, node_id: str) -> Node:
    return next(domain.node for domain in region.domains if domain.node.id == node_id)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"statistics": "mode"}, BadRequest, "statistics are"),
        ({"statistics": []}, BadRequest, "statistics are"),
        ({"columns": "weight"}, BadRequest, "no column 'weight'; it has: age"),
        ({"columns": [3]}, BadRequest, "named by text"),
        ({"by": "age"}, BadRequest, "'age' is float64"),
        ({"statistics": "quantile", "q": 1.5}, BadRequest, "from 0 to 1"),
        ({"statistics": "quantile", "q": "half"}, BadRequest, "from 0 to 1"),
        ({"statistics": "histogram", "bins": 1_000_000}, BadRequest, "bins"),
        ({"statistics": "histogram", "bins": [1, 2, 2]}, BadRequest, "increase"),
        ({"statistics": "histogram", "bins": "many"}, BadRequest, "edges"),
        ({"statistics": "histogram", "range": (float("nan"), 1)}, BadRequest, "range"),
        ({"statistics": "histogram", "range": (2, 1)}, BadRequest, "range"),
        ({"statistics": "linear_regression"}, BadRequest, "target"),
        ({"statistics": "linear_regression", "target": "age"}, BadRequest, "target"),
        ({"statistics": "linear_regression", "target": "ill", "by": "sex"}, BadRequest, "without by"),
        ({"target": "ill"}, BadRequest, "only a regression"),
        ({"missing": "ignore"}, BadRequest, "skip"),
    ],
)
def test_what_a_scientist_asks_wrongly(
    region: Region, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        sy.analyze(region.tables(), **{"statistics": "mean", "columns": ["age"], **options})


@pytest.fixture(scope="module")
def stranger(region: Region) -> Any:
    """A caller who writes their own messages."""
    return region.tables()[0]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"columns": ["nothing"]}, BadRequest),
        ({"columns": ["age", "age"]}, BadRequest),
        ({"columns": ["age"] * 300}, BadRequest),
        ({"statistics": ["mode"]}, BadRequest),
        ({"statistics": "mean"}, BadRequest),
        ({"columns": "age"}, BadRequest),
        ({"by": ["bmi"]}, BadRequest),
        ({"histograms": [{"column": "age", "low": "text"}]}, BadRequest),
        ({"histograms": [{"column": "age", "count": 1_000_000}]}, BadRequest),
        ({"histograms": [{"column": "age", "low": float("nan"), "high": 1.0}]}, BadRequest),
        ({"histograms": [{"column": "age", "low": -1e308, "high": float("inf")}]}, BadRequest),
        ({"histograms": [{"column": "age", "edges": [0.0, float("nan"), 2.0]}]}, BadRequest),
        ({"histograms": [{"column": "bmi", "low": 0.0, "high": 1.0}]}, BadRequest),
        ({"statistics": ["linear_regression"], "target": "nothing"}, BadRequest),
        ({"object_id": "f" * 32}, (Forbidden, NotFound)),
    ],
)
def test_hostile_beginnings(
    stranger: Any, fields: dict[str, Any], error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    whole = {"object_id": stranger.object_id, "statistics": ["histogram"], "columns": ["age"], **fields}
    with pytest.raises(error):
        stranger.client.call(_raw(whole))


def _raw(fields: dict[str, Any]) -> Begin:
    """A message that no SDK checked."""
    message = Begin(object_id="0" * 32, statistics=["mean"], columns=["age"])
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def test_an_object_that_is_no_table(stranger: Any) -> None:
    text = stranger.client.store.put("only text")
    with pytest.raises(BadRequest, match="no table"):
        sy.analyze(text, "mean")
    deep = stranger.client.store.put(__import__("torch").zeros(2, 2, 2))
    with pytest.raises(BadRequest, match="no columns"):
        sy.analyze(deep, "mean")


def test_hostile_rounds(stranger: Any, region: Region) -> None:
    def go_on(**fields: Any) -> Any:
        return stranger.client.call(Continue(analysis_id=begun.analysis_id, **fields))

    message = Begin(object_id=stranger.object_id, statistics=["quantile"], columns=["age"], by=["sex"])
    begun = stranger.client.call(message)
    with pytest.raises(BadRequest, match="not about"):
        go_on(ranks=[RankQuery(column="bmi", start=0, shift=4)])
    with pytest.raises(BadRequest, match="no such group"):
        go_on(ranks=[RankQuery(column="age", start=0, shift=4, group=2)])
    with pytest.raises(BadRequest, match="not begun"):
        go_on(histograms=[Bins(column="age")])
    with pytest.raises(TooLarge):
        go_on(ranks=[RankQuery(column="age", start=0, shift=4)] * 300)
    whole = go_on(ranks=[RankQuery(column="age", start=-(1 << 63), shift=64, bins=4096)])
    assert whole.ranks[0].counts == [begun.columns[0].count[0]]
    with pytest.raises(NotFound, match="begin again"):
        stranger.client.call(Continue(analysis_id="0" * 32))
    with pytest.raises(TooManyRequests):
        for _ in range(70):
            go_on()


def test_tables_that_do_not_fit(region: Region) -> None:
    client = region.tables()[0].client
    uneven = client.datasets.create("uneven", {"t": {"a": np.arange(3.0), "b": np.arange(4.0)}})
    with pytest.raises(BadRequest, match="same number of rows"):
        sy.analyze(uneven, "mean")
    empty = client.datasets.create("empty", {"t": {"a": np.zeros(0), "g": np.zeros(0, dtype=np.int64)}})
    result = sy.analyze(empty, ["count", "mean", "quantile", "histogram"], columns="a")
    assert result["count", "a"] == 0 and np.isnan(result["mean", "a"])
    assert np.isnan(result["quantile", "a"][0.5]) and sum(result["histogram", "a"].counts) == 0
    assert sy.analyze(empty, ["mean", "quantile", "histogram"], columns="a", by="g").groups == []
    wide = client.datasets.create("wide", {"t": {"a": np.zeros(11_000), "g": np.arange(11_000)}})
    with pytest.raises(TooLarge, match="too many groups"):
        sy.analyze(wide, "mean", columns="a", by="g")
    with pytest.raises(BadRequest, match="named twice"):
        sy.analyze([wide, wide], "mean")
    with pytest.raises(BadRequest, match="asset of a dataset"):
        sy.analyze([3], "mean")


def test_a_user_without_permission(region: Region) -> None:
    owner = region.tables()[0]
    owner.client.users.create("eve@x.org", PASSWORD)
    eve = sy.login(region.domains[0].url, "eve@x.org", PASSWORD)
    table = eve.datasets["diabetes"]["patients"]
    with pytest.raises(
        Forbidden, match=r"north: you may see this, not have statistics of it; ask: \.request"
    ):
        sy.analyze(table, "mean")
    with pytest.raises(NotFound, match="no such object"):
        eve.call(DescribeTable(object_id="f" * 32))


def grid(*arguments: str) -> str:
    from apps.cli.main import cli

    result = CliRunner().invoke(cli, ["analyze", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_from_a_terminal(region: Region) -> None:
    region.tables()  # logs in
    north = ("--url", region.domains[0].url)
    text = grid("diabetes", "--stat", "mean", "--stat", "histogram", "--column", "age", "--by", "sex", *north)
    assert "Statistics of 1 table at north" in text and "histogram" in text
    sy.login(region.network.url, EMAIL, PASSWORD)
    everywhere = ("--url", region.network.url, "--format", "json")
    found = json.loads(
        grid("diabetes/patients", "--stat", "quantile", "-q", "0.5", "--column", "bmi", *everywhere)
    )
    assert found["results"][0]["columns"]["bmi"]["quantile"] == {
        "0.5": np.median(region.pooled["bmi"].astype(float))
    }
    assert [table["domain"] for table in found["tables"]] == ["north", "south"]
    fit = json.loads(
        grid("diabetes", "--stat", "linear_regression", "--column", "bmi", "--target", "ill", *everywhere)
    )["linear_regression"]
    assert list(fit["coefficients"]) == ["(intercept)", "bmi"] and fit["rows"] == 5000
    with pytest.raises(NotFound, match="no Domain"):
        grid("nothing", "--stat", "mean", *everywhere)


def test_over_rest(region: Region) -> None:
    table = region.tables()[0]
    headers = {"Authorization": f"Bearer {table.client.connection.token}"}
    asked = {
        "object_id": table.object_id,
        "statistics": ["mean", "min"],
        "columns": ["age"],
        "by": ["smoker"],
    }
    answer = urllib3.request("POST", f"{region.domains[0].url}/statistics", json=asked, headers=headers)
    assert answer.status == 200 and answer.json()["groups"] == [[0], [1]]
    (column,) = answer.json()["columns"]
    rows = region.rows[0]
    ages = rows["age"][rows["smoker"]]
    assert column["mean"][1] == pytest.approx(np.nanmean(ages)) and column["min"][1] == np.nanmin(ages)
    asked["columns"] = [7]
    assert (
        urllib3.request("POST", f"{region.domains[0].url}/statistics", json=asked, headers=headers).status
        == 400
    )
    assert urllib3.request("POST", f"{region.domains[0].url}/statistics", json=asked).status == 401
