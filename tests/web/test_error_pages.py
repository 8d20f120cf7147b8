"""Errors in a browser are pages; programs get the problem document."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import urllib3

from grid.web.pages.errors import wants_html
from grid.web.testing import ServedNode

from .probe import make_node

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
HTTP = urllib3.PoolManager(retries=False)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    made = make_node(tmp_path_factory.mktemp("pages"))
    made.name = "St. Mary's <script>alert(1)</script>"
    with ServedNode(made) as served:
        yield served


@pytest.mark.parametrize(
    "path", ["/nowhere", "/static/nowhere.css", "/nowhere/%3Cscript%3E", "//", "/docs/x"]
)
def test_an_address_that_is_not_there(node: ServedNode, path: str) -> None:
    shown = HTTP.request("GET", node.url + path, headers={"Accept": BROWSER})
    page = shown.data.decode()
    assert shown.status == 404 and shown.headers["Content-Type"] == "text/html; charset=utf-8"
    assert (
        "Accept" in shown.headers["Vary"] and "default-src 'none'" in shown.headers["Content-Security-Policy"]
    )
    assert "<h1>" in page and 'href="/docs"' in page
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    for accept in ("*/*", "application/json", "application/problem+json", ""):
        told = HTTP.request("GET", node.url + path, headers={"Accept": accept})
        assert told.status == 404 and told.headers["Content-Type"] == "application/problem+json"
        assert told.json()["code"] == "not-found"
    assert HTTP.request("HEAD", node.url + path, headers={"Accept": BROWSER}).data == b""


def test_other_errors_keep_their_status_and_their_headers(node: ServedNode) -> None:
    shown = HTTP.request("POST", f"{node.url}/healthz", headers={"Accept": BROWSER})
    assert shown.status == 405 and "GET" in shown.headers["Allow"]
    assert shown.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("application/xhtml+xml", True),
        ("TEXT/HTML;q=0.5", True),
        ("text/html;q=0", False),
        ("text/html;q=0.5, application/json", False),
        ("text/html, application/problem+json", False),
        ("*/*", False),
        ("text/*", False),
        ("text/html;q=x", False),
        ("", False),
    ],
)
def test_who_asked_for_a_page(accept: str, page: bool) -> None:
    assert wants_html(accept) == page
