"""RFC 6455 over real sockets, against threads and against gevent: what a hostile or clumsy peer can do."""

from __future__ import annotations

import contextlib
import json
import struct
import threading
import time
import urllib.request
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from grid.web.sockets import routing
from grid.web.sockets.connection import WebSocket
from grid.web.testing import ServedApp

from .sockets_app import MAX_MESSAGE, ORIGIN, make_app
from .wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, RawSocket, Wire, frame_bytes, handshake


def state(url: str) -> dict:
    with urllib.request.urlopen(f"{url}/plain") as response:
        return json.load(response)


def settled(url: str) -> int:
    """How many connections are open once no more of them close."""
    deadline, last = time.monotonic() + 60, -1
    while time.monotonic() < deadline:
        now = state(url)["open"]
        if now == last:
            return now
        last = now
        time.sleep(0.3)
    return last


def ws(url: str) -> str:
    return url.replace("http", "ws", 1)


# -- messages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1 << 20])
def test_binary_messages_of_every_length_encoding_come_back(socket_server: str, size: int) -> None:
    with connect(f"{ws(socket_server)}/echo", max_size=None) as client:
        message = bytes(size)
        client.send(message)
        assert client.recv() == message


def test_text_comes_back_as_text(socket_server: str) -> None:
    with connect(f"{ws(socket_server)}/echo") as client:
        client.send("grüße 🌍")
        assert client.recv() == "grüße 🌍"


def test_large_messages_go_both_ways(socket_server: str) -> None:
    with connect(f"{ws(socket_server)}/large", max_size=None) as client:
        message = bytes(range(256)) * (1 << 17)
        client.send(message)
        assert client.recv() == message


def test_fragments_are_joined_with_control_frames_between(socket_server: str) -> None:
    with RawSocket(socket_server, "/echo") as client:
        client.frame(TEXT, b"gr", fin=False)
        client.frame(PING, b"are you there")
        client.frame(CONT, "üße".encode()[:1], fin=False)  # a character cut in two
        client.frame(CONT, b"", fin=False)
        client.frame(CONT, "üße".encode()[1:])
        assert client.read_frame() == (PONG, b"are you there", True)
        assert client.read_frame() == (TEXT, "grüße".encode(), True)


def test_a_frame_may_arrive_byte_by_byte(socket_server: str) -> None:
    with RawSocket(socket_server, "/echo") as client:
        for byte in frame_bytes(BINARY, b"slowly"):
            client.send(bytes([byte]))
            time.sleep(0.002)
        assert client.read_frame() == (BINARY, b"slowly", True)


def test_frames_right_behind_the_handshake_are_not_lost(socket_server: str) -> None:
    with Wire(socket_server) as wire:
        wire.send(handshake("/echo", wire.host).encode() + frame_bytes(BINARY, b"early") + frame_bytes(PING))
        assert wire.head()[0] == 101
        answers = wire.file.read(9)
        assert answers.replace(bytes([0x8A, 0]), b"") == bytes([0x82, 5]) + b"early"


def test_pieces_arrive_as_one_message(socket_server: str) -> None:
    with connect(f"{ws(socket_server)}/pieces/5/300000", max_size=None) as client:
        assert client.recv() == b"".join(bytes([index]) * 300_000 for index in range(5))
    with connect(f"{ws(socket_server)}/pieces/0/0") as client:
        assert client.recv() == b""


def test_a_message_that_fails_on_its_way_out_closes_the_connection(socket_server: str) -> None:
    with connect(f"{ws(socket_server)}/broken") as client:
        with pytest.raises(ConnectionClosed):
            client.recv()
        assert client.protocol.close_rcvd is not None
        assert client.protocol.close_rcvd.code == 1011


def test_messages_of_many_senders_do_not_mix(socket_server: str) -> None:
    with connect(f"{ws(socket_server)}/crowd/8", max_size=None) as client:
        seen = [client.recv() for _ in range(40)]
    assert all(len(message) == 700_000 and len(set(message)) == 1 for message in seen)
    assert sorted(message[0] for message in seen) == sorted(list(range(8)) * 5)


# -- what must close, and with which code ---------------------------------------------------------------

