"""The same calls, the same answers, the same errors, whatever the transport."""

from __future__ import annotations

import gc
import hashlib
import io
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator

import msgspec
import pytest

from grid.web.testing import RunningNode
from syft_ext.errors import (
    BadRequest,
    BadSignature,
    Conflict,
    DeadlineExceeded,
    GridError,
    InternalError,
    Unauthenticated,
    Unavailable,
)
from syft_ext.identity import Identity
from syft_ext.ids import new_id
from syft_ext.messages.envelope import seal_request
from syft_ext.transport import Connection, open_transport
from tests.transport.suite.carriers import Carrier
from tests.web.probe import (
    DownloadBytes,
    Echo,
    EchoReply,
    Fail,
    Meet,
    ProbeService,
    Search,
    Upload,
    Wait,
    content,
    token_of,
)

#: Bytes; a transport that streams needs fewer, however large the payload (:attr:`Carrier.much`) is: up to 2 MB.
FLAT = 12 << 20


class Bulk:
    """A payload that is made while it is sent; ``fail_at`` is where its source breaks."""

    def __init__(self, size: int, fail_at: int | None = None) -> None:
        self.size, self.fail_at = size, fail_at

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        for piece in content(0, self.size):
            if self.fail_at is not None and sent >= self.fail_at:
                raise LookupError("the source is broken")
            sent += len(piece)
            yield piece


def stored(carrier: Carrier) -> dict[str, int]:
    return carrier.served.node.service(ProbeService).stored


# -- calls --------------------------------------------------------------------------------------------


def test_calls(connection: Connection) -> None:
    reply = connection.call(Echo(name="ada", nested={"a": [1, None]}, data=b"\0"))
    assert (reply.name, reply.nested, reply.data) == ("ada", {"a": [1, None]}, b"\0")
    assert connection.call(Search(number=3)).number == 3


def test_large_messages(connection: Connection) -> None:
    """The envelope itself may be larger than any piece a transport sends at once."""
    data = bytes(range(256)) * 48  # as much as fields may have that anybody may send
    assert connection.call(Echo(name="a", data=data)).data == data


def test_an_answer_is_bound_to_its_request(carrier: Carrier) -> None:
    transport = open_transport(carrier.address)
    for number in range(3):
        request = seal_request(
            Identity.generate(), Search(number=number), now=time.time(), recipient=carrier.served.node.id
        )
        frame = transport.exchange(request, timeout=240.0)
        frame.payload.drain()
        assert frame.envelope.in_reply_to == request.nonce
        assert msgspec.msgpack.decode(frame.envelope.body, type=EchoReply).number == number
    transport.close()


def test_the_nodes_key_is_pinned_at_first_use(connection: Connection, carrier: Carrier) -> None:
    assert connection.node_key == ""
    connection.call(Search())
    assert connection.node_key == carrier.served.node.identity.verify_key


def test_another_node_than_expected_is_not_believed(carrier: Carrier) -> None:
    imposter = carrier.connect(node_key=Identity.generate().verify_key, recipient="")
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


# -- payloads -----------------------------------------------------------------------------------------


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


def test_empty_pieces_and_views_are_pieces_too(connection: Connection) -> None:
    pieces = [b"", memoryview(b"abc"), bytearray(b"de"), b"", b"f" * 100_000, b""]
    assert connection.call(Upload(name="pieces"), pieces).size == 100_005


def test_no_token_no_upload(carrier: Carrier) -> None:
    """The refusal arrives, although most of what was to be sent was not read."""
    stranger = carrier.connect()
    for size in (5, 5_000_000):
        with pytest.raises(Unauthenticated):
            stranger.call(Upload(name="x"), [b"x" * size])
    assert "x" not in stored(carrier)
    stranger.close()


