"""The router by itself: which view a path leads to, which methods it has, and what is handed over."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from grid.web.http.request import Request
from grid.web.http.response import Response
from grid.web.http.routing import HANDSHAKE, Router, Values, View


def named(name: str) -> View:
    def view(_request: Request, values: Values) -> Response:
        return Response(msgspec.json.encode([name, values]))

    return view


def router_of(*routes: tuple[str, str]) -> Router:
    router = Router()
    for method, rule in routes:
        router.add(rule, method, named(f"{method} {rule}"))
    return router


def answer(router: Router, method: str, path: str, **more: str) -> Response:
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, **more}
    response = router.answer(environ)
    assert response is not None
    return response


def reached(router: Router, method: str, path: str, **more: str) -> Any:
    response = answer(router, method, path, **more)
    assert isinstance(response.body, bytes)
    return msgspec.json.decode(response.body) if response.status == 200 else response.status


def test_the_rule_that_says_more_wins() -> None:
    router = router_of(
        ("GET", "/a/<x>"), ("GET", "/a/<int:n>"), ("GET", "/a/b"), ("DELETE", "/a/b"), ("POST", "/a/<y>/c")
    )
    assert reached(router, "GET", "/a/b") == ["GET /a/b", {}]
    assert reached(router, "GET", "/a/7") == ["GET /a/<int:n>", {"n": 7}]
    assert reached(router, "GET", "/a/seven") == ["GET /a/<x>", {"x": "seven"}]
    assert reached(router, "POST", "/a/b/c") == ["POST /a/<y>/c", {"y": "b"}]
    assert reached(router, "POST", "/a/7/c") == ["POST /a/<y>/c", {"y": "7"}]
    assert reached(router, "DELETE", "/a/7") == 405


def test_paths_are_taken_as_they_are() -> None:
    router = router_of(("GET", "/a/<x>"), ("GET", "/"), ("GET", "/a"))
    for path in ("/a/", "//a", "/a//", "//a/b", "/a/b/", "a", "", "//", "/A", "/a/b/c"):
        assert reached(router, "GET", path) == 404, path
    assert reached(router, "GET", "/a/..") == ["GET /a/<x>", {"x": ".."}]
    assert reached(router, "GET", "/a/\xc3\xbc") == ["GET /a/<x>", {"x": "ü"}]
    assert reached(router, "GET", "/a/\xff") == ["GET /a/<x>", {"x": "\ufffd"}]


def test_methods_follow_from_what_is_registered() -> None:
    router = router_of(("GET", "/a"), ("POST", "/a"), ("PUT", "/b/<x>"))
    refused = answer(router, "DELETE", "/a")
    assert (refused.status, dict(refused.headers)["Allow"]) == (405, "GET, HEAD, POST, OPTIONS")
    asked = answer(router, "OPTIONS", "/b/c")
    assert (asked.status, dict(asked.headers)["Allow"]) == (200, "PUT, OPTIONS")
    assert reached(router, "HEAD", "/a") == ["GET /a", {}]
    assert reached(router, "HEAD", "/b/c") == 405
    assert reached(router, "OPTIONS", "/c") == 404
    assert dict(answer(router, "OPTIONS", "*").headers)["Allow"].startswith("GET, HEAD, POST")


def test_websockets_are_reached_by_handshakes_only() -> None:
    router = router_of((HANDSHAKE, "/a"), ("GET", "/a"), ("POST", "/a"), (HANDSHAKE, "/only"))
    offer = {"HTTP_UPGRADE": "WebSocket"}
    assert reached(router, "GET", "/a", **offer) == [f"{HANDSHAKE} /a", {}]
    assert reached(router, "GET", "/a") == ["GET /a", {}]
    assert reached(router, "GET", "/a", HTTP_UPGRADE="h2c") == ["GET /a", {}]
    assert reached(router, "POST", "/a", **offer) == ["POST /a", {}]
    assert reached(router, "GET", "/only") == 404  # it has no methods that could be named
    assert "websocket" not in dict(answer(router, "PUT", "/a").headers)["Allow"]


def test_pages_see_nothing_of_an_offer_that_nobody_takes_up() -> None:
    def page(request: Request, _values: Values) -> Response:
        return Response(msgspec.json.encode(request.header("Upgrade")))

    router = Router()
    router.mount("/docs", page)
    assert reached(router, "GET", "/docs", HTTP_UPGRADE="websocket") is None


def test_pages_get_what_is_theirs_and_nothing_else() -> None:
    router = router_of(("GET", "/a"), ("GET", "/console/api"))
    router.mount("/", named("pages"))
    router.mount("/console/", named("console"), below=True)
    assert reached(router, "PATCH", "/") == ["pages", {}]
    assert reached(router, "GET", "/console/x/y") == ["console", {}]
    assert reached(router, "GET", "/console/api") == ["GET /console/api", {}]
    for path in ("/console", "/consoles", "//console/x", "//", "/x"):
        assert reached(router, "GET", path) == 404, path
    assert reached(router, "POST", "/a") == 405
    router.mount("/", named("the rest"), below=True)
    assert reached(router, "GET", "/x") == ["the rest", {}]
    assert reached(router, "GET", "//x") == 404  # to Flask it would be /x
    assert reached(router, "POST", "/console/api") == 405


def test_errors_of_views_are_problems() -> None:
    def view(_request: Request, _values: Values) -> Response:
        raise RuntimeError("password=hunter2")

    router = Router()
    router.add("/a", "GET", view)
    refused = answer(router, "GET", "/a")
    assert refused.status == 500
    assert isinstance(refused.body, bytes)
    assert b"hunter2" not in refused.body


@pytest.mark.parametrize("rule", ["/a", "/b/<y>", "/c/x<y>", "/c/<path:y>"])
def test_rules_that_cannot_be(rule: str) -> None:
    router = router_of(("GET", "/a"), ("GET", "/b/<x>"))
    with pytest.raises(ValueError, match=rule):
        router.add(rule, "GET", named("again"))


SEGMENTS = st.sampled_from(["a", "b", "7", "<x>", "<int:n>"])
RULES = st.lists(
    st.tuples(st.sampled_from(["GET", "POST", "DELETE"]), st.lists(SEGMENTS, min_size=1, max_size=3)),
    max_size=8,
    unique_by=lambda route: (route[0], *route[1]),
)
PATHS = st.lists(st.sampled_from(["a", "b", "7", "12", "", "ä", "a b"]), min_size=1, max_size=4)


def distinct(segments: list[str]) -> str:
    """A rule may not have two values of one name."""
    return "/" + "/".join(s.replace(">", f"{i}>") if s[0] == "<" else s for i, s in enumerate(segments))


@given(RULES, st.sampled_from(["GET", "HEAD", "POST", "DELETE", "PUT"]), PATHS)
def test_it_agrees_with_werkzeugs(
    rules: list[tuple[str, list[str]]], method: str, segments: list[str]
) -> None:
    routes = [(verb, distinct(parts)) for verb, parts in rules]
    path = "/" + "/".join(segments)
    known = Map([Rule(rule, endpoint=f"{verb} {rule}", methods=[verb]) for verb, rule in routes])
    known.merge_slashes = False
    if path.startswith("//"):
        return  # Werkzeug takes slashes off the front, which is why it is not asked
    expected: Any
    try:
        endpoint, values = known.bind("x").match(path, method)
        expected = [endpoint, values]
    except HTTPException as error:
        expected = error.code
    assert reached(router_of(*routes), method, path.encode().decode("latin-1")) == expected