BAD_FRAMES = {
    "unmasked": (lambda c: c.frame(TEXT, b"hello", mask=False), 1002),
    "reserved bit": (lambda c: c.frame(TEXT, b"hello", rsv=1), 1002),
    "reserved opcode": (lambda c: c.frame(0x3, b"hello"), 1002),
    "lone continuation": (lambda c: c.frame(CONT, b"hello"), 1002),
    "new message inside a message": (
        lambda c: (c.frame(TEXT, b"a", fin=False), c.frame(TEXT, b"b")),
        1002,
    ),
    "fragmented ping": (lambda c: c.frame(PING, b"", fin=False), 1002),
    "long ping": (lambda c: c.frame(PING, b"x" * 126), 1002),
    "one-byte close": (lambda c: c.frame(CLOSE, b"x"), 1002),
    "reserved close code": (lambda c: c.frame(CLOSE, struct.pack("!H", 1005)), 1002),
    "text that is not UTF-8": (lambda c: c.frame(TEXT, b"\xc3\x28"), 1007),
    "fragmented text that is not UTF-8": (
        lambda c: (c.frame(TEXT, b"\xc3", fin=False), c.frame(CONT, b"\x28")),
        1007,
    ),
    "surrogates": (lambda c: c.frame(TEXT, b"\xed\xa0\x80"), 1007),
    "oversized": (lambda c: c.send(bytes([0x82, 0xFF]) + struct.pack("!Q", MAX_MESSAGE + 1)), 1009),
    "absurdly sized": (lambda c: c.send(bytes([0x82, 0xFF]) + struct.pack("!Q", (1 << 63) - 1)), 1009),
    "oversized in fragments": (
        lambda c: (
            c.frame(BINARY, bytes(MAX_MESSAGE), fin=False),
            c.frame(CONT, b"!"),
        ),
        1009,
    ),
    "normal close": (lambda c: c.frame(CLOSE, struct.pack("!H", 1000) + b"bye"), 1000),
    "close without a code": (lambda c: c.frame(CLOSE), 1005),
    "application's close": (lambda c: c.frame(CLOSE, struct.pack("!H", 4711)), 4711),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_close_codes(socket_server: str, case: str) -> None:
    act, code = BAD_FRAMES[case]
    with RawSocket(socket_server, "/echo") as client:
        act(client)
        assert client.read_close() == code
        assert client.read_frame()[0] == -1  # and TCP is closed by the server, not by us
    with connect(f"{ws(socket_server)}/echo") as other:  # nobody else noticed
        other.send("still there")
        assert other.recv() == "still there"


def test_the_application_closes_with_its_own_code(socket_server: str) -> None:
    with RawSocket(socket_server, "/goodbye") as client:
        opcode, data, _ = client.read_frame()
        assert opcode == CLOSE
        assert struct.unpack("!H", data[:2]) == (4001,)
        assert set(data[2:].decode()) == {"ü"}
        client.frame(CLOSE, data[:2])
        assert client.read_frame()[0] == -1


def test_a_handler_that_crashes_closes_and_tells_nothing(socket_server: str) -> None:
    with RawSocket(socket_server, "/crash") as client:
        assert client.read_frame() == (CLOSE, struct.pack("!H", 1011), True)


def test_a_peer_that_never_answers_a_close_is_dropped(socket_server: str) -> None:
    with RawSocket(socket_server, "/goodbye") as client:
        assert client.read_close() == 4001
        assert client.closed()


def test_vanishing_peers_leave_nothing_behind(socket_server: str) -> None:
    before = settled(socket_server)
    clients = [RawSocket(socket_server, "/echo") for _ in range(20)]
    clients[0].frame(BINARY, b"half a message", fin=False)
    clients[1].send(frame_bytes(BINARY, bytes(1000))[:500])
    deadline = time.monotonic() + 60
    while state(socket_server)["open"] != before + 20:  # a handler starts after the handshake was answered
        assert time.monotonic() < deadline
    for client in clients:
        client.socket.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: reset instead of FIN
        client.close()
    assert settled(socket_server) == before
    assert state(socket_server)["codes"][-20:] == [1006] * 20


def test_a_client_that_does_not_read_is_dropped_and_costs_little(impatient_server: str) -> None:
    with RawSocket(impatient_server, "/flood", buffer=4096) as client:
        time.sleep(1.5)
        assert settled(impatient_server) == 0
        assert client.closed()


# -- keepalive ------------------------------------------------------------------------------------------


def test_a_silent_peer_is_pinged_and_kept_while_it_answers(impatient_server: str) -> None:
    with RawSocket(impatient_server, "/echo") as client:
        for _ in range(4):
            opcode, data, _ = client.read_frame()
            assert opcode == PING
            client.frame(PONG, data)
        client.frame(TEXT, b"alive")
        assert client.read_frame() == (TEXT, b"alive", True)


def test_a_peer_that_answers_no_ping_is_dropped(impatient_server: str) -> None:
    with RawSocket(impatient_server, "/echo") as client:
        assert client.read_frame()[0] == PING
        assert client.closed()
    assert settled(impatient_server) == 0


# -- the opening handshake --------------------------------------------------------------------------------

HANDSHAKES = {
    "no key": ({"Sec_WebSocket_Key": ""}, 400),
    "short key": ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
    "garbage key": ({"Sec_WebSocket_Key": "!!!"}, 400),
    "no version": ({"Sec_WebSocket_Version": ""}, 400),
    "old version": ({"Sec_WebSocket_Version": "8"}, 400),
    "no connection": ({"Connection": "keep-alive"}, 426),
    "foreign origin": ({"Origin": "https://evil.example"}, 403),
    "null origin": ({"Origin": "null"}, 403),
    "origin that ends like ours": ({"Origin": "http://evil127.0.0.1"}, 403),
}


@pytest.mark.parametrize("case", HANDSHAKES)
def test_bad_handshakes_are_refused_as_problems(socket_server: str, case: str) -> None:
    headers, status = HANDSHAKES[case]
    with Wire(socket_server) as wire:
        wire.send(handshake("/echo", wire.host, **headers))
        got, fields, body = wire.response()
        assert got == status
        assert fields["content-type"] == "application/problem+json"
        assert json.loads(body)["status"] == status


def test_good_origins_connect(socket_server: str) -> None:
    for origin in (socket_server, ORIGIN, None):
        with connect(f"{ws(socket_server)}/echo", origin=origin) as client:  # type: ignore[arg-type]
            client.send("hello")
            assert client.recv() == "hello"


def test_post_and_old_http_do_not_upgrade(socket_server: str) -> None:
    with Wire(socket_server) as wire:
        wire.send(handshake("/echo", wire.host).replace("GET", "POST", 1))
        assert wire.response()[0] in (404, 405)
    with Wire(socket_server) as wire:
        wire.send(handshake("/echo", wire.host).replace("HTTP/1.1", "HTTP/1.0", 1))
        assert wire.response()[0] == 404  # as without Upgrade, which HTTP/1.0 does not know


def test_no_compression_is_agreed_on(socket_server: str) -> None:
    with Wire(socket_server) as wire:
        wire.send(handshake("/echo", wire.host, Sec_WebSocket_Extensions="permessage-deflate"))
        status, headers = wire.head()
        assert (status, headers.get("sec-websocket-extensions")) == (101, None)


def test_handlers_see_the_request_and_blueprints_route(socket_server: str) -> None:
    with connect(f"{ws(socket_server)}/who?name=ada", additional_headers={"X-Custom": "7"}) as client:
        assert client.recv() == "/who ada 7"
    with connect(f"{ws(socket_server)}/bp/hello/ada") as client:
        assert client.recv() == "hello ada"


def test_unknown_paths_are_the_apps_business(socket_server: str) -> None:
    with Wire(socket_server) as wire:
        wire.send(handshake("/nowhere", wire.host))
        assert wire.response()[0] == 404


# -- many ---------------------------------------------------------------------------------------------


def test_two_hundred_clients_at_once(socket_server: str) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawSocket(socket_server, "/echo", timeout=30)) for _ in range(200)]
        for round_ in range(5):
            for index, client in enumerate(clients):
                client.frame(BINARY, f"{index}.{round_}".encode() * 100)
            for index, client in enumerate(clients):
                assert client.read_frame() == (BINARY, f"{index}.{round_}".encode() * 100, True)
        assert state(socket_server)["open"] >= 200


