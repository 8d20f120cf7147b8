"""Random searches over a Network in front of two Domains never tell what an owner did not publish.

The rules are those of test_properties.py, in plain Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from grid.catalogue.published_index import changed
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.catalogue.tables import DatasetRow
from grid.config import NetworkSettings
from grid.network.hub import HubService
from grid.network.search import NetworkSearchService
from grid.node import Node
from grid.storage.objects.tables import ObjectRow
from syft_ext.messages.network import RequestAssociation, SearchNetwork, SearchReply
from syft_ext.messages.objects import PutObject
from tests.catalogue.test_properties import (
    DatasetSpec,
    _datasets,
    _questions,
    fits,
    may_find,
    register,
    secrets,
    shows_statistics,
    values,
)
from tests.network.nodes import USER, World

Filled = dict[tuple[str, str], tuple[DatasetSpec, int]]


@pytest.fixture
def world(tmp_path: Path, sqlite_template: Path) -> Iterator[World]:
    world = World(tmp_path, sqlite_template)
    yield world
    world.close()


def make(world: World) -> tuple[Node, list[Node]]:
    hub = partial(HubService, settings=NetworkSettings(auto_accept=True))
    network = world.node("network", "net", [hub, partial(NetworkSearchService, deadline=10.0)])
    domains = [world.domain(name, *CATALOGUE) for name in ("north", "south")]
    for domain in domains:
        for service in domain.services:
            if type(service) in CATALOGUE:
                service.start()
        world.call(domain, RequestAssociation(address=network.address))
    return network, domains


def fill(world: World, domain: Node, specs: list[DatasetSpec], first: int) -> Filled:
    with domain.db.transaction() as session:
        session.execute(delete(DatasetRow))
        session.execute(delete(ObjectRow))
        changed(session)

    def put(data: bytes) -> str:
        world.clock.advance(0.001)
        return str(world.connect(domain).call(PutObject(kind="tensors"), [data]).id)

    filled = {}
    for number, spec in enumerate(specs, first):
        dataset_id, _ = register(number, spec, [], put, partial(world.call, domain))
        filled[domain.name, dataset_id] = (spec, number)
    return filled


def check(reply: SearchReply, question: dict[str, Any], filled: Filled) -> None:
    assert reply.notes == []
    wanted = question["kind"] in ("", "dataset")
    expected = {
        key
        for key, (spec, number) in filled.items()
        if wanted and may_find("network", spec) and fits(question, spec, number)
    }
    assert {(hit.domain_name, str(hit.item["id"])) for hit in reply.results} == expected
    for hit in reply.results:
        spec, number = filled[hit.domain_name, str(hit.item["id"])]
        told = msgspec.json.encode(hit).decode()
        assert not [word for word in secrets("nobody", spec, number) if word in told]
        assert (str(values(number)) in told) == shows_statistics(spec)


def test_a_network_tells_only_what_is_published(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it asks again what it has asked before: with nothing changed, and with everything changed."""
    monkeypatch.setattr("grid.network.answers.SMALL", 0)  # it remembers every answer
    network, domains = make(world)

    @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(_datasets, max_size=2),
        st.lists(_datasets, min_size=1, max_size=2),
        st.lists(_questions(), min_size=3, max_size=6),
    )
    def property_holds(
        north: list[DatasetSpec], south: list[DatasetSpec], questions: list[dict[str, Any]]
    ) -> None:
        for first, second in ((north, south), (south, north)):
            filled = fill(world, domains[0], first, 0) | fill(world, domains[1], second, len(first))
            for question in questions * 2:
                if question["kind"] == "object":
                    question = {**question, "kind": ""}
                check(world.call(network, SearchNetwork(**question), USER), question, filled)

    property_holds()
