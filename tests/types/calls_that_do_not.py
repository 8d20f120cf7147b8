"""Calls that a type checker refuses: each line with its error's code. Not run: mypy reads it."""

from __future__ import annotations

from typing import assert_type

import torch

import syft_ext as sy
from syft_ext.messages.datasets import CreateDataset, SearchQuery
from syft_ext.plans import make_plan


def log_in() -> None:
    sy.login("http://localhost:5001")  # E: call-arg
    sy.login("http://localhost:5001", "ann@lab.org", "secret", otp="123456")  # E: call-arg
    assert_type(sy.login("http://localhost:5001", "a@b.org", "secret"), sy.DomainClient)  # E: assert-type


def plan() -> None:
    make_plan(nme="p")  # E: call-overload
    make_plan(kind="trainings")  # E: call-overload


def call(domain: sy.DomainClient) -> None:
    domain.call("datasets.list")  # E: arg-type
    domain.call(SearchQuery(), seconds=3.0)  # E: call-arg


def search(domain: sy.DomainClient, network: sy.NetworkClient) -> None:
    domain.search("biopsy", colums=["age"])  # E: call-arg
    domain.search("biopsy", kind="table")  # E: arg-type
    domain.search("biopsy", min_rows="1000")  # E: arg-type
    domain.search("biopsy", ["oncology"])  # E: call-arg
    domain.search(deadline=2.0)  # E: call-arg
    network.search("biopsy", tag="oncology")  # E: call-arg
    network.search("biopsy", limit=None)  # E: arg-type
    network.search("biopsy", deadline="soon")  # E: arg-type


def create(domain: sy.DomainClient) -> None:
    domain.datasets.create()  # E: call-arg
    domain.datasets.create("d", torch.zeros(2), visibilty="users")  # E: call-arg
    domain.datasets.create("d", torch.zeros(2), visibility="everybody")  # E: arg-type
    domain.datasets.create("d", torch.zeros(2), published=["secrets"])  # E: list-item
    domain.datasets.create("d", torch.zeros(2), schema=["age"])  # E: arg-type
    domain.datasets.create("d", torch.zeros(2), mock_rows="many")  # E: arg-type
    domain.datasets.create("d", torch.zeros(2), "generate")  # E: call-arg
    domain.datasets["d"][0].make_mock(row=5)  # E: call-arg


def request(domain: sy.DomainClient, tensor: sy.RemoteTensor) -> None:
    domain.datasets["d"][0].request("why", "write")  # E: arg-type
    domain.search()[0].request("why", scop="read")  # E: call-arg
    domain.store.describe("0" * 32).request("why", scope="find")  # E: arg-type
    tensor.request(why="because")  # E: call-arg


def messages() -> None:
    SearchQuery(colums=["age"])  # E: call-arg
    CreateDataset(description="no name")  # E: call-arg
