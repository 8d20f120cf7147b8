"""A guarded Domain over sockets: what scientist and owner see of noise, price and ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import syft_ext as sy
from apps.assembly import open_node
from grid.accounts.bootstrap import bootstrap_owner
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.catalogue.schemas import ledger_service, query_service, statistics_service
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.governance.policy_service import PolicyService
from grid.node.metadata import MetadataService
from grid.privacy.budget.service import BudgetService
from grid.web.testing import ServedNode
from syft_ext.errors import BadRequest, Conflict, Forbidden

EMAIL, PASSWORD = "owner@lab.org", "correct horse"


def visits(seed: int, rows: int = 6000) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "patient": random.integers(0, 3000, rows),
        "age": random.normal(55, 12, rows),
        "sex": random.integers(0, 2, rows),
        "ill": random.integers(0, 2, rows),
    }


@pytest.fixture  # for each test: what one has paid for, another asks for free
def served(tmp_path: Path, own_folder: Path) -> Iterator[ServedNode]:
    services: list[Any] = [
        MetadataService, *ACCOUNTS, *CATALOGUE, PolicyService, BudgetService, statistics_service, ledger_service,
        query_service,
    ]  # fmt: skip
    node = open_node("domain", tmp_path / "mercy", "mercy", services)
    bootstrap_owner(node, EMAIL, PASSWORD)
    with ServedNode(node) as served:
        owner = sy.login(served.url, EMAIL, PASSWORD)
        assert isinstance(owner, sy.DomainClient)
        owner.policy.set(min_rows=10, statistics_total=20.0)
        schema: Any = {"sex": {"categories": ["f", "m"]}, "age": {"unit": "years"}}
        owner.datasets.create(
            "visits", {"data": visits(1)}, schema=schema, person="patient", rows_per_person=2
        )
        owner.datasets.create("patients", {"data": visits(2)}, schema=schema)
        yield served


@pytest.fixture
def owner(served: ServedNode) -> sy.DomainClient:
    client = sy.login(served.url, EMAIL, PASSWORD)
    assert isinstance(client, sy.DomainClient)
    return client


def test_the_price_is_what_is_charged(owner: sy.DomainClient) -> None:
    table = owner.datasets["patients"]
    question: Any = {"columns": ["age"], "by": "sex"}
    asked = ["count", "mean", "std", "quantile"]
    (price,) = owner.price(table, asked, **question)
    assert price.domain == "mercy" and price.units > 8 and price.epsilon == 0.0 and price.error == 20.0
    assert "units left" in repr(owner.price(table, asked, **question))
    result = owner.analyze(table, asked, **question)
    assert result.units == {"mercy": price.units}
    (again,) = owner.price(table, asked, **question)
    assert again.units == 0 and price.left is not None and again.left == price.left - price.units
    assert owner.analyze(table, asked, **question).values == result.values
    assert 0 < result.error("mean", "age")["f"] < 1.0
    assert abs(result["mean", "age"]["f"] - 55) < 1.0 and abs(result["quantile", "age"]["m"][0.5] - 55) < 2


def test_a_table_that_names_its_persons(owner: sy.DomainClient) -> None:
    asset = owner.datasets["visits"]["data"]
    assert [(c.name, c.rows_per_person) for c in asset.view.columns if c.rows_per_person] == [("patient", 2)]
    result = owner.analyze(asset, ["count", "mean"], columns="age")
    kept = np.minimum(np.bincount(visits(1)["patient"]), 2).sum()
    assert result.error("count", "age") == 40.0, "twice the noise, for twice the rows"
    assert abs(result["count", "age"] - kept) < 100 and kept < 6000
    asset.update(visits(3), note="one more year")
    assert [c.rows_per_person for c in asset.view.columns] == [2, 0, 0, 0], "what was said of columns stays"
    with pytest.raises(BadRequest, match="rows_per_person"):
        owner.datasets.create("wrong", {"data": visits(4)}, person="patient")
    with pytest.raises(BadRequest, match="whole numbers"):
        owner.datasets.create("wrong", {"data": visits(4)}, person="age", rows_per_person=3)


def test_the_owner_looks_at_the_ledger(owner: sy.DomainClient) -> None:
    dataset = owner.datasets["patients"]
    owner.analyze(dataset, "count", columns="ill")
    ledger = owner.ledger[dataset]
    assert ledger.total == pytest.approx(20.0, abs=1e-6) and 0 < ledger.used < 0.5
    assert ledger.view.charges[0].what in ("count of ill", "published: count of ill")
    assert (
        owner.ledger[dataset["data"]].spent == owner.ledger[dataset["data"].object_id].spent == ledger.spent
    )
    assert owner.ledger[dataset].grant(25.0).total == pytest.approx(25.0, abs=1e-6)
    with pytest.raises(Conflict):
        ledger.grant(0.001)
    assert "of all that may ever be told" in repr(ledger) and "Ledger of patients: data" in repr(ledger)
    assert "patients: data" in repr(owner.ledger) and "used of the whole" in repr(owner.ledger)
    assert EMAIL in repr(ledger) and "<table" in ledger._repr_html_() and "mercy" in repr(owner.ledger)
    assert [each.used for each in owner.ledger.all()] == sorted(
        (e.used for e in owner.ledger.all()), reverse=True
    )


def test_exact_statistics_on_the_owners_word(owner: sy.DomainClient) -> None:
    asset = owner.datasets["patients"]["data"]
    asset.publish_statistics({"ill": ["count", "mean"]})
    noisy, exact = asset.statistics["ill"], {"count": 6000, "mean": visits(2)["ill"].mean()}
    # One of them may be exact by chance, one time in thirty or so; not both.
    assert noisy == pytest.approx(exact, rel=0.05) and noisy != exact
    asset.publish_statistics({"ill": ["count"]}, exact=True)
    assert asset.statistics == {"ill": {"count": 6000}}
    assert "outside of this" in repr(owner.ledger[asset])
    with pytest.raises(Forbidden, match="value of one row"):
        asset.publish_statistics({"age": ["max"]}, exact=True)


def grid(served: ServedNode, *arguments: str) -> str:
    from apps.cli.main import cli

    result = CliRunner().invoke(cli, [*arguments, "--url", served.url], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_from_a_terminal(served: ServedNode, owner: sy.DomainClient, tmp_path: Path) -> None:
    asked = ["analyze", "patients", "--stat", "missing", "--column", "age", "--column", "patient"]
    (price,) = json.loads(grid(served, *asked, "--dry", "--format", "json"))
    assert (price["units"], price["epsilon"]) == (3, 0.0)
    assert "units left" in grid(served, *asked, "--dry")
    found = json.loads(grid(served, *asked, "--format", "json"))
    assert found["units"] == {"mercy": 3} and "carries noise" in found["notes"][0]
    (group,) = found["results"]
    assert group["errors"]["age"]["missing"] == 20.0
    text = grid(served, "ledger", "show", "patients")
    assert "missing of age, patient" in text and EMAIL in text and "used" in text
    used = json.loads(grid(served, "ledger", "list", "--format", "json"))
    assert owner.datasets["patients"]["data"].object_id in {each["object_id"] for each in used}
    granted = json.loads(grid(served, "ledger", "grant", "patients/data", "30", "--format", "json"))
    assert granted["granted"] == pytest.approx(30.0, abs=1e-6)
    assert "count" in grid(served, "dataset", "statistics", "patients", "ill=count")
    table = tmp_path / "more.csv"
    table.write_text("patient,x\n" + "\n".join(f"{row // 3},{row}" for row in range(60)))
    grid(
        served,
        "dataset",
        "add",
        "more",
        "--data",
        str(table),
        "--person",
        "patient",
        "--rows-per-person",
        "3",
    )
    columns = owner.datasets["more"]["data"].view.columns
    assert [column.rows_per_person for column in columns] == [3, 0]


def test_private_queries_in_a_notebook_and_a_terminal(served: ServedNode, owner: sy.DomainClient) -> None:
    asset = owner.datasets["visits"]["data"]
    assert owner.dp.Count(epsilon=0.4).price(asset, "age")["mercy"] > 0
    answer = owner.dp.Count(epsilon=0.4).quick_result(asset.column("age"))
    kept = np.minimum(np.bincount(visits(1)["patient"]), 2).sum()
    assert abs(answer - kept) < 300 and answer.low < answer < answer.high
    assert sy.dp.Count(epsilon=0.4).quick_result([asset], "age") == answer
    with pytest.raises(AttributeError, match="no private query is called 'Mode'"):
        owner.dp.Mode(epsilon=1.0)
    with pytest.raises(BadRequest, match="which column"):
        owner.dp.Count(epsilon=0.4).quick_result(asset)
    asked = ["query", "count", "visits", "--column", "age", "--epsilon", "0.4"]
    found = json.loads(grid(served, *asked, "--format", "json"))
    assert found["value"] == float(answer) and found["tables"][0]["share"] == 0.0
    assert "took 0.00% of the ledger" in grid(served, *asked)
    assert "of the ledger" in grid(served, *asked, "--dry")
