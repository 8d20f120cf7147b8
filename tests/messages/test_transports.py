"""HTTP, WebSocket and in-process: the same calls, the same answers, the same errors."""

from __future__ import annotations

import hashlib
import io
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from grid.web.testing import RunningNode, ServedNode
from syft_ext.errors import (
    BadSignature,
    Conflict,
    DeadlineExceeded,
    InternalError,
    Unauthenticated,
    Unavailable,
)
from syft_ext.identity import Identity
from syft_ext.transport import Connection, LocalTransport, open_transport
from tests.web.probe import DownloadBytes, Echo, Fail, Search, Upload, Wait, content, token_of

KINDS = ["http", "ws", "local"]


def connect(served: ServedNode, kind: str, **options: object) -> Connection:
    if kind == "local":
        return Connection(LocalTransport(served.node), **options)  # type: ignore[arg-type]
    return Connection(open_transport(served.url.replace("http", kind, 1)), **options)  # type: ignore[arg-type]


@pytest.fixture(params=KINDS)
def connection(request: pytest.FixtureRequest, served: ServedNode) -> Iterator[Connection]:
    made = connect(served, request.param, token=token_of(served.node))
    yield made
    made.close()


def test_calls(connection: Connection) -> None:
    reply = connection.call(Echo(name="ada", nested={"a": [1, None]}, data=b"\0"))
    assert (reply.name, reply.nested, reply.data) == ("ada", {"a": [1, None]}, b"\0")
    assert connection.call(Search(number=3)).number == 3


def test_the_nodes_key_is_pinned_at_first_use(connection: Connection, served: ServedNode) -> None:
    assert connection.node_key == ""
    connection.call(Search())
    assert connection.node_key == served.node.identity.verify_key


@pytest.mark.parametrize("kind", KINDS)
def test_another_node_than_expected_is_not_believed(served: ServedNode, kind: str) -> None:
    imposter = connect(served, kind, node_key=Identity.generate().verify_key, recipient="")
    with pytest.raises(BadSignature):
        imposter.call(Search())
    imposter.close()


def test_errors_come_back_as_themselves(connection: Connection) -> None:
    with pytest.raises(Conflict, match="it is taken") as caught:
        connection.call(Fail(how="conflict"))
    assert caught.value.extra == {"by": "somebody"}
    with pytest.raises(InternalError) as bug:
        connection.call(Fail(how="bug"))
    assert "hunter2" not in str(bug.value)
    assert connection.call(Search(number=1)).number == 1  # the connection is still good


def test_no_token_no_upload(served: ServedNode) -> None:
    stranger = connect(served, "http")
    with pytest.raises(Unauthenticated):
        stranger.call(Upload(name="x"), [b"hello"])
    stranger.close()


def test_payloads_go_up(connection: Connection) -> None:
    pieces = [bytes([index]) * 700_001 for index in range(5)]
    assert connection.call(Upload(name="up"), pieces).size == 5 * 700_001


def test_payloads_come_down_into_memory_and_into_files(connection: Connection) -> None:
    whole = b"".join(content(0, 3_000_001))
    reply, data = connection.download(DownloadBytes(size=len(whole)))
    assert (reply.size, bytes(data)) == (len(whole), whole)
    sink = io.BytesIO()
    reply, nothing = connection.download(DownloadBytes(size=len(whole)), sink)
    assert nothing is None
    assert hashlib.sha256(sink.getvalue()).digest() == hashlib.sha256(whole).digest()


@pytest.mark.parametrize("kind", ["http", "ws"])
def test_a_download_that_breaks_off_raises(served: ServedNode, kind: str) -> None:
    connection = connect(served, kind)
    with pytest.raises((Unavailable, DeadlineExceeded)):
        connection.download(DownloadBytes(size=3_000_000, fail_at=1_000_000), timeout=5)
    connection.close()


@pytest.mark.parametrize("kind", ["http", "ws"])
def test_deadlines(served: ServedNode, kind: str) -> None:
    connection = connect(served, kind)
    connection.metadata()
    begun = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        connection.call(Wait(seconds=1.5), timeout=0.3)
    assert time.monotonic() - begun < 1.2
    assert connection.call(Search(number=1)).number == 1
    connection.close()


@pytest.mark.parametrize("kind", ["http", "ws"])
def test_a_node_that_is_not_there(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    connection = Connection(open_transport(f"{kind}://127.0.0.1:{port}"))
    with pytest.raises(Unavailable):
        connection.call(Search())
    connection.close()


@pytest.mark.parametrize("kind", ["http", "ws"])
def test_many_threads_share_a_connection(served: ServedNode, kind: str) -> None:
    connection = connect(served, kind)
    connection.metadata()
    wrong: list[object] = []

    def work(index: int) -> None:
        for number in range(10):
            reply = connection.call(Echo(name=f"{index}", number=number))
            if (reply.name, reply.number) != (f"{index}", number):
                wrong.append(reply)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    connection.close()


@pytest.mark.parametrize("kind", ["http", "ws"])
def test_the_real_server_answers_alike(running: RunningNode, kind: str) -> None:
    token = (running.home / "user.token").read_text()  # type: ignore[attr-defined]
    connection = Connection(open_transport(running.url.replace("http", kind, 1)), token=token)
    assert connection.call(Upload(name="up"), [b"x" * 5_000_000]).size == 5_000_000
    _, data = connection.download(DownloadBytes(size=5_000_000))
    assert bytes(data) == b"".join(content(0, 5_000_000))
    begun = time.monotonic()
    waits = [threading.Thread(target=connection.call, args=(Wait(seconds=0.5),)) for _ in range(10)]
    for thread in waits:
        thread.start()
    for thread in waits:
        thread.join()
    assert time.monotonic() - begun < 3
    connection.close()