def peak_of(work: Callable[[], object]) -> int:
    """The most bytes that Python held at a time beside what it held before: caller and node together."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


class _Nowhere(io.RawIOBase):
    def write(self, data: object) -> int:
        return len(memoryview(data))  # type: ignore[arg-type]


def test_what_streams_takes_little_memory_both_ways(connection: Connection, carrier: Carrier) -> None:
    if not carrier.streams:
        pytest.skip("holds payloads whole: see the next test")
    connection.metadata()
    up = peak_of(lambda: connection.call(Upload(name="bulk"), Bulk(carrier.much)))  # type: ignore[arg-type]
    assert stored(carrier)["bulk"] == carrier.much
    down = peak_of(lambda: connection.download(DownloadBytes(size=carrier.much), _Nowhere()))  # type: ignore[arg-type]
    flat = min(FLAT, carrier.much // 2)
    assert (up < flat, down < flat) == (True, True), (up, down)


def test_what_does_not_stream_has_a_limit(connection: Connection, carrier: Carrier) -> None:
    if carrier.streams:
        pytest.skip("streams: see the test before")
    limit = 64 << 20
    with pytest.raises(Unavailable):
        connection.call(Upload(name="too much"), Bulk(limit + 1), timeout=30)  # type: ignore[arg-type]
    assert "too much" not in stored(carrier)
    assert connection.call(Search(number=1)).number == 1


def test_a_download_that_breaks_off_raises(carrier: Carrier) -> None:
    connection = carrier.connect()
    with pytest.raises((Unavailable, DeadlineExceeded)):
        connection.download(DownloadBytes(size=3_000_000, fail_at=1_000_000), timeout=240)
    assert connection.call(Search(number=1)).number == 1
    connection.close()


def test_a_payload_that_was_changed_is_refused(carrier: Carrier) -> None:
    transport = open_transport(carrier.address)
    request = seal_request(
        Identity.generate(),
        Upload(name="changed"),
        now=time.time(),
        recipient=carrier.served.node.id,
        token=token_of(carrier.served.node),
        payload=[b"x" * 50_000],
    )
    frame = transport.exchange(request, [b"x" * 49_999, b"y"], timeout=240.0)
    with pytest.raises(BadRequest):
        frame.envelope.reply_as(EchoReply)
    assert "changed" not in stored(carrier)
    transport.close()


# -- giving up ----------------------------------------------------------------------------------------


def test_deadlines(carrier: Carrier) -> None:
    connection = carrier.connect()
    connection.metadata()
    begun = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        connection.call(Wait(seconds=10.0), timeout=0.3)
    assert time.monotonic() - begun < 9.0
    assert connection.call(Search(number=1)).number == 1
    connection.close()


def test_a_node_that_is_not_there(carrier: Carrier) -> None:
    connection = Connection(open_transport(carrier.nowhere))
    for _ in range(2):
        with pytest.raises(Unavailable):
            connection.call(Search())
    connection.close()


def test_a_source_that_breaks_ends_the_exchange_and_no_more(connection: Connection, carrier: Carrier) -> None:
    request = seal_request(
        connection.identity,
        Upload(name="broken"),
        now=time.time(),
        recipient=carrier.served.node.id,
        token=connection.token,
        payload=Bulk(2_000_000),  # type: ignore[arg-type]
    )
    with pytest.raises(LookupError, match="the source is broken"):
        connection.transport.exchange(request, Bulk(2_000_000, fail_at=1_000_000), timeout=240.0)
    assert connection.call(Search(number=1)).number == 1
    assert "broken" not in stored(carrier)


def test_answers_that_nobody_reads_hold_nothing_up(connection: Connection) -> None:
    connection.metadata()
    for read in (0, 10, 700_000):
        for _ in range(4):
            frame = connection.open(DownloadBytes(size=3_000_000))
            if read:
                assert frame.payload.read(read)
            del frame
        assert connection.call(Search(number=read)).number == read


def test_closing_ends_what_is_under_way(carrier: Carrier) -> None:
    connection = carrier.connect()
    connection.metadata()
    ends: list[object] = []

    def work() -> None:
        try:
            ends.append(connection.call(Wait(seconds=1.0), timeout=240.0).kind)
        except GridError as error:
            ends.append(type(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    connection.close()
    for thread in threads:
        thread.join(60)
    assert len(ends) == 3, "somebody still waits"
    assert set(ends) <= {"waited 1.0", Unavailable}
    assert connection.call(Search(number=1)).number == 1, "a closed transport opens again when it is used"
    connection.close()


# -- at once ------------------------------------------------------------------------------------------


def test_many_threads_share_a_connection(carrier: Carrier) -> None:
    connection = carrier.connect(token=token_of(carrier.served.node))
    connection.metadata()
    wrong: list[object] = []

    def work(index: int) -> None:
        for number in range(10):
            reply = connection.call(Echo(name=f"{index}", number=number))
            if (reply.name, reply.number) != (f"{index}", number):
                wrong.append(reply)
            size = 1000 * (10 * index + number)
            if connection.call(Upload(name=f"{index}"), [b"x" * size]).size != size:
                wrong.append(size)
            _, data = connection.download(DownloadBytes(size=size))
            if bytes(data) != b"".join(content(0, size)):
                wrong.append(size)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    connection.close()


def meeting(connection: Connection, count: int) -> list[str]:
    """The answers to calls that are answered only when all of them are being answered."""
    call, answers = Meet(name=new_id(), count=count), []
    threads = [
        threading.Thread(target=lambda: answers.append(connection.call(call, timeout=90.0).kind))
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_waits_are_not_waited_for_one_after_the_other(connection: Connection) -> None:
    connection.metadata()
    assert meeting(connection, 10) == ["met"] * 10


def test_a_download_that_nobody_reads_yet_holds_up_nobody(connection: Connection) -> None:
    whole = b"".join(content(0, 8_000_000))
    frame = connection.open(DownloadBytes(size=len(whole)))
    begun = bytes(frame.payload.read(10))
    for number in range(20):
        assert connection.call(Search(number=number), timeout=240).number == number
    assert begun + b"".join(frame.payload) == whole


# -- the real server ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["http", "ws"])
def test_the_real_server_answers_alike(running: RunningNode, kind: str) -> None:
    token = (running.home / "user.token").read_text()  # type: ignore[attr-defined]
    connection = Connection(open_transport(running.url.replace("http", kind, 1)), token=token)
    assert connection.call(Upload(name="up"), [b"x" * 5_000_000]).size == 5_000_000
    _, data = connection.download(DownloadBytes(size=5_000_000))
    assert bytes(data) == b"".join(content(0, 5_000_000))
    assert meeting(connection, 10) == ["met"] * 10
    connection.close()
