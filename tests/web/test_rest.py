"""REST over real sockets: fields, errors, uploads, downloads, and everything a bad client can send."""

from __future__ import annotations

import base64
import json
import socket
from typing import Any

import blake3
import pytest
import urllib3

from grid.web.http.settings import WebSettings
from grid.web.testing import ServedNode

from .probe import ProbeService, content, make_node, token_of
from .wire import Wire

HTTP = urllib3.PoolManager(retries=False)
JSON = {"Content-Type": "application/json"}
MAX_JSON = WebSettings().max_json


def call(method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
    return HTTP.request(method, url, timeout=240, **options)


def problem(response: urllib3.BaseHTTPResponse) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json", response.data
    document = response.json()
    assert document["status"] == response.status
    assert document["type"] == f"urn:grid:error:{document['code']}"
    assert document["title"]
    assert "Traceback" not in response.data.decode()
    return response.status, document["code"]


def bearer(node: ServedNode, kind: str = "user", **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token_of(node.node, kind, **claims)}"}


# -- fields -------------------------------------------------------------------------------------------


def test_path_header_and_json_make_the_message(served: ServedNode) -> None:
    body = {
        "number": 7,
        "tags": ["a", "b"],
        "data": base64.b64encode(b"\0\xff").decode(),
        "nested": {"x": [1]},
    }
    response = call(
        "POST", f"{served.url}/probe/echo/a%20b%C3%BC", json=body, headers={"Probe-Secret": "hush", **JSON}
    )
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {"name": "a bü", "ratio": None, "secret": "hush", **body}


def test_query_strings_are_read_leniently_and_checked(served: ServedNode) -> None:
    response = call("GET", f"{served.url}/probe/search?number=-3&ratio=1.5&tags=x&tags=y&data=AP8%3D")
    assert response.json()["number"] == -3
    assert response.json()["ratio"] == 1.5
    assert response.json()["tags"] == ["x", "y"]
    assert base64.b64decode(response.json()["data"]) == b"\0\xff"
    assert call("GET", f"{served.url}/probe/search?tags=one").json()["tags"] == ["one"]


BAD_FIELDS = {
    "unknown query field": ("GET", "/probe/search?color=red", None, "bad-request"),
    "number that is none": ("GET", "/probe/search?number=seven", None, "bad-request"),
    "field given twice": ("GET", "/probe/search?number=1&number=2", None, "bad-request"),
    "structure in a query": ("GET", "/probe/search?nested=%7B%7D", None, "bad-request"),
    "broken UTF-8": ("GET", "/probe/search?name=%ff%fe", None, "bad-request"),
    "NUL": ("GET", "/probe/search?name=a%00b", None, "bad-request"),
    "secret in the URL": ("GET", "/probe/search?secret=1", None, "bad-request"),
    "broken base64": ("GET", "/probe/search?data=%21%21", None, "bad-request"),
    "not JSON": ("POST", "/probe/echo/x", b"{'number': 1}", "bad-request"),
    "truncated JSON": ("POST", "/probe/echo/x", b'{"number": ', "bad-request"),
    "JSON that is not UTF-8": ("POST", "/probe/echo/x", b'{"nested": {"a": "\xff\xfe"}}', "bad-request"),
    "NUL in JSON": ("POST", "/probe/echo/x", b'{"nested": {"a": "\\u0000"}}', "bad-request"),
    "array": ("POST", "/probe/echo/x", b"[1, 2]", "bad-request"),
    "wrong type": ("POST", "/probe/echo/x", b'{"number": "7"}', "bad-request"),
    "huge number": ("POST", "/probe/echo/x", b'{"number": ' + b"9" * 5000 + b"}", "bad-request"),
    "unknown field": ("POST", "/probe/echo/x", b'{"color": 1}', "bad-request"),
    "field of the path in the body": ("POST", "/probe/echo/x", b'{"name": "y"}', "bad-request"),
    "field of a header in the body": ("POST", "/probe/echo/x", b'{"secret": "y"}', "bad-request"),
    "depth bomb": (
        "POST",
        "/probe/echo/x",
        b'{"nested":' + b'{"a":' * 2_500 + b"1" + b"}" * 2_501,
        "bad-request",
    ),
    "array bomb": ("POST", "/probe/echo/x", b"[" * 16_000, "bad-request"),
    "query beside a body": ("POST", "/probe/echo/x?number=1", b"{}", "bad-request"),
    "missing field": ("POST", "/probe/wait", b"{}", "bad-request"),
    "dots in the path": ("POST", "/probe/echo/%2e%2e", b"{}", "bad-request"),
    "slashes in the path": ("POST", "/probe/echo/..%2f..%2fetc%2fpasswd", b"{}", "not-found"),
    "NUL in the path": ("POST", "/probe/echo/a%00b", b"{}", "bad-request"),
    "broken UTF-8 in the path": ("POST", "/probe/echo/%ff", b"{}", "bad-request"),
}


@pytest.mark.parametrize("case", BAD_FIELDS)
def test_bad_fields_are_refused_before_the_handler(served: ServedNode, case: str) -> None:
    method, path, body, code = BAD_FIELDS[case]
    service = served.node.service(ProbeService)
    before = service.calls
    status, got = problem(call(method, served.url + path, body=body, headers=JSON if body else {}))
    assert (status, got) == (404 if code == "not-found" else 400, code)
    assert service.calls == before


def test_dots_are_not_resolved_on_the_way(served: ServedNode) -> None:
    for path in ("/probe/echo/..", "/probe/echo/.", "/probe/things/../echo/x"):
        with Wire(served.url) as wire:
            status, _, body = wire.request("POST", path, JSON, b"{}")
            assert status in (400, 404)
            assert json.loads(body)["status"] == status


def test_json_must_say_so_and_be_small(served: ServedNode) -> None:
    url = f"{served.url}/probe/echo/x"
    assert problem(call("POST", url, body=b"{}", headers={"Content-Type": "text/plain"})) == (
        415,
        "unsupported-media-type",
    )
    assert problem(call("POST", url, body=b"{}", headers={**JSON, "Content-Encoding": "gzip"}))[0] == 415
    assert (
        call("POST", url, body=b"{}", headers={"Content-Type": "application/json; charset=utf-8"}).status
        == 200
    )
    assert call("POST", url).status == 200  # no body: all fields have defaults
    large = b'{"nested": {"a": "' + b"x" * MAX_JSON + b'"}}'
    assert problem(call("POST", url, body=large, headers=JSON)) == (413, "too-large")
    chunks = iter([large[:100_000]] * (MAX_JSON // 100_000 + 2))
    assert problem(call("POST", url, body=chunks, headers=JSON, chunked=True)) == (413, "too-large")


def test_the_routers_own_errors_are_problems_too(served: ServedNode) -> None:
    assert problem(call("GET", f"{served.url}/nothing/here")) == (404, "not-found")
    response = call("DELETE", f"{served.url}/probe/search")
    assert problem(response) == (405, "method-not-allowed")
    assert "GET" in response.headers["Allow"]
    assert problem(call("GET", f"{served.url}/ws"))[0] == 426
    assert problem(call("GET", f"{served.url}/probe//search"))[0] == 404


def test_errors_of_handlers(served: ServedNode, caplog: pytest.LogCaptureFixture) -> None:
    def fail(how: str) -> urllib3.BaseHTTPResponse:
        return call("POST", f"{served.url}/probe/fail", json={"how": how})

    bug = fail("bug")
    assert problem(bug) == (500, "internal")
    assert b"hunter2" not in bug.data
    assert "hunter2" in caplog.text  # the log has it, the answer has not
    conflict = fail("conflict")
    assert problem(conflict) == (409, "conflict")
    assert conflict.json()["extra"] == {"by": "somebody"}
    assert problem(fail("facts")) == (409, "conflict")
    busy = fail("busy")
    assert problem(busy) == (503, "unavailable")
    assert busy.headers["Retry-After"] == "7"


# -- who may ------------------------------------------------------------------------------------------


def test_every_operation_refuses_whoever_lacks_its_permission_before_it_reads(served: ServedNode) -> None:
    kinds = {"user": "worker", "flag": "user", "worker": "user", "node": "user", "signed": "worker"}
    seen = set()
    for spec in served.node.map.operations():
        if spec.permission.kind == "anyone":
            continue
        url = served.url + spec.path.replace("{", "").replace("}", "")
        garbage = {"body": b"\xff not even JSON", "headers": {"Content-Type": "text/plain"}}
        anonymous = call(spec.method, url, **garbage)
        assert problem(anonymous) == (401, "unauthenticated"), spec.name
        assert anonymous.headers["WWW-Authenticate"].startswith("Bearer")
        garbage["headers"] |= bearer(served, kinds[spec.permission.kind])
        status, code = problem(call(spec.method, url, **garbage))
        assert (status, code) == (403, "forbidden"), spec.name
        seen.add(spec.permission.kind)
    assert seen == set(kinds)


def test_the_right_token_opens(served: ServedNode) -> None:
    url = f"{served.url}/probe/things/x"
    assert problem(call("DELETE", url, headers=bearer(served)))[0] == 403
    response = call("DELETE", url, headers=bearer(served, flags=["can_upload_data"]))
    assert (response.status, response.data) == (204, b"")
    assert (
        call("POST", f"{served.url}/probe/work", json={"amount": 1}, headers=bearer(served, "worker")).status
        == 204
    )


BAD_TOKENS = ["Basic YTpi", "Bearer", "Bearer a.b.c", "Bearer ä", "Bearer " + "x" * 5000, "nonsense"]


@pytest.mark.parametrize("value", BAD_TOKENS)
def test_bad_authorization_is_refused_even_where_none_is_needed(served: ServedNode, value: str) -> None:
    headers = {"Authorization": value.encode("utf-8").decode("latin-1")}
    assert problem(call("GET", f"{served.url}/probe/search", headers=headers)) == (401, "invalid-token")


def test_forged_foreign_expired_and_changed_tokens(served: ServedNode, tmp_path: Any) -> None:
    other = make_node(tmp_path)
    good = token_of(served.node)
    head, body, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "root"}).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    bad = {
        "foreign": token_of(other),
        "expired": token_of(served.node, lifetime=-1),
        "changed": f"{head}.{forged}.{signature}",
        "unsigned": f"{none}.{body}.",
        "unknown kind": token_of(served.node, "wizard"),
    }
    other.stop()
    assert (
        call(
            "PUT", f"{served.url}/probe/uploads/x", body=b"", headers={"Authorization": f"Bearer {good}"}
        ).status
        == 201
    )
    for case, token in bad.items():
        response = call("PUT", f"{served.url}/probe/uploads/x", headers={"Authorization": f"Bearer {token}"})
        assert problem(response) == (401, "invalid-token"), case


# -- uploads ------------------------------------------------------------------------------------------


def test_uploads_stream_with_and_without_a_length(served: ServedNode) -> None:
    data = bytes(range(256)) * 20_000
    url, headers = f"{served.url}/probe/uploads/a", bearer(served)
    for options in (
        {"body": data},
        {"body": iter([data[:7], data[7:300_000], data[300_000:]]), "chunked": True},
    ):
        response = call("PUT", url, headers=headers, **options)
        assert response.status == 201
        assert response.json()["size"] == len(data)
        assert response.json()["digest"] == blake3.blake3(data).hexdigest()
    assert call("PUT", url, headers=headers).json()["size"] == 0


@pytest.fixture
def small(tmp_path: Any) -> Any:
    settings = WebSettings(max_upload=1_000_000, origins=("https://friend.example",))
    with ServedNode(make_node(tmp_path), settings) as node:
        yield node


def test_too_large_uploads_are_refused_at_once(small: ServedNode) -> None:
    with Wire(small.url) as wire:
        token = bearer(small)["Authorization"]
        wire.send(
            f"PUT /probe/uploads/a HTTP/1.1\r\nHost: {wire.host}\r\nAuthorization: {token}\r\n"
            "Content-Length: 99999999999\r\n\r\n"
        )
        status, headers, body = wire.response()  # not a byte of the body was sent
        assert (status, json.loads(body)["code"]) == (413, "too-large")
        assert headers["connection"] == "close"
    chunks = iter([b"x" * 100_000] * 20)
    response = call("PUT", f"{small.url}/probe/uploads/a", headers=bearer(small), body=chunks, chunked=True)
    assert problem(response) == (413, "too-large")
    assert "a" not in small.node.service(ProbeService).stored


def test_unread_bodies_are_drained_or_the_connection_closes(served: ServedNode) -> None:
    token = bearer(served)["Authorization"]
    with Wire(served.url) as wire:
        headers = {"Authorization": token}
        status, fields, _ = wire.request("PUT", "/probe/uploads/a?take=0", headers, b"x" * 100_000)
        assert (status, "connection" in fields) == (201, False)
        assert wire.request("GET", "/probe/search")[0] == 200  # the same connection goes on
        status, fields, body = wire.request("PUT", "/probe/uploads/a?take=0", headers, b"x" * 3_000_000)
        assert (status, fields["connection"]) == (201, "close")
        assert json.loads(body)["size"] == 0
        assert wire.closed()


def test_a_body_that_ends_early_is_no_upload(served: ServedNode) -> None:
    stored = served.node.service(ProbeService).stored
    for framing in (
        "Content-Length: 1000\r\n\r\n" + "x" * 10,
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ):
        with Wire(served.url) as wire:
            wire.send(
                f"PUT /probe/uploads/cut HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: {bearer(served)['Authorization']}\r\n{framing}"
            )
            wire.socket.shutdown(socket.SHUT_WR)
            status, _, body = wire.response()
            assert (status, json.loads(body)["code"]) == (400, "bad-request")
    assert "cut" not in stored


def test_expect_continue(served: ServedNode) -> None:
    head = "PUT /probe/uploads/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
    with Wire(served.url) as wire:
        wire.send(head + f"Authorization: {bearer(served)['Authorization']}\r\n\r\n")
        assert wire.head()[0] == 100
        wire.send(b"hello")
        assert json.loads(wire.response()[2])["size"] == 5
    with Wire(served.url) as wire:
        wire.send(head + "\r\n")  # no token: refused without asking for the body
        status, fields, _ = wire.response()
        assert (status, fields["connection"]) == (401, "close")


# -- downloads ----------------------------------------------------------------------------------------

SIZE = 300_001
WHOLE = b"".join(content(0, SIZE))
ETAG = f'"{blake3.blake3(WHOLE).hexdigest()}"'


@pytest.mark.parametrize(
    ("headers", "status", "span"),
    [
        ({}, 200, (0, SIZE)),
        ({"Range": "bytes=0-0"}, 206, (0, 1)),
        ({"Range": "bytes=100-199999"}, 206, (100, 200_000)),
        ({"Range": "bytes=300000-"}, 206, (300_000, SIZE)),
        ({"Range": "bytes=-7"}, 206, (SIZE - 7, SIZE)),
        ({"Range": "bytes=5-99999999"}, 206, (5, SIZE)),
        ({"Range": "bytes=0-1,5-6"}, 200, (0, SIZE)),
        ({"Range": "lines=0-1"}, 200, (0, SIZE)),
        ({"Range": "nonsense"}, 200, (0, SIZE)),
        ({"Range": "bytes=5-9", "If-Range": ETAG}, 206, (5, 10)),
        ({"Range": "bytes=5-9", "If-Range": '"old"'}, 200, (0, SIZE)),
        ({"If-None-Match": '"old"'}, 200, (0, SIZE)),
    ],
)
def test_downloads_and_ranges(served: ServedNode, headers: dict, status: int, span: tuple[int, int]) -> None:
    response = call("GET", f"{served.url}/probe/downloads/{SIZE}", headers=headers)
    assert response.status == status
    assert response.data == WHOLE[slice(*span)]
    assert response.headers["ETag"] == ETAG
    assert response.headers["Content-Length"] == str(span[1] - span[0])
    if status == 206:
        assert response.headers["Content-Range"] == f"bytes {span[0]}-{span[1] - 1}/{SIZE}"


def test_downloads_conditions_and_head(served: ServedNode) -> None:
    url = f"{served.url}/probe/downloads/{SIZE}"
    unchanged = call("GET", url, headers={"If-None-Match": ETAG})
    assert (unchanged.status, unchanged.data, unchanged.headers["ETag"]) == (304, b"", ETAG)
    beyond = call("GET", url, headers={"Range": f"bytes={SIZE}-"})
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{SIZE}")
    head = call("HEAD", url)
    assert (head.status, head.headers["Content-Length"], head.data) == (200, str(SIZE), b"")
    empty = call("GET", f"{served.url}/probe/downloads/0")
    assert (empty.status, empty.data) == (200, b"")


def test_a_download_that_cannot_begin_is_an_error(served: ServedNode) -> None:
    response = call("GET", f"{served.url}/probe/downloads/300000?fail_at=0")
    assert problem(response) == (500, "internal")
    assert b"fire" not in response.data


def test_a_download_that_breaks_off_is_seen_to_be_short(served: ServedNode) -> None:
    with Wire(served.url) as wire:
        wire.send("GET /probe/downloads/300000?fail_at=131072 HTTP/1.1\r\nHost: x\r\n\r\n")
        status, headers = wire.head()
        assert (status, headers["content-length"]) == (200, "300000")
        assert wire.file.read() == WHOLE[:131072]


# -- what every answer carries ------------------------------------------------------------------------


def test_request_ids(served: ServedNode) -> None:
    given = call("GET", f"{served.url}/healthz", headers={"X-Request-ID": "abc-1"})
    assert given.headers["X-Request-ID"] == "abc-1"
    for bad in ("a b", "x" * 100, "é"):
        made = call("GET", f"{served.url}/nope", headers={"X-Request-ID": bad.encode().decode("latin-1")})
        assert made.headers["X-Request-ID"] != bad
        assert len(made.headers["X-Request-ID"]) == 16


def test_security_headers_and_no_cors_by_default(served: ServedNode) -> None:
    for path in ("/", "/docs", "/probe/search", "/nope", "/probe/downloads/3"):
        headers = call("GET", served.url + path, headers={"Origin": "https://friend.example"}).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers


def test_cors_for_those_who_are_listed(small: ServedNode) -> None:
    def ask(method: str, origin: str) -> Any:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return call(method, f"{small.url}/probe/echo/x", headers=headers).headers

    preflight = ask("OPTIONS", "https://friend.example")
    assert preflight["Access-Control-Allow-Origin"] == "https://friend.example"
    assert "Probe-Secret" in preflight["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" in ask("POST", "https://friend.example")
    assert "Access-Control-Allow-Origin" not in ask("POST", "https://evil.example")
    assert ask("POST", "https://evil.example")["Vary"] == "Origin"
