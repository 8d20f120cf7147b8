"""The HTTP that a transport speaks, against servers that answer as they should, oddly, or not at all."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from syft_ext.errors import DeadlineExceeded, GridError, InvalidEnvelope, Unavailable
from syft_ext.identity import Identity
from syft_ext.messages import Empty, GetMetadata
from syft_ext.messages.envelope import (
    ANY_NODE,
    Envelope,
    envelope_size,
    frame_head,
    open_frame,
    seal_reply,
    seal_request,
)
from syft_ext.transport import HTTPTransport
from syft_ext.transport.http import MEDIA_TYPE

NODE, CALLER = Identity.generate(), Identity.generate()
Answer = Callable[[bytes], bytes]


class Scripted:
    """Answers each request on a connection with the next of its answers, and hangs up after the last.

    Attributes:
        connections: how many were made.
    """

    def __init__(self) -> None:
        self.answers: list[list[Answer]] = []
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            with accepted, accepted.makefile("rb") as lines:
                for answer in self.answers.pop(0):
                    if not lines.readline():
                        break  # the client hung up
                    length = 0
                    while (line := lines.readline()) not in (b"\r\n", b""):
                        name, _, value = line.partition(b":")
                        length = int(value) if name.lower() == b"content-length" else length
                    accepted.sendall(answer(lines.read(length)))

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def server() -> Iterator[Scripted]:
    made = Scripted()
    yield made
    made.close()


def frame(request: bytes, size: int = 0) -> bytes:
    envelope, _ = open_frame(request)
    return frame_head(seal_reply(NODE, envelope, Empty(), now=1.0, payload_size=size)) + b"p" * size


def answer(request: bytes, *headers: str, size: int = 0) -> bytes:
    body = frame(request, size)
    lines = [
        "HTTP/1.1 200 OK",
        f"content-TYPE:{MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


def chunked(request: bytes) -> bytes:
    body = frame(request, 300)
    pieces = [body[start : start + 100] for start in range(0, len(body), 100)]
    chunks = b"".join(b"%x;note=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: {MEDIA_TYPE}\r\n\r\n"
    return head.encode() + chunks + b"0\r\n\r\n"


def request() -> Envelope:
    return seal_request(CALLER, GetMetadata(), now=1.0, recipient=ANY_NODE)


def ask(transport: HTTPTransport) -> bytes:
    """One exchange; the payload of its answer."""
    sent = request()
    got = transport.exchange(sent, timeout=240.0)
    assert got.envelope.in_reply_to == sent.nonce
    return bytes(got.payload.read_all())


def test_one_connection_serves_many_exchanges(server: Scripted) -> None:
    server.answers = [[answer] * 5 + [lambda sent: answer(sent, size=200_000)] * 2]
    transport = HTTPTransport(server.url)
    assert [ask(transport) for _ in range(5)] == [b""] * 5
    assert [len(ask(transport)) for _ in range(2)] == [200_000] * 2
    assert server.connections == 1
    transport.close()


def test_a_connection_that_was_hung_up_is_replaced_before_anything_is_sent(server: Scripted) -> None:
    server.answers = [[answer], [answer]]
    transport = HTTPTransport(server.url)
    ask(transport)
    deadline = time.monotonic() + 60
    while transport._idle[0].alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    ask(transport)
    assert server.connections == 2
    transport.close()


def test_a_connection_is_free_once_its_answer_was_read_to_the_end(server: Scripted) -> None:
    server.answers = [[lambda sent: answer(sent, size=200_000), answer]]
    transport = HTTPTransport(server.url)
    unread = transport.exchange(request(), timeout=240.0)
    unread.payload.read(10)
    assert transport._idle == []
    unread.payload.drain()
    assert ask(transport) == b""
    assert server.connections == 1
    transport.close()


@pytest.mark.parametrize(
    ("odd", "connections"),
    [
        (chunked, 2),
        (lambda sent: b"HTTP/1.1 100 Continue\r\n\r\n" + answer(sent), 1),
        (lambda sent: answer(sent, "Connection: close"), 2),
        (lambda sent: answer(sent).replace(b"Content-Length", b"X-Length"), 2),  # its end is the connection's
    ],
    ids=["chunked", "interim", "closing", "no length"],
)
def test_what_proxies_make_of_an_answer_is_understood(
    server: Scripted, odd: Answer, connections: int
) -> None:
    server.answers = [[odd, answer] if connections == 1 else [odd], [answer]]
    transport = HTTPTransport(server.url)
    ask(transport)
    ask(transport)
    assert server.connections == connections
    transport.close()


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (lambda sent: b"", Unavailable),
        (lambda sent: b"SSH-2.0-OpenSSH\r\n\r\n", Unavailable),
        (lambda sent: answer(sent)[:60], Unavailable),
        (lambda sent: answer(sent)[:-1], Unavailable),
        (lambda sent: answer(sent).replace(b"Content-Length: ", b"Content-Length: x"), Unavailable),
        (lambda sent: answer(sent).replace(b"Content-Length: ", b"Content-Length: 9"), InvalidEnvelope),
        (lambda sent: answer(sent, "Transfer-Encoding: gzip"), Unavailable),
        (lambda sent: chunked(sent).replace(b"64;", b"zz;"), Unavailable),
        (lambda sent: b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, Unavailable),
        (lambda sent: b"HTTP/1.1 404 No\r\nContent-Type: text/html\r\n\r\n<p>", InvalidEnvelope),
        (lambda sent: b"HTTP/1.1 502 Bad\r\nContent-Type: text/html\r\n\r\n<p>", Unavailable),
        (lambda sent: b"HTTP/1.1 503 Stops\r\nContent-Type: text/plain\r\n\r\nlater", Unavailable),
        (lambda sent: b"HTTP/1.1 504 Late\r\nContent-Length: 0\r\n\r\n", Unavailable),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused(server: Scripted, bad: Answer, expected: type[GridError]) -> None:
    server.answers = [[bad], [answer]]
    transport = HTTPTransport(server.url)
    with pytest.raises(expected):
        ask(transport)
    assert ask(transport) == b"", "the next exchange has a connection of its own"
    transport.close()


def test_a_head_that_drips_is_no_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            accepted, _ = listening.accept()
            with accepted:
                for _ in range(1200):
                    try:
                        accepted.sendall(b"H")
                    except OSError:
                        return
                    time.sleep(0.05)

        threading.Thread(target=drip, daemon=True).start()
        transport = HTTPTransport(f"http://127.0.0.1:{listening.getsockname()[1]}")
        begun = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            transport.exchange(request(), timeout=0.3)
        assert time.monotonic() - begun < 50.0, "it would drip for a minute"


@pytest.mark.parametrize(
    "address", ["http://a..b:80", "http://127.0.0.1:port", "http://", "http://\u2603.invalid:1"]
)
def test_an_address_that_cannot_be_reached(address: str) -> None:
    with pytest.raises(Unavailable):
        HTTPTransport(address).exchange(request(), timeout=240.0)


def test_a_request_is_one_well_formed_message(server: Scripted) -> None:
    seen: list[bytes] = []
    server.answers = [[lambda sent: (seen.append(sent), answer(sent))[1]]]  # type: ignore[func-returns-value]
    transport = HTTPTransport(server.url)
    ask(transport)
    assert len(seen[0]) == 8 + envelope_size(seen[0])
    transport.close()


def test_an_answer_in_http_1_0_is_one_and_its_connection_is_not_used_again(server: Scripted) -> None:
    """Endpoints and proxies of others speak it still."""

    def older(sent: bytes) -> bytes:
        return answer(sent).replace(b"HTTP/1.1", b"HTTP/1.0", 1)

    server.answers = [[older], [answer], [lambda sent: chunked(sent).replace(b"HTTP/1.1", b"HTTP/1.0", 1)]]
    transport = HTTPTransport(server.url)
    assert ask(transport) == ask(transport) == b""
    transport.close()
    transport = HTTPTransport(server.url)
    with pytest.raises(Unavailable):
        ask(transport)
    transport.close()
