"""Calls that a type checker accepts, and the types of what they return. Not run: mypy reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import torch

import syft_ext as sy
from syft_ext.client.node_client import NodeClient
from syft_ext.client.requests import DataRequest
from syft_ext.messages.datasets import ListDatasets
from syft_ext.messages.vocabulary import Scope
from syft_ext.nodes.datasets import Dataset, DatasetAsset
from syft_ext.nodes.found import FoundAsset, Hit, SearchHits
from syft_ext.nodes.network import NetworkSearchResults
from syft_ext.plans import make_plan

node = sy.login("http://localhost:5001", "ann@lab.org", "secret", totp="123456", save=True)
assert_type(node, NodeClient)
assert isinstance(node, sy.DomainClient)
domain: sy.DomainClient = node


@make_plan
def double(x: Any = None) -> Any:
    return x * 2


assert_type(double, sy.Plan)


@make_plan(name="triple", symbols={"x": {0: "B"}})
def triple(x: Any = None) -> Any:
    return x * 3


assert_type(triple, sy.Plan)

assert_type(domain.call(ListDatasets(mine=True), timeout=3.0), Any)

hits = domain.search("biopsy", tags=("oncology",), kind="dataset", min_rows=1000, limit=5)
assert_type(hits, SearchHits[sy.DomainClient])
assert_type(domain.search(), SearchHits[sy.DomainClient])
assert_type(hits[0], Hit[sy.DomainClient])
assert_type(hits[0][0], FoundAsset[sy.DomainClient])


def at_a_network(network: sy.NetworkClient) -> None:
    assert_type(network.search(text="biopsy", columns=["age"], deadline=2.0), NetworkSearchResults)
    assert_type(network.search("biopsy", min_bytes=None, name="biopsies"), NetworkSearchResults)


created = domain.datasets.create(
    "patients",
    Path("patients.csv"),
    mock="generate",
    description="Patients of the trial",
    tags=["trial"],
    subjects="200 people",
    schema={"sex": {"categories": ["f", "m"]}},
    columns=["sex", "age"],
    statistics={"age": ["mean"]},
    mock_rows=50,
    mock_seed=1,
    visibility="users",
    published=["description", "schema"],
    viewers=("0" * 32,),
)
assert_type(created, Dataset)
assert_type(domain.datasets.create("d", mock=torch.zeros(2)), Dataset)
assert_type(domain.datasets.create(name="d", assets=torch.zeros(2)), Dataset)

asset = created["data"]
assert_type(asset.make_mock(), DatasetAsset)
assert_type(asset.make_mock(10, seed=3), DatasetAsset)


def ask(scope: Scope, item: sy.RemoteTensor) -> None:
    assert_type(asset.request("why", scope), DataRequest)
    assert_type(hits[0].request("why"), DataRequest)
    assert_type(hits[0][0].request("why", "statistics"), DataRequest)
    assert_type(domain.store.describe("0" * 32).request(reason="why", scope="compute"), DataRequest)
    assert_type(item.request(), DataRequest)
    assert_type(domain.requests.create("0" * 32, "why", scope), DataRequest)
