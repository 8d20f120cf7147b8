"""The maps of the three real apps: every operation declares its permission, and holds to it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import urllib3
from openapi_spec_validator import validate

from apps.domain.app import build as build_domain
from apps.network.app import build as build_network
from apps.worker.app import build as build_worker
from grid.config import DomainSettings, NetworkSettings, WorkerSettings
from grid.node import Node
from grid.web.api.openapi import build_openapi
from grid.web.app import create_app
from grid.web.testing import ServedApp
from syft_ext.messages import Permission

HTTP = urllib3.PoolManager(retries=False)
KINDS = ("domain", "network", "worker")


@pytest.fixture(scope="module", params=KINDS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    home = tmp_path_factory.mktemp(request.param)
    if request.param == "domain":
        made = build_domain(home, DomainSettings())
    elif request.param == "network":
        made = build_network(home, NetworkSettings())
    else:
        made = build_worker(home, WorkerSettings())
    yield made
    made.stop()


def test_every_operation_declares_who_may_call_it(node: Node) -> None:
    specs = node.map.operations()
    assert specs
    assert all(isinstance(spec.permission, Permission) for spec in specs)


def test_strangers_are_refused_before_anything_is_read(node: Node) -> None:
    with ServedApp(
        create_app(node)
    ) as served:  # the node itself is not started: nothing needs to run for a refusal
        refused = 0
        for spec in node.map.operations():
            url = served.url + spec.path.replace("{", "").replace("}", "")
            response = HTTP.request(spec.method, url, body=b"\xff", headers={"Content-Type": "text/plain"})
            if spec.permission.kind == "anyone":
                assert response.status not in (401, 403), spec.name
                continue
            assert response.status == 401, (spec.name, response.data)
            assert response.json()["code"] == "unauthenticated"
            refused += 1
        assert refused or node.kind == "worker"


def test_their_descriptions_are_valid(node: Node) -> None:
    document = json.loads(json.dumps(build_openapi(node)))
    validate(document)
    described = sum(len(methods) for methods in document["paths"].values())
    assert described == len(node.map.operations()) + 4


def test_no_two_operations_share_a_route(node: Node) -> None:
    import re

    routes = [(spec.method, re.sub(r"{\w+}", "{}", spec.path)) for spec in node.map.operations()]
    assert len(set(routes)) == len(routes)
