"""Health, metrics, the API's description, and the pages, in a real browser where there is one."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from openapi_spec_validator import validate
from playwright.sync_api import Page, expect, sync_playwright
from prometheus_client import Gauge
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from grid.web.testing import ServedNode

from .probe import NodeService, make_node, token_of
from .wire import Wire

HTTP = urllib3.PoolManager(retries=False)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    made = make_node(tmp_path_factory.mktemp("front"))
    made.name = "St. Mary's <script>alert(1)</script>"
    with ServedNode(made) as served:
        yield served


def get(url: str, **headers: str) -> urllib3.BaseHTTPResponse:
    return HTTP.request("GET", url, headers=headers)


# -- health and metrics ---------------------------------------------------------------------------------


def test_alive_and_ready(node: ServedNode) -> None:
    assert get(f"{node.url}/healthz").json() == {"status": "alive"}
    ready = get(f"{node.url}/readyz")
    assert (ready.status, ready.json()["status"]) == (200, "ready")
    assert ready.json()["checks"]["database"] == "ok"


def test_not_ready_when_a_service_is_unwell(node: ServedNode) -> None:
    service = node.node.service(NodeService)
    service.unwell = "the other side is down"
    try:
        answer = get(f"{node.url}/readyz")
        assert answer.status == 503
        assert answer.json()["checks"]["other side"] == "the other side is down"
        assert get(f"{node.url}/healthz").status == 200
        assert "not ready" in get(f"{node.url}/").data.decode()
    finally:
        service.unwell = ""


def test_not_ready_when_the_database_is_gone(tmp_path: Path) -> None:
    with ServedNode(make_node(tmp_path)) as served:
        served.node.db.ping = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        answer = get(f"{served.url}/readyz")
        assert (answer.status, answer.json()["checks"]["database"]) == (503, "failed")


def sample(node: ServedNode, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(get(f"{node.url}/metrics").data.decode())
    found = (one for family in families for one in family.samples)
    return sum(one.value for one in found if one.name == name and labels.items() <= one.labels.items())


def test_metrics_count_every_transport(node: ServedNode) -> None:
    def count(scheme: str, status: str) -> float:
        return sample(node, "grid_requests_total", scheme=scheme, status=status)

    before = {key: count(*key) for key in (("http", "200"), ("ws", "200"), ("ws", "404"), ("http", "401"))}
    received = sample(node, "grid_received_bytes_total")
    get(f"{node.url}/probe/search")
    HTTP.request("PUT", f"{node.url}/probe/uploads/x", body=b"x" * 1000)
    headers = {"Authorization": f"Bearer {token_of(node.node)}"}
    HTTP.request("PUT", f"{node.url}/probe/uploads/x", body=b"x" * 50_000, headers=headers)
    with connect(f"{node.url.replace('http', 'ws', 1)}/ws") as ws:
        for event in ('{"type":"probe.search"}', '{"type":"probe.madeup"}'):
            ws.send(event)
            ws.recv()
        assert sample(node, "grid_websockets") == 1
    assert count("ws", "200") == before["ws", "200"] + 1
    assert count("ws", "404") == before["ws", "404"] + 1
    assert count("http", "401") == before["http", "401"] + 1
    assert count("http", "200") > before["http", "200"]
    assert sample(node, "grid_requests_total", operation="probe.upload", status="201") == 1
    assert sample(node, "grid_received_bytes_total") - received >= 50_000
    assert sample(node, "grid_request_seconds_count", operation="probe.search") >= 2
    assert sample(node, "grid_operations_in_flight") == 0
    assert "madeup" not in get(f"{node.url}/metrics").data.decode()  # callers make up no labels


def test_a_request_that_cannot_be_read_is_not_counted_as_the_one_before(node: ServedNode) -> None:
    def count() -> float:
        return sample(node, "grid_requests_total", operation="probe.search", status="200")

    before = count()
    with Wire(node.url) as wire:
        assert wire.request("GET", "/probe/search")[0] == 200
        wire.send("GET / HTTP/1.1\r\nHost : x\r\n\r\n")
        assert wire.response()[0] == 400
        assert wire.closed()
    assert count() == before + 1


def test_services_can_add_metrics(node: ServedNode) -> None:
    Gauge("probe_temperature", "Of the probe", registry=node.node.metrics).set(36.6)
    assert sample(node, "probe_temperature") == 36.6


def test_the_access_log_is_structured_and_keeps_secrets_out(
    node: ServedNode, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="grid.access"):
        get(f"{node.url}/probe/search?name=sesame", **{"Probe-Secret": "hush", "X-Request-ID": "log-1"})
        get(f"{node.url}/nope%0d%0aforged")
    lines = [record.getMessage() for record in caplog.records if record.name == "grid.access"]
    line = next(line for line in lines if "id=log-1" in line)
    fields = dict(part.split("=", 1) for part in line.split())
    assert (fields["method"], fields["path"], fields["status"]) == ("GET", "/probe/search", "200")
    assert fields["operation"] == "probe.search"
    assert float(fields["ms"]) >= 0
    assert not any(word in text for word in ("sesame", "hush") for text in lines)
    assert all("\n" not in text for text in lines)


# -- description ----------------------------------------------------------------------------------------


def test_the_description_is_valid_openapi_and_complete(node: ServedNode) -> None:
    response = get(f"{node.url}/openapi.json")
    document = response.json()
    validate(document)
    assert document["openapi"].startswith("3.1")
    described = {
        operation["operationId"]: (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    for spec in node.node.map.operations():
        path, method, operation = described[spec.name]
        assert (path, method) == (spec.path, spec.method.lower())
        assert operation["x-permission"] == str(spec.permission)
        assert bool(operation["security"]) == (spec.permission.kind != "anyone")
        assert str(spec.status) in operation["responses"]
        inside = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
        assert inside == set(spec.path_fields)
        assert operation["x-codeSamples"][0]["source"].startswith("curl")
    assert described["probe.upload"][2]["requestBody"]["content"].keys() == {"application/octet-stream"}
    assert {"200", "206", "304", "416"} <= described["probe.download"][2]["responses"].keys()
    body = described["probe.echo"][2]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"].keys() == {"number", "ratio", "tags", "data", "nested"}
    assert body["properties"]["number"]["description"] == "a number."
    headers = {one["name"] for one in described["probe.echo"][2]["parameters"] if one["in"] == "header"}
    assert headers == {"Probe-Secret"}
    again = get(f"{node.url}/openapi.json", **{"If-None-Match": response.headers["ETag"]})
    assert again.status == 304


def test_pages_need_nothing_from_elsewhere_and_escape(node: ServedNode) -> None:
    for path in ("/", "/docs"):
        page = get(node.url + path).data.decode()
        assert "<script>alert" not in page
        assert "://" not in page.replace(node.url, "")
        for part in page.split('"'):
            if part.startswith("/static/"):
                assert get(node.url + part).status == 200
    assert get(f"{node.url}/static/../app.py").status == 404
    assert get(f"{node.url}/static/%2e%2e/app.py").status == 404


# -- a browser --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def test_the_docs_page_searches_and_tries(node: ServedNode, page: Page) -> None:
    troubles: list[Any] = []
    page.on("pageerror", lambda error: troubles.append(error))
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.goto(f"{node.url}/docs")
    page.wait_for_selector(".operation")
    count = page.locator(".operation").count()
    assert count == len(node.node.map.operations()) + 4
    page.fill("#search", "flag can_upload")
    assert page.locator(".operation:visible").count() == 1
    page.fill("#search", "zzz")
    assert page.locator("#nothing").is_visible()
    page.fill("#search", "")
    page.fill("#token", token_of(node.node, flags=["can_upload_data"]))
    card = page.locator('[id="probe.forget"]')
    card.locator("summary").click()
    card.locator("form input").fill("a/b")
    card.get_by_role("button", name="Send").click()
    card.locator(".status").wait_for()
    assert card.locator(".status").inner_text().startswith("404")  # a slash does not get into a path field
    card.locator("form input").fill("thing")
    card.get_by_role("button", name="Send").click()
    # No script of the test's own: the page's policy refuses what is evaluated.
    expect(card.locator(".status")).to_have_text(re.compile(r"^\s*204"))
    page.goto(f"{node.url}/docs#probe.echo")
    echo = page.locator('[id="probe.echo"]')
    echo.locator("form input").first.fill("ada")
    echo.locator("textarea").fill('{"number": 42}')
    echo.get_by_role("button", name="Send").click()
    echo.locator(".answer pre").wait_for()
    assert json.loads(echo.locator(".answer pre").inner_text())["number"] == 42
    assert [text for text in troubles if "404" not in str(text)] == []


def test_dark_and_light_differ_and_are_remembered(node: ServedNode, page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(f"{node.url}/docs")
    page.wait_for_selector(".operation")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.click("#theme")
    light = page.evaluate(background)
    assert dark != light
    page.goto(node.url)
    assert page.evaluate(background) == light
    assert page.locator("h1").inner_text() == node.node.name
