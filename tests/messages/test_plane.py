"""Bad input on the message plane, over HTTP and over WebSocket: each has its own code, nothing is touched."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from websockets.sync.client import connect

from grid.web.http.settings import WebSettings
from grid.web.testing import ServedNode
from syft_ext.identity import Identity
from syft_ext.messages.envelope import MAX_ENVELOPE, Envelope
from syft_ext.transport.http import MEDIA_TYPE
from tests.web.probe import Echo, Fail, Meet, ProbeService, Sign, Upload, Work, make_node, token_of
from tests.web.wire import RawSocket, Wire

from .frames import HTTP, ME, SENDERS, answer_of, error_of, frame, over_http, over_websocket, seal

Send = Callable[[str, bytes], bytes]


@pytest.fixture(params=SENDERS)
def send(request: pytest.FixtureRequest) -> Send:
    return SENDERS[request.param]


def resigned(envelope: Envelope, **changes: object) -> Envelope:
    return msgspec.structs.replace(envelope, **changes).sign(ME)


def test_good_frames_are_answered(served: ServedNode, send: Send) -> None:
    request = seal(served, Echo(name="ada", number=3, data=b"\0\xff", secret="hush"))
    reply, payload = answer_of(send(served.url, frame(request)), served.node)
    assert reply.in_reply_to == request.nonce
    assert reply.recipient == ME.verify_key
    assert payload == b""
    fields = msgspec.msgpack.decode(reply.body)
    assert (fields["number"], fields["data"], fields["secret"]) == (3, b"\0\xff", "hush")


def test_the_key_that_signs_is_the_caller(served: ServedNode, send: Send) -> None:
    reply, _ = answer_of(send(served.url, frame(seal(served, Sign(amount=1)))), served.node)
    assert msgspec.msgpack.decode(reply.body)["kind"] == ME.verify_key


UNREADABLE = {
    "empty": b"",
    "short": b"GRD1\0",
    "foreign magic": b"HTTP\0\0\0\x05hello",
    "cut envelope": b"GRD1\0\0\x10\0hello",
    "not msgpack": b"GRD1\0\0\0\x05\xc1\xc1\xc1\xc1\xc1",
    "not an envelope": b"GRD1\0\0\0\x01\x93",
    "a map": b"GRD1" + struct.pack(">I", 2) + b"\x81\x01",
    "depth bomb": b"GRD1" + struct.pack(">I", 50_000) + b"\x91" * 50_000,
    "bad sender": b"GRD1"
    + struct.pack(
        ">I",
        len(
            e := msgspec.msgpack.encode(
                Envelope(sender="x", recipient="", operation="", body=b"", nonce=b"", issued_at=0.0)
            )
        ),
    )
    + e,
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable_frames_get_a_signed_error_bound_to_nothing(
    served: ServedNode, send: Send, case: str
) -> None:
    assert error_of(send(served.url, UNREADABLE[case]), served.node, None) == "invalid-envelope"


def test_oversized_envelopes(served: ServedNode, send: Send) -> None:
    head = b"GRD1" + struct.pack(">I", MAX_ENVELOPE + 1)
    assert error_of(send(served.url, head + b"x" * 100), served.node, None) == "too-large"


def _forged_token(node: ServedNode) -> str:
    head, body, _ = token_of(node.node).split(".")
    return f"{head}.{body}.{'A' * 86}"


BAD = {
    "wrongly signed": (
        lambda n: msgspec.structs.replace(seal(n, Echo(name="a")), operation="probe.search"),
        "bad-signature",
    ),
    "signed by another": (
        lambda n: msgspec.structs.replace(seal(n, Echo(name="a")), sender=Identity.generate().verify_key),
        "bad-signature",
    ),
    "unsigned": (lambda n: msgspec.structs.replace(seal(n, Echo(name="a")), signature=b""), "bad-signature"),
    "not a key": (
        lambda n: msgspec.structs.replace(seal(n, Echo(name="a")), sender="z" * 64),
        "bad-signature",
    ),
    "expired": (lambda n: seal(n, Echo(name="a"), age=600), "expired-message"),
    "from the future": (lambda n: seal(n, Echo(name="a"), age=-600), "expired-message"),
    "from before the node began": (lambda n: seal(n, Echo(name="a"), age=110), "expired-message"),
    "time that is none": (
        lambda n: resigned(seal(n, Echo(name="a")), issued_at=float("nan")),
        "expired-message",
    ),
    "endless time": (lambda n: resigned(seal(n, Echo(name="a")), issued_at=float("inf")), "expired-message"),
    "forged token": (lambda n: seal(n, Echo(name="a"), token=_forged_token(n)), "invalid-token"),
    "expired token": (
        lambda n: seal(n, Echo(name="a"), token=token_of(n.node, lifetime=-1)),
        "invalid-token",
    ),
    "token of another key": (
        lambda n: seal(n, Echo(name="a"), token=token_of(n.node, key=Identity.generate().verify_key)),
        "invalid-token",
    ),
    "garbage token": (lambda n: seal(n, Echo(name="a"), token="ä.b.c"), "invalid-token"),
    "no token where one is needed": (lambda n: seal(n, Upload(name="a")), "unauthenticated"),
    "token of the wrong kind": (lambda n: seal(n, Work(amount=1), token=token_of(n.node)), "forbidden"),
    "permission before body": (lambda n: resigned(seal(n, Work(amount=1)), body=b"\xc1"), "unauthenticated"),
    "unknown operation": (
        lambda n: resigned(seal(n, Echo(name="a")), operation="probe.explode"),
        "not-found",
    ),
    "dunder operation": (lambda n: resigned(seal(n, Echo(name="a")), operation="__class__"), "not-found"),
    "body that is not msgpack": (lambda n: resigned(seal(n, Echo(name="a")), body=b"\xc1"), "bad-request"),
    "truncated body": (lambda n: resigned(seal(n, Echo(name="a")), body=b"\x81\xa4name"), "bad-request"),
    "unknown field": (
        lambda n: resigned(seal(n, Echo(name="a")), body=msgspec.msgpack.encode({"name": "a", "color": 1})),
        "bad-request",
    ),
    "missing field": (lambda n: resigned(seal(n, Echo(name="a")), body=b"\x80"), "bad-request"),
    "wrong type": (
        lambda n: resigned(seal(n, Echo(name="a")), body=msgspec.msgpack.encode({"name": 7})),
        "bad-request",
    ),
    "deep body": (
        lambda n: resigned(seal(n, Echo(name="a")), body=b"\x81\xa6nested" + b"\x81\xa1a" * 5_000),
        "bad-request",
    ),
    "another node's message": (lambda n: seal(n, Echo(name="a"), recipient="0" * 32), "not-found"),
    "the handler's own error": (lambda n: seal(n, Fail(how="conflict")), "conflict"),
    "the handler's bug": (lambda n: seal(n, Fail(how="bug")), "internal"),
    "facts that no format carries": (lambda n: seal(n, Fail(how="facts")), "internal"),
}


@pytest.mark.parametrize("case", BAD)
def test_each_bad_message_has_its_own_code(served: ServedNode, send: Send, case: str) -> None:
    make, code = BAD[case]
    service = served.node.service(ProbeService)
    before = service.calls, dict(service.stored)
    request = make(served)
    assert error_of(send(served.url, frame(request)), served.node, request) == code
    assert (service.calls, service.stored) == before


def test_a_token_of_another_node_is_refused(served: ServedNode, send: Send, tmp_path: Path) -> None:
    other = make_node(tmp_path)
    request = seal(served, Upload(name="a"), token=token_of(other))
    other.stop()
    assert error_of(send(served.url, frame(request)), served.node, request) == "invalid-token"


def test_a_token_bound_to_my_key_is_good(served: ServedNode, send: Send) -> None:
    request = seal(served, Upload(name="bound"), b"hello", token=token_of(served.node, key=ME.verify_key))
    reply, _ = answer_of(send(served.url, frame(request, b"hello")), served.node)
    assert msgspec.msgpack.decode(reply.body)["size"] == 5


def test_replays_are_refused_on_every_transport(served: ServedNode) -> None:
    for first, second in ((over_http, over_websocket), (over_websocket, over_http), (over_http, over_http)):
        request = seal(served, Echo(name="once"))
        answer_of(first(served.url, frame(request)), served.node)
        assert error_of(second(served.url, frame(request)), served.node, request) == "replayed-message"


# -- payloads -----------------------------------------------------------------------------------------


def test_a_payload_that_was_changed_on_the_way(served: ServedNode, send: Send) -> None:
    request = seal(served, Upload(name="changed"), b"x" * 50_000, token=token_of(served.node))
    data = frame(request, b"x" * 49_999 + b"y")
    assert error_of(send(served.url, data), served.node, request) == "bad-request"
    assert "changed" not in served.node.service(ProbeService).stored


def test_a_payload_where_none_is_taken(served: ServedNode, send: Send) -> None:
    request = seal(served, Echo(name="a"), b"x" * 1000)
    assert error_of(send(served.url, frame(request, b"x" * 1000)), served.node, request) == "bad-request"


@pytest.mark.parametrize("rest", [b"", b"x" * 99, b"x" * 101])
def test_a_payload_of_another_length_than_announced(served: ServedNode, send: Send, rest: bytes) -> None:
    request = seal(served, Upload(name="length"), b"x" * 100, token=token_of(served.node))
    assert error_of(send(served.url, frame(request, rest)), served.node, None) == "invalid-envelope"
    assert "length" not in served.node.service(ProbeService).stored


def test_a_connection_that_ends_inside_a_payload(served: ServedNode) -> None:
    request = seal(served, Upload(name="cut"), b"x" * 5000, token=token_of(served.node))
    data = frame(request, b"x" * 5000)
    with Wire(served.url) as wire:
        wire.send(f"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Type: {MEDIA_TYPE}\r\n")
        wire.send(f"Content-Length: {len(data)}\r\n\r\n")
        wire.send(data[:-1000])
        wire.socket.shutdown(1)
        assert error_of(wire.response()[2], served.node, request) == "bad-request"
    assert "cut" not in served.node.service(ProbeService).stored


def test_chunked_frames_stream_too(served: ServedNode) -> None:
    payload = bytes(range(256)) * 8000
    request = seal(served, Upload(name="chunked"), payload, token=token_of(served.node))
    data = frame(request, payload)
    pieces = (data[start : start + 77_777] for start in range(0, len(data), 77_777))
    response = HTTP.request(
        "POST", f"{served.url}/messages", body=pieces, headers={"Content-Type": MEDIA_TYPE}, chunked=True
    )
    reply, _ = answer_of(response.data, served.node)
    assert msgspec.msgpack.decode(reply.body)["size"] == len(payload)


def test_payloads_have_a_limit(tmp_path: Path) -> None:
    settings = WebSettings(max_upload=10_000, max_websocket_message=50_000)
    with ServedNode(make_node(tmp_path), settings) as node:
        request = seal(node, Upload(name="a"), b"x" * 10_001, token=token_of(node.node))
        for sender in SENDERS.values():
            data = frame(request, b"x" * 10_001)
            assert error_of(sender(node.url, data), node.node, request) == "too-large"
        with RawSocket(node.url, "/messages") as ws:
            ws.frame(2, b"x" * 50_001)
            assert ws.read_close() == 1009


def test_an_unread_payload_does_not_spoil_the_connection(served: ServedNode) -> None:
    payload = b"x" * 200_000
    request = seal(served, Upload(name="a", take=0), payload, token=token_of(served.node))
    data = frame(request, payload)
    headers = {"Content-Type": MEDIA_TYPE}
    with Wire(served.url) as wire:
        answer_of(wire.request("POST", "/messages", headers, data)[2], served.node)
        assert wire.request("GET", "/healthz")[0] == 200


def test_the_media_type_is_required(served: ServedNode) -> None:
    response = HTTP.request(
        "POST",
        f"{served.url}/messages",
        body=frame(seal(served, Echo(name="a"))),
        headers={"Content-Type": "text/plain"},
    )
    assert response.status == 415
    assert json.loads(response.data)["code"] == "unsupported-media-type"


def test_unreadable_frames_are_http_errors_too(served: ServedNode) -> None:
    response = HTTP.request(
        "POST", f"{served.url}/messages", body=b"junk", headers={"Content-Type": MEDIA_TYPE}
    )
    assert response.status == 400


# -- one WebSocket, many requests -----------------------------------------------------------------------


def test_long_waits_do_not_hold_up_the_rest_of_a_websocket(served: ServedNode) -> None:
    with connect(f"{served.url.replace('http', 'ws', 1)}/messages") as ws:
        meeting = Meet(name="after the quick one", count=2)
        slow, quick, late = seal(served, meeting), seal(served, Echo(name="quick")), seal(served, meeting)
        ws.send(frame(slow))
        ws.send(frame(quick))
        first, _ = answer_of(ws.recv(timeout=240), served.node)  # type: ignore[arg-type]
        assert first.in_reply_to == quick.nonce
        ws.send(frame(late))
        rest = [answer_of(ws.recv(timeout=240), served.node)[0] for _ in range(2)]  # type: ignore[arg-type]
    assert {answer.in_reply_to for answer in rest} == {slow.nonce, late.nonce}


def test_text_on_the_binary_socket_closes_it(served: ServedNode) -> None:
    with RawSocket(served.url, "/messages") as ws:
        ws.frame(1, b"hello")
        assert ws.read_close() == 1003


def test_an_unreadable_frame_does_not_close_the_websocket(served: ServedNode) -> None:
    with connect(f"{served.url.replace('http', 'ws', 1)}/messages") as ws:
        ws.send(b"junk")
        assert error_of(ws.recv(timeout=240), served.node, None) == "invalid-envelope"  # type: ignore[arg-type]
        request = seal(served, Echo(name="a"))
        ws.send(frame(request))
        assert answer_of(ws.recv(timeout=240), served.node)[0].in_reply_to == request.nonce  # type: ignore[arg-type]
