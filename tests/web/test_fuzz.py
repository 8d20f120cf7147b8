"""Whatever bytes come: an answer below 500 or a closed connection, and the next client is served."""

from __future__ import annotations

import contextlib
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from grid.web.http.headers import RequestHeaders
from grid.web.testing import ServedNode

from .wire import RawSocket, Wire

FUZZ = settings(max_examples=60, deadline=None)

_line = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\n"), max_size=60)
_names = st.sampled_from(
    [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Content-Type",
        "Connection",
        "Upgrade",
        "Range",
        "Expect",
    ]
)
_values = _line | st.sampled_from(
    ["0", "5", "chunked", "application/json", "websocket", "upgrade", "x", "bytes=0-1"]
)
_methods = st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "TRACE", "CONNECT"]) | _line
_paths = st.sampled_from(["/", "/messages", "/ws", "/probe/echo/x", "/probe/search?number=1", "*"]) | _line


def survives(served: ServedNode, data: bytes) -> None:
    with Wire(served.url, timeout=5) as wire:
        with contextlib.suppress(OSError):
            wire.send(data)
            wire.socket.shutdown(1)
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = wire.head()[0]
            assert status < 500 or status in (501, 505), status
    with Wire(served.url) as wire:
        assert wire.request("GET", "/healthz")[0] == 200


@FUZZ
@given(st.binary(max_size=500))
def test_any_bytes_on_the_port(served: ServedNode, data: bytes) -> None:
    survives(served, data)


@FUZZ
@given(_methods, _paths, st.lists(st.tuples(_names | _line, _values), max_size=6), st.binary(max_size=100))
def test_any_request(
    served: ServedNode, method: str, path: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    head = [f"{method} {path} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in headers)]
    survives(served, "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body)


@FUZZ
@given(st.lists(st.binary(max_size=100), max_size=4))
def test_any_bytes_on_a_websocket(served: ServedNode, pieces: list[bytes]) -> None:
    for path in ("/ws", "/messages"):
        with RawSocket(served.url, path) as ws, contextlib.suppress(OSError):
            for piece in pieces:
                ws.send(piece)
            ws.socket.shutdown(1)
            assert ws.read_close() in (1000, 1002, 1003, 1005, 1006, 1007, 1009)
    with Wire(served.url) as wire:
        assert wire.request("GET", "/healthz")[0] == 200


@FUZZ
@given(st.lists(st.text(max_size=200), max_size=4))
def test_any_text_on_a_websocket_is_answered(served: ServedNode, texts: list[str]) -> None:
    with RawSocket(served.url, "/ws") as ws:
        for text in texts:
            ws.frame(1, text.encode("utf-8", "replace"))
            opcode, data, _ = ws.read_frame()
            assert opcode == 1
            assert b'"error"' in data


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_headers_are_parsed_or_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        headers = RequestHeaders.parse(io.BufferedReader(io.BytesIO(data + b"\r\n\r\n")))
        for key, value in headers.environ():
            assert "\r" not in value
            assert "\n" not in value
            assert "\0" not in value
            assert key == key.upper()
