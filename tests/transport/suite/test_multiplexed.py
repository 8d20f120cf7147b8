"""Both halves of a multiplexed connection, each against another end that does what it should not."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from grid.web.limits.memory import MemoryBudget
from syft_ext.errors import DeadlineExceeded, GridError, Unavailable
from syft_ext.identity import Identity
from syft_ext.messages import Empty, GetMetadata
from syft_ext.messages.envelope import ANY_NODE, Envelope, frame_head, open_frame, seal_reply, seal_request
from syft_ext.transport import Connection
from syft_ext.transport.frames import FrameSource
from syft_ext.transport.multiplexed import MultiplexedTransport
from syft_ext.transport.pipe import WINDOW, CloseCode, MessagePipe
from syft_ext.transport.segments import Segments
from syft_ext.transport.serving import WAITING, FrameHandler, FrameReply, _FrameServer, serve_frames
from syft_ext.transport.streams import StreamConnection
from tests.transport.suite.channel import ChannelPipe, channel
from tests.transport.suite.test_segments import MALFORMED, opened

ME, NODE = Identity.generate(), Identity.generate()


def eventually(met: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


class Serving:
    """A serving half in a thread, and the pipe that leads to it. ``ended`` is set when it returned."""

    def __init__(self, handle: FrameHandler, **options: object) -> None:
        self.pipe, theirs = channel()
        self.ended = threading.Event()
        options = {"limit": 4, "patience": 5.0, **options}

        def serve() -> None:
            serve_frames(theirs, handle, **options)  # type: ignore[arg-type]
            self.ended.set()

        threading.Thread(target=serve, daemon=True).start()

    def messages(self) -> Iterator[bytes]:
        while (message := self.pipe.receive()) is not None:
            yield message


def echo(frame: FrameSource, reply: FrameReply) -> None:
    data = b""
    while piece := frame.read(1 << 20):
        data += piece
    reply(len(data), [data])


def end_of(messages: Iterator[bytes]) -> tuple[int, str]:
    """Code and reason of the message that closes the connection, which is the last."""
    *_, last = messages
    assert last[:5] == b"\x05\0\0\0\0"
    return struct.unpack(">H", last[5:7])[0], last[7:].decode()


# -- the half that answers ----------------------------------------------------------------------------


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_message_ends_the_connection_and_says_so(case: str) -> None:
    serving = Serving(echo)
    serving.pipe.send([opened(1, 200, b"x")])
    serving.pipe.max_message = 1 << 20  # type: ignore[misc]
    serving.pipe.send([MALFORMED[case]])
    code, reason = end_of(serving.messages())
    assert code == CloseCode.PROTOCOL_ERROR
    assert reason
    assert serving.ended.wait(60)


def test_an_exchange_and_many_at_once() -> None:
    serving = Serving(echo)
    asking = StreamConnection(serving.pipe, "the node", asks=True)
    threading.Thread(target=asking.run, daemon=True).start()
    wrong: list[int] = []

    def ask(size: int) -> None:
        data = size.to_bytes(4, "big") * (size // 4 + 1)
        answer = asking.ask(len(data), [data[:7], data[7:]], 60.0)
        came = b""
        while piece := answer.read(50_000):
            came += piece
        if came != data:
            wrong.append(size)

    threads = [
        threading.Thread(target=ask, args=(size,)) for size in (0, 5, 16_000, 20_000, 300_000, 900_000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    asking.close()
    assert serving.ended.wait(60)


def test_what_nobody_reads_is_no_more_than_a_window() -> None:
    stop = threading.Event()

    def sleepy(frame: FrameSource, reply: FrameReply) -> None:
        stop.wait(120)

    serving = Serving(sleepy)
    serving.pipe.send([opened(1, WINDOW + 1)])
    for _ in range(WINDOW // 16_000):
        serving.pipe.send([b"\x02\0\0\0\x01" + b"x" * 16_000])
    serving.pipe.send([b"\x02\0\0\0\x01" + b"x" * (WINDOW % 16_000 + 1)])
    code, reason = end_of(serving.messages())
    assert (code, reason) == (1002, "more bytes on stream 1 than there is room for")
    stop.set()


def test_tiny_messages_take_no_more_memory_than_large_ones() -> None:
    """A stranger who sends a byte at a time must not make the node keep an object for each."""
    import tracemalloc

    stop = threading.Event()
    serving = Serving(lambda frame, reply: stop.wait(120) and None)
    serving.pipe.send([opened(1, WINDOW)])
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(20_000):
        serving.pipe.send([b"\x02\0\0\0\x01x"])
    serving.pipe.send([opened(2, 8)])
    eventually(lambda: tracemalloc.get_traced_memory()[0] - before < 200_000)
    tracemalloc.stop()
    serving.pipe.close()
    stop.set()
    assert serving.ended.wait(60)


def test_memory_has_a_limit_for_all_connections_together() -> None:
    stop = threading.Event()
    budget = MemoryBudget(16 * 6 * WINDOW)  # a stranger has a sixteenth
    memory = budget.holding("192.0.2.1")
    serving = Serving(lambda frame, reply: stop.wait(120) and None, limit=16, memory=memory)
    for stream in range(1, 17):
        try:
            serving.pipe.send([opened(stream, WINDOW)])
            for _ in range(WINDOW // 16_000):
                serving.pipe.send([b"\x02" + struct.pack(">I", stream) + b"x" * 16_000])
        except Unavailable:
            break
    assert end_of(serving.messages()) == (1013, "too many large messages at a time")
    assert serving.ended.wait(60)
    assert budget.used == 0, "all of it was given back"
    stop.set()


def test_so_many_are_handled_at_once_and_the_rest_waits_its_turn() -> None:
    running: list[int] = []
    most: list[int] = []
    go = threading.Event()

    def handle(frame: FrameSource, reply: FrameReply) -> None:
        running.append(1)
        most.append(len(running))
        go.wait(60)
        running.pop()
        reply(2, [b"ok"])

    serving = Serving(handle, limit=2)
    for stream in range(1, 9):
        serving.pipe.send([opened(stream, 8, b"question")])
    serving.pipe.send([opened(9, 8, b"question")])
    assert serving.pipe.receive() == b"\x04\0\0\0\x09\x03\xf5more than 8 exchanges at a time"
    eventually(lambda: len(running) == 2)
    serving.pipe.send([b"\x04\0\0\0\x08\x03\xe8"])  # one that waits is taken back: there is room for another
    for stream in (10, 11):
        serving.pipe.send([opened(stream, 8, b"question")])
    assert serving.pipe.receive() == b"\x04\0\0\0\x0b\x03\xf5more than 8 exchanges at a time"
    go.set()
    answered = {struct.unpack(">I", serving.pipe.receive()[1:5])[0] for _ in range(8)}  # type: ignore[index]
    assert answered == {1, 2, 3, 4, 5, 6, 7, 10}
    assert max(most) == 2
    eventually(lambda: not running)
    serving.pipe.close()


@pytest.mark.parametrize("error", [RuntimeError("a bug"), Unavailable("gone")])
def test_a_handler_that_fails_ends_its_exchange_alone(error: Exception) -> None:
    def handle(frame: FrameSource, reply: FrameReply) -> None:
        if frame.read(100) == b"fail":
            raise error
        reply(2, [b"ok"])

    serving = Serving(handle)
    serving.pipe.send([opened(1, 4, b"fail")])
    assert serving.pipe.receive() == b"\x04\0\0\0\x01\x03\xf3the node failed to answer"
    serving.pipe.send([opened(2, 4, b"good")])
    assert serving.pipe.receive() == opened(2, 2, b"ok")
    serving.pipe.close()


def test_a_peer_that_stalls_is_given_up() -> None:
    ends: list[GridError] = []

    def handle(frame: FrameSource, reply: FrameReply) -> None:
        try:
            if frame.size == 100:
                while frame.read(100):
                    pass
            else:
                reply(10 * WINDOW, [b"x" * (10 * WINDOW)])
        except GridError as error:
            ends.append(error)
            raise

    serving = Serving(handle, patience=0.2)
    serving.pipe.send([opened(1, 100, b"and then nothing")])
    assert serving.pipe.receive() == b"\x04\0\0\0\x01\x03\xf3the node failed to answer"
    serving.pipe.send([opened(2, 1, b"x")])  # and for its answer no credit is given
    while serving.pipe.receive() != b"\x04\0\0\0\x02\x03\xf3the node failed to answer":
        pass
    eventually(lambda: len(ends) == 2)
    assert [type(each) for each in ends] == [DeadlineExceeded, DeadlineExceeded]
    assert "sends nothing" in str(ends[0])
    assert "takes nothing" in str(ends[1])
    serving.pipe.close()


def test_who_drops_an_answer_frees_the_node() -> None:
    ended = threading.Event()

    def handle(frame: FrameSource, reply: FrameReply) -> None:
        try:
            reply(100 * WINDOW, (b"x" * 65_536 for _ in range(400)))
        finally:
            ended.set()

    serving = Serving(handle, patience=30.0)
    asking = StreamConnection(serving.pipe, "the node", asks=True)
    threading.Thread(target=asking.run, daemon=True).start()
    answer = asking.ask(4, [b"more"], 60.0)
    assert answer.read(10) == b"x" * 10
    assert not ended.wait(0.2)
    del answer
    assert ended.wait(60)
    asking.close()


# -- the half that asks -------------------------------------------------------------------------------


class Node:
    """The other end of a transport, which does as ``script`` says with the pipe of each connection."""

    def __init__(self, script: Callable[[ChannelPipe], None]) -> None:
        self.connections = 0
        self._script = script
        self.transport = MultiplexedTransport("channel://scripted", self._open)

    def _open(self) -> MessagePipe:
        self.connections += 1
        mine, theirs = channel()
        threading.Thread(target=self._script, args=(theirs,), daemon=True).start()
        return mine


def question() -> Envelope:
    return seal_request(ME, GetMetadata(), now=1.0, recipient=ANY_NODE)


def answered(pipe: ChannelPipe) -> None:
    """Answer one question well."""
    message = pipe.receive()
    assert message is not None
    envelope, _ = open_frame(message[13:])
    frame = frame_head(seal_reply(NODE, envelope, Empty(), now=1.0))
    pipe.send([opened(struct.unpack(">I", message[1:5])[0], len(frame), frame)])


@pytest.mark.parametrize(
    "case",
    [
        b"",
        b"\x07\0\0\0\x01",
        opened(2, 5),
        opened(1, 5, b"123456"),
        b"\x02\0\0\0\x01unasked",
        b"\x03\0\0\0\x01\xff\xff\xff\xff",
        b"\x04\0\0\0\x01",
    ],
)
def test_a_node_that_breaks_the_rules_is_hung_up_on(case: bytes) -> None:
    told: list[tuple[int, str]] = []

    def script(pipe: ChannelPipe) -> None:
        if node.connections == 1:
            pipe.receive()
            pipe.send([case])
            told.append(end_of(iter(pipe.receive, None)))
        else:
            answered(pipe)

    node = Node(script)
    with pytest.raises(Unavailable, match=r"the connection to channel://scripted ended \(1002: "):
        node.transport.exchange(question(), timeout=240.0)
    eventually(lambda: bool(told))
    assert told[0][0] == CloseCode.PROTOCOL_ERROR
    request = question()
    assert node.transport.exchange(request, timeout=240.0).envelope.in_reply_to == request.nonce
    assert node.connections == 2
    node.transport.close()


def test_a_node_that_hangs_up_says_why() -> None:
    node = Node(lambda pipe: (pipe.receive(), pipe.send([Segments.close(1001, "it stops")]))[1])
    with pytest.raises(Unavailable, match=r"hung up \(1001: it stops\)"):
        node.transport.exchange(question(), timeout=240.0)
    node.transport.close()


def test_an_answer_to_another_request_is_not_believed() -> None:
    def script(pipe: ChannelPipe) -> None:
        pipe.receive()
        frame = frame_head(seal_reply(NODE, question(), Empty(), now=1.0))
        pipe.send([opened(1, len(frame), frame)])

    node = Node(script)
    with pytest.raises(GridError, match="answered another request"):
        node.transport.exchange(question(), timeout=240.0)
    node.transport.close()


def test_an_answer_whose_parts_do_not_fit_is_refused() -> None:
    def script(pipe: ChannelPipe) -> None:
        message = pipe.receive()
        assert message is not None
        envelope, _ = open_frame(message[13:])
        frame = frame_head(seal_reply(NODE, envelope, Empty(), now=1.0, payload_size=10)) + b"only"
        pipe.send([opened(1, len(frame), frame)])

    node = Node(script)
    with pytest.raises(GridError, match="4 bytes follow an envelope that announces 10"):
        node.transport.exchange(question(), timeout=240.0)
    node.transport.close()


def test_a_payload_shorter_than_announced_is_not_sent_to_its_end() -> None:
    node = Node(lambda pipe: [None for _ in iter(pipe.receive, None)] and None)
    envelope = seal_request(ME, GetMetadata(), now=1.0, recipient=ANY_NODE, payload=[b"x" * 100_000])
    with pytest.raises(GridError, match="shorter"):
        node.transport.exchange(envelope, [b"x" * 99_000], timeout=240.0)
    node.transport.close()


def test_a_question_whose_answer_comes_early_is_not_sent_to_its_end() -> None:
    received: list[int] = []

    def script(pipe: ChannelPipe) -> None:
        message = pipe.receive()
        assert message is not None
        envelope, _ = open_frame(message[13:])
        frame = frame_head(seal_reply(NODE, envelope, Empty(), now=1.0))
        pipe.send([opened(1, len(frame), frame)])
        received.extend(len(message) for message in iter(pipe.receive, None))

    node = Node(script)
    envelope = seal_request(ME, GetMetadata(), now=1.0, recipient=ANY_NODE, payload=[b"x" * 5_000_000])
    frame = node.transport.exchange(envelope, [b"x" * 5_000_000], timeout=240.0)
    assert frame.envelope.in_reply_to == envelope.nonce
    node.transport.close()
    eventually(lambda: sum(received) > 0)
    assert sum(received) < 2 * WINDOW


def test_requests_that_are_broken_off_at_once_do_not_pile_up() -> None:
    """The rapid reset: a stream that was reset is none any more, so the limit of streams alone bounds nothing."""
    limit, held = 2, threading.Event()

    class Flood:
        """Fills all slots, then opens and resets streams, each in two small messages."""

        max_message = 1 << 14

        def __init__(self) -> None:
            peer = Segments(asks=True)
            messages = [peer.open(peer.new_stream(), 1 << 20, b"x") for _ in range(limit)]
            for _ in range(100 * WAITING * limit):
                stream = peer.new_stream()
                messages += [peer.open(stream, 1 << 20, b"x"), peer.reset(stream, 1000, "")]
            self._messages = iter(messages)

        def receive(self) -> bytes | None:
            message = next(self._messages, None)
            if message is None:
                held.set()
            return message

        def send(self, pieces: object) -> None:
            pass

        def close(self, code: int = 1000, reason: str = "") -> None:
            pass

    server = _FrameServer(Flood(), lambda reader, reply: held.wait(30), limit, None, 30.0)
    server.run()
    assert len(server._waiting) <= WAITING * limit


@pytest.mark.parametrize("max_message", [None, 4096])
def test_after_a_send_that_failed_the_next_call_opens_another_pipe(max_message: int | None) -> None:
    """The reader of the pipe that broke has not noticed yet."""
    pipes: list[object] = []

    class Broken:
        failure = None

        def __init__(self) -> None:
            self.max_message = max_message
            pipes.append(self)

        def send(self, pieces: object) -> None:
            raise Unavailable("the pipe broke")

        def receive(self) -> bytes | None:
            held.wait(30)
            return None

        def close(self, code: int = 1000, reason: str = "") -> None:
            pass

    held = threading.Event()
    connection = Connection(MultiplexedTransport("x://y", Broken), Identity.generate())
    for _ in range(2):
        with pytest.raises(Unavailable, match="the pipe broke"):
            connection.call(GetMetadata())
    held.set()
    assert len(pipes) == 2
