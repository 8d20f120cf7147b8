"""The page on which people take part: strict, the same whether or not there is a training, and at Domains only."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import urllib3

from apps.domain.app import build
from grid.config import DomainSettings
from grid.web.testing import ServedNode
from syft_ext.ids import new_id

from .probe import make_node

HTTP = urllib3.PoolManager(retries=False)


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    made = build(tmp_path_factory.mktemp("domain"), DomainSettings(name="<b>Ward</b> 3"))
    with ServedNode(made) as served:
        yield served


def policy(answer: urllib3.BaseHTTPResponse) -> dict[str, list[str]]:
    (line,) = answer.headers.getlist("Content-Security-Policy")
    return {name: rest for name, *rest in (part.split() for part in line.split(";"))}


def test_it_runs_own_scripts_and_nothing_else(domain: ServedNode) -> None:
    for path in (f"/join/{new_id()}", "/static/peer/grid.js"):
        answer = HTTP.request("GET", domain.url + path)
        assert answer.status == 200
        found = policy(answer)
        assert found["default-src"] == ["'none'"]
        assert found["script-src"] == ["'self'", "'wasm-unsafe-eval'"]
        assert found["connect-src"] == ["'self'"]
        assert found["require-trusted-types-for"] == ["'script'"]
        assert found["frame-ancestors"] == found["form-action"] == found["base-uri"] == ["'none'"]
    assert "'wasm-unsafe-eval'" not in policy(HTTP.request("GET", domain.url + "/docs"))["script-src"]


def test_nothing_in_it_is_a_script_or_from_elsewhere(domain: ServedNode) -> None:
    training = new_id()
    page = HTTP.request("GET", f"{domain.url}/join/{training}").data.decode()
    assert re.findall(r"<script[^>]*>(.*?)</script>", page) == [""]
    assert not re.search(r"\son\w+=|style=|https?://|javascript:", page)
    assert f'data-training="{training}"' in page
    assert f'data-key="{domain.node.identity.verify_key}"' in page
    assert 'data-node="&lt;b&gt;Ward&lt;/b&gt; 3"' in page
    for source in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert source.startswith("/static/")


def test_it_says_nothing_of_what_there_is(domain: ServedNode) -> None:
    one, other = new_id(), new_id()
    pages = [HTTP.request("GET", f"{domain.url}/join/{each}").data.decode() for each in (one, other)]
    assert pages[0].replace(one, other) == pages[1]


@pytest.mark.parametrize("name", ["x", "A" * 32, "0" * 31, "0" * 33, f"{'0' * 32}/x", "%2e%2e"])
def test_what_is_no_id_is_no_page(domain: ServedNode, name: str) -> None:
    assert HTTP.request("GET", f"{domain.url}/join/{name}").status == 404


def test_its_address_can_be_given_away(domain: ServedNode) -> None:
    answer = HTTP.request("GET", f"{domain.url}/join/{new_id()}/qr.svg")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/svg+xml")
    assert answer.data.startswith(b"<svg")
    assert b"<script" not in answer.data


def test_nodes_without_trainings_have_no_such_page(tmp_path_factory: pytest.TempPathFactory) -> None:
    with ServedNode(make_node(tmp_path_factory.mktemp("probe"))) as served:
        assert HTTP.request("GET", f"{served.url}/join/{new_id()}").status == 404
