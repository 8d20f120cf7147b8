"""A head is understood, or refused, in the same way however it comes in."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grid.web.http.handler import Handler
from grid.web.http.headers import MAX_FIELDS
from grid.web.http.requestline import Refusal
from grid.web.http.settings import WebSettings

REQUEST = "GET / HTTP/1.1"
HOST = "Host: x"
LINE = st.text(alphabet="GET/ HTP1.0\t\x00\r\né", max_size=16) | st.sampled_from(
    [
        "HEAD /a?b=%20c HTTP/1.1",
        "POST / HTTP/1.1",
        "get /\u00a0HTTP/1.1",
        "GET /  HTTP/1.0",
        "GET / HTTP/1.0",
        "GET / HTTP/2.0",
        "GET /%zz HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET http://y/ HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT / HTTP/1.1",
    ]
)
FIELD = st.text(alphabet="ab:-_ \t\x00\r\né,", max_size=12) | st.sampled_from(
    [
        "Host:  y ",
        "host:",
        "a: \x01",
        "a: ",
        " folded",
        "Connection: close",
        "connection: Keep-Alive, close",
        "Content-Length: 2",
        "content-length: 0",
        "Content-Length: +2",
        "Content-Length: ²",
        "Content-Length: 1_0",
        "Content-Length: " + "9" * 5000,
        "Transfer-Encoding: Chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Expect: 100-continue",
    ]
)


class Connection:
    """A socket, as far as reading a request goes; gives ``step`` bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data, self._step = io.BytesIO(data), step

    def recv_into(self, room: memoryview) -> int:
        data = self._data.read(min(self._step, len(room)))
        room[: len(data)] = data
        return len(data)

    def settimeout(self, seconds: float) -> None: ...

    def setsockopt(self, *option: int) -> None: ...


def handler(data: bytes, step: int) -> Any:
    state = SimpleNamespace(draining=False, idle=set(), settings=WebSettings())
    server = SimpleNamespace(state=state)
    return Handler(Connection(data, step), ("127.0.0.1", 1), server)


def understood(data: bytes, step: int = 1 << 16) -> dict[str, Any] | None:
    """What the request says and what is left for its body; None when it is refused."""
    reader = handler(data, step)
    try:
        line = reader.read_requestline()
        if not line or not reader.read_request(line):
            return None
    except (Refusal, EOFError):
        return None
    names = ("command", "path", "request_version", "content_length", "close_connection")
    said = {name: getattr(reader, name) for name in names}
    return {**said, "fields": reader.headers.fields, "rest": reader.rfile.read()}


def data_of(line: str, fields: list[str], body: bytes) -> bytes:
    return "".join(f"{text}\r\n" for text in (line, *fields, "")).encode("latin-1") + body


@given(
    line=LINE | st.just(REQUEST),
    host=st.sampled_from([[HOST], [], ["Host: a/b"]]),
    fields=st.lists(FIELD, max_size=4),
    body=st.binary(max_size=8),
)
@example(line=REQUEST, host=[HOST], fields=[], body=b"GET / HTTP/1.1\r\n\r\n")
@example(line=REQUEST, host=[HOST], fields=[HOST], body=b"")
@example(line=REQUEST, host=[HOST], fields=["a: 1"] * MAX_FIELDS, body=b"")
@example(line=REQUEST, host=[HOST], fields=["a: 1"] * (MAX_FIELDS - 1), body=b"x")
def test_at_once_or_by_the_byte(line: str, host: list[str], fields: list[str], body: bytes) -> None:
    data = data_of(line, host + fields, body)
    assert understood(data) == understood(data, 1)


@pytest.mark.parametrize(
    "fields", [["Content-Length: 4"], ["Transfer-Encoding: chunked"], ["Cookie: a", "Cookie: b"]]
)
def test_the_usual_ones_are_taken_at_once(fields: list[str]) -> None:
    reader = handler(data_of(REQUEST, [HOST, *fields], b"body"), 1 << 16)
    assert reader.read_requestline()
    assert reader.head is not None
    assert reader.rfile.read() == b"body"


def test_what_is_understood() -> None:
    said = understood(
        b"PUT /a HTTP/1.1\r\nHost: a:1\r\nX-A:  b c \t\r\nx-a:\r\nContent-Length: 4\r\n\r\nbody"
    )
    assert said == {
        "command": "PUT",
        "path": "/a",
        "request_version": "HTTP/1.1",
        "content_length": 4,
        "close_connection": False,
        "fields": {"host": ["a:1"], "x-a": ["b c", ""], "content-length": ["4"]},
        "rest": b"body",
    }
