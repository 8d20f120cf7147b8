"""JSON events on /ws."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from grid.web.http.settings import WebSettings
from grid.web.testing import ServedNode

from .probe import ProbeService, content, make_node, token_of
from .wire import RawSocket, frame_bytes


@pytest.fixture
def ws(served: ServedNode) -> Iterator[ClientConnection]:
    with connect(f"{served.url.replace('http', 'ws', 1)}/ws", max_size=None) as client:
        yield client


def ask(ws: ClientConnection, event: Any) -> dict[str, Any]:
    ws.send(event if isinstance(event, str | bytes) else json.dumps(event))
    answer = json.loads(ws.recv(timeout=240))
    assert "Traceback" not in str(answer)
    return answer


def test_an_event_is_answered(ws: ClientConnection) -> None:
    event = {"type": "probe.echo", "data": {"name": "ada", "data": "AP8="}, "request_id": "r1"}
    answer = ask(ws, event)
    assert (answer["type"], answer["request_id"]) == ("probe.echo", "r1")
    assert (answer["data"]["name"], answer["data"]["data"]) == ("ada", "AP8=")
    assert ask(ws, {"type": "probe.search", "request_id": 7})["request_id"] == 7
    assert "request_id" not in ask(ws, {"type": "probe.search"})
    assert ask(ws, json.dumps(event).encode())["data"]["name"] == "ada"  # in a binary frame too


def _deep(depth: int) -> str:
    return '{"type":"probe.echo","data":{"name":"a","nested":' + '{"a":' * depth + "1" + "}" * depth + "}}"


BAD = {
    "not JSON": ("hello", "bad-request"),
    "truncated": ('{"type":"probe.echo","data":{', "bad-request"),
    "array": ("[]", "bad-request"),
    "no type": ('{"data":{}}', "bad-request"),
    "type that is no text": ('{"type":7}', "bad-request"),
    "unknown member": ('{"type":"probe.search","sender":"root"}', "bad-request"),
    "unknown operation": ('{"type":"probe.explode"}', "not-found"),
    "unknown field": ('{"type":"probe.search","data":{"color":1}}', "bad-request"),
    "wrong type": ('{"type":"probe.search","data":{"number":"1"}}', "bad-request"),
    "missing field": ('{"type":"probe.wait"}', "bad-request"),
    "NUL": ('{"type":"probe.search","data":{"name":"a\\u0000"}}', "bad-request"),
    "depth bomb": (_deep(5_000), "bad-request"),
    "forged token": ('{"type":"probe.search","token":"a.b.c"}', "invalid-token"),
    "no token": ('{"type":"probe.upload","data":{"name":"x"}}', "unauthenticated"),
    "permission before data": ('{"type":"probe.work","data":{"rubbish":1}}', "unauthenticated"),
    "signature wanted": ('{"type":"probe.sign","data":{"amount":1}}', "unauthenticated"),
    "body where none is taken": ('{"type":"probe.search","body":"AAAA"}', "bad-request"),
    "handler's error": ('{"type":"probe.fail","data":{"how":"conflict"}}', "conflict"),
    "facts that JSON cannot carry": ('{"type":"probe.fail","data":{"how":"facts"}}', "conflict"),
    "handler's bug": ('{"type":"probe.fail"}', "internal"),
}


@pytest.mark.parametrize("case", BAD)
def test_each_bad_event_has_its_own_code_and_the_connection_lives(
    ws: ClientConnection, served: ServedNode, case: str
) -> None:
    event, code = BAD[case]
    before = served.node.service(ProbeService).calls
    answer = ask(ws, event)
    assert answer["error"]["code"] == code
    assert answer["error"]["status"] >= 400
    assert served.node.service(ProbeService).calls == before
    assert "data" in ask(ws, {"type": "probe.search"})


def test_tokens_come_with_each_event_or_with_the_handshake(served: ServedNode, ws: ClientConnection) -> None:
    token = token_of(served.node)
    upload = {"type": "probe.upload", "data": {"name": "ws"}, "body": base64.b64encode(b"hello").decode()}
    assert ask(ws, {**upload, "token": token})["data"]["size"] == 5
    assert ask(ws, upload)["error"]["code"] == "unauthenticated"  # a token is good for its own event
    headers = {"Authorization": f"Bearer {token}"}
    with connect(f"{served.url.replace('http', 'ws', 1)}/ws", additional_headers=headers) as known:
        assert ask(known, upload)["data"]["size"] == 5
        assert ask(known, {**upload, "body": "???"})["error"]["code"] == "bad-request"


def test_downloads_come_in_base64_within_the_limit(tmp_path: Path) -> None:
    with ServedNode(make_node(tmp_path), WebSettings(max_event=100_000)) as node:
        with connect(f"{node.url.replace('http', 'ws', 1)}/ws") as ws:
            answer = ask(ws, {"type": "probe.download", "data": {"size": 70_000}})
            assert base64.b64decode(answer["body"]) == b"".join(content(0, 70_000))
            assert answer["data"] == {"size": 70_000, "kind": "bytes"}
            assert (
                ask(ws, {"type": "probe.download", "data": {"size": 90_000}})["error"]["code"] == "too-large"
            )
        with RawSocket(node.url, "/ws") as raw:
            raw.frame(1, b" " * 100_001)
            assert raw.read_close() == 1009


def test_large_messages_share_their_memory(tmp_path: Path) -> None:
    with ServedNode(make_node(tmp_path), WebSettings(memory=16 << 20)) as node:  # half of it for an account
        known = {"Authorization": f"Bearer {token_of(node.node)}"}
        first, second = RawSocket(node.url, "/ws", **known), RawSocket(node.url, "/ws", **known)
        event = json.dumps({"type": "probe.upload", "data": {"name": "x"}, "body": "A" * (6 << 20)}).encode()
        first.send(frame_bytes(1, event)[: 5 << 20])  # nearly all of it
        time.sleep(0.3)
        second.send(frame_bytes(1, event)[: 5 << 20])
        assert second.read_close() == 1013
        first.close()
        time.sleep(0.3)
        third = RawSocket(node.url, "/ws", **known)
        for _ in range(3):  # it is given back
            third.send(frame_bytes(1, event)[: 5 << 20])
            third.close()
            time.sleep(0.3)
            third = RawSocket(node.url, "/ws", **known)
        third.close()
        second.close()


def test_long_waits_are_multiplexed_up_to_the_limit(tmp_path: Path) -> None:
    with (
        ServedNode(make_node(tmp_path), WebSettings(websocket_concurrency=3)) as node,
        connect(f"{node.url.replace('http', 'ws', 1)}/ws") as ws,
    ):
        for number in range(3):  # the three at the same time
            meeting = {"name": "three", "count": 3}
            ws.send(json.dumps({"type": "probe.meet", "data": meeting, "request_id": number}))
        ws.send(json.dumps({"type": "probe.search", "request_id": "quick"}))
        answered = [json.loads(ws.recv(timeout=90)) for _ in range(4)]
    assert not [answer for answer in answered if "error" in answer]
    answers = [answer["request_id"] for answer in answered]
    assert set(answers) == {0, 1, 2, "quick"}
    assert answers[0] != "quick"  # the fourth had to wait for one of them