def test_a_busy_connection_does_not_starve_the_others(socket_server: str) -> None:
    stop = threading.Event()

    def busy() -> None:
        burst = frame_bytes(BINARY, b"x" * 100) * 50
        with RawSocket(socket_server, "/echo", timeout=30) as client:
            while not stop.is_set():
                client.send(burst)
                for _ in range(50):
                    client.read_frame()

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with connect(f"{ws(socket_server)}/echo") as client:
            for _ in range(20):  # each while the others go on, and not after them
                client.send("hello")
                assert client.recv(timeout=240) == "hello"
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_everybody_is_told_when_the_server_goes_away(socket_server: str) -> None:
    clients = [RawSocket(socket_server, "/echo") for _ in range(3)]
    request = urllib.request.Request(f"{socket_server}/close-all", method="POST")
    urllib.request.urlopen(request).close()
    for client in clients:
        with client:
            assert client.read_close() == 1001


def test_who_connects_while_the_server_goes_away_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handshake is answered before the connection is one of the open ones: the end may come in between."""
    app = make_app(20.0)
    sockets = app.extensions["sockets"]

    def late(*args: Any, **options: Any) -> WebSocket:
        sockets.close_all()
        return WebSocket(*args, **options)

    monkeypatch.setattr(routing, "WebSocket", late)
    with ServedApp(app) as served, RawSocket(served.url, "/echo", timeout=30.0) as client:
        assert client.read_close() == 1001
