"""Frames in segments, without any socket: each stream whole and in order, and nothing malformed believed."""

from __future__ import annotations

import struct
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.transport.pipe import CloseCode
from syft_ext.transport.segments import (
    ConnectionClosed,
    CreditReceived,
    DataReceived,
    MalformedSegment,
    Segments,
    StreamOpened,
    StreamRefused,
    StreamReset,
)

SMALL = {"max_message": 64, "window": 96}
frames = st.binary(max_size=600)


def test_what_goes_over_the_wire() -> None:
    """Written down: a client in another language, or of another version, says exactly this."""
    asks, answers = Segments(asks=True), Segments(asks=False)
    stream = asks.new_stream()
    opening = asks.open(stream, 11, b"GRD1")
    assert opening == bytes.fromhex("01 00000001 000000000000000b") + b"GRD1"
    assert answers.receive(opening) == StreamOpened(1, 11, memoryview(b"GRD1"))
    data = asks.data(stream, b"payload")
    assert data == bytes.fromhex("02 00000001") + b"payload"
    assert answers.receive(data) == DataReceived(1, memoryview(b"payload"))
    assert Segments.close(1002, "nö") == bytes.fromhex("05 00000000 03ea 6ec3b6")
    assert answers.receive(Segments.close(1002, "nö")) == ConnectionClosed(1002, "nö")
    assert answers.reset(1, 1011, "no") == bytes.fromhex("04 00000001 03f3") + b"no"
    assert asks.receive(bytes.fromhex("04 00000001 03f3") + b"no") == StreamReset(1, 1011, "no")
    second = asks.new_stream()
    answers.receive(asks.open(second, 1 << 20, b"x" * 16_371))
    for _ in range(8):
        answers.receive(asks.data(second, b"x" * asks.room(second)))
    credit = answers.consumed(second, 131_000) or answers.consumed(second, 80)
    assert credit == bytes.fromhex("03 00000002 00020008")
    assert asks.receive(credit) == CreditReceived(2)


class End:
    """One end with its frames: what it sends when it is told to, and what came."""

    def __init__(self, asks: bool, sends: list[bytes]) -> None:
        self.segments = Segments(asks=asks, max_streams=len(sends), **SMALL)
        self.sends = sends
        self.sent: dict[int, int] = {}
        self.came: dict[int, bytes] = {}
        self.sizes: dict[int, int] = {}
        self.unread: dict[int, int] = {}
        self.out: deque[bytes] = deque()

    def send(self, stream: int, most: int) -> bool:
        """The next message of a frame, if one may go."""
        frame = self.sends[stream - 1]
        if stream not in self.sent:
            first = frame[: min(most, self.segments.first_room)]
            self.out.append(self.segments.open(stream, len(frame), first))
            self.sent[stream] = len(first)
            return True
        begun = self.sent[stream]
        room = min(most, self.segments.room(stream))
        if not room:
            return False
        self.out.append(self.segments.data(stream, frame[begun : begun + room]))
        self.sent[stream] = begun + room
        return True

    def receive(self, message: bytes) -> None:
        event = self.segments.receive(message)
        if isinstance(event, StreamOpened):
            self.came[event.stream], self.sizes[event.stream] = b"", event.size
            self.unread[event.stream] = 0
        if isinstance(event, StreamOpened | DataReceived):
            self.came[event.stream] += event.data
            self.unread[event.stream] += len(event.data)
            assert self.unread[event.stream] <= SMALL["window"], "more is held than a window"

    def read(self, stream: int, most: int) -> None:
        count = min(most, self.unread.get(stream, 0))
        if count:
            self.unread[stream] -= count
            credit = self.segments.consumed(stream, count)
            if credit is not None:
                self.out.append(credit)

    def complete(self, stream: int) -> bool:
        return stream in self.came and len(self.came[stream]) == self.sizes[stream]


@settings(max_examples=150)
@given(st.lists(st.tuples(frames, frames), min_size=1, max_size=5), st.data())
def test_whatever_the_order_each_stream_is_whole_and_in_order(
    pairs: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    asking, answering = End(True, [ask for ask, _ in pairs]), End(False, [answer for _, answer in pairs])
    streams = range(1, len(pairs) + 1)
    for stream in streams:
        assert asking.segments.new_stream() == stream
        asking.send(stream, data.draw(st.integers(0, 64)))
    moves = st.tuples(st.integers(0, 5), st.sampled_from(list(streams)), st.integers(1, 64))
    steps = data.draw(st.lists(moves, max_size=120))
    # Then every move in turn, until all is through: so chance decides the order, and not whether it ends.
    steps += [(kind, stream, 64) for _ in range(80) for kind in range(6) for stream in streams]
    for kind, stream, most in steps:
        here, there = (asking, answering) if kind % 2 else (answering, asking)
        if kind < 2:
            if here is asking or asking_is_over(asking, answering, stream):
                here.send(stream, most)
        elif kind < 4:
            if there.out:
                here.receive(there.out.popleft())
        else:
            here.read(stream, most)
    for stream in streams:
        assert answering.came[stream] == pairs[stream - 1][0]
        assert asking.came[stream] == pairs[stream - 1][1]
    assert (len(asking.segments), len(answering.segments)) == (0, 0), "nothing is kept of what is over"


def asking_is_over(asking: End, answering: End, stream: int) -> bool:
    """A question is read to its end before its answer begins, as nodes do."""
    return answering.complete(stream)


@given(st.lists(st.binary(max_size=80), max_size=30), st.booleans())
def test_any_bytes_are_an_event_or_malformed_and_keep_little(messages: list[bytes], asks: bool) -> None:
    end = Segments(asks=asks, max_streams=3, **SMALL)
    if asks:
        for _ in range(3):
            end.open(end.new_stream(), 5, b"12345")
    for message in messages:
        try:
            end.receive(message)
        except MalformedSegment as error:
            assert str(error)
        assert len(end) <= 3


kinds = st.sampled_from([1, 2, 3, 4, 5, 6, 0])
numbers = st.integers(0, 4)
bodies = st.one_of(
    st.binary(max_size=60),
    st.tuples(st.integers(0, 200), st.binary(max_size=40)).map(lambda p: struct.pack(">Q", p[0]) + p[1]),
    st.integers(0, 300).map(lambda count: struct.pack(">I", count)),
)


@settings(max_examples=300)
@given(st.lists(st.tuples(kinds, numbers, bodies), max_size=40), st.booleans())
def test_well_formed_heads_in_any_order_break_no_promise(
    messages: list[tuple[int, int, bytes]], asks: bool
) -> None:
    """What is delivered of a stream is never more than its size, nor more than a window ahead of who reads."""
    end = Segments(asks=asks, max_streams=2, **SMALL)
    if asks:
        for _ in range(3):
            end.open(end.new_stream(), 500, b"")
    delivered: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for kind, stream, body in messages:
        try:
            event = end.receive(struct.pack(">BI", kind, stream) + body)
        except MalformedSegment:
            continue
        if isinstance(event, StreamOpened):
            assert event.stream not in sizes
            sizes[event.stream], delivered[event.stream] = event.size, len(event.data)
        if isinstance(event, DataReceived):
            delivered[event.stream] += len(event.data)
        for number, count in delivered.items():
            assert count <= min(sizes[number], SMALL["window"])
        for number in range(4):
            assert end.room(number) <= SMALL["max_message"] - 5


def opened(stream: int, size: int, data: bytes = b"") -> bytes:
    return struct.pack(">BIQ", 1, stream, size) + data


MALFORMED = {
    "nothing": b"",
    "no head": b"\x01\0\0",
    "too long": b"\x02\0\0\0\x01" + b"x" * (16 << 10),
    "an unknown kind": b"\x09\0\0\0\x01",
    "no kind": b"\x00\0\0\0\x01",
    "no size": b"\x01\0\0\0\x02\0\0\0",
    "the stream without a number": opened(0, 5),
    "a stream out of order": opened(7, 5),
    "a stream again": opened(1, 5),
    "more than its size": opened(2, 3, b"four"),
    "bytes of a stream that was never opened": b"\x02\0\0\0\x05abc",
    "no bytes": b"\x02\0\0\0\x01",
    "more bytes than are to come": b"\x02\0\0\0\x01" + b"x" * 300,
    "credit of two bytes": b"\x03\0\0\0\x01\0\0",
    "no credit": b"\x03\0\0\0\x01\0\0\0\0",
    "more credit than was used": b"\x03\0\0\0\x01\xff\xff\xff\xff",
    "an end without a code": b"\x04\0\0\0\x01\x03",
    "a reason that is no text": b"\x04\0\0\0\x01\x03\xe8\xff\xfe",
    "a reason without end": b"\x05\0\0\0\0\x03\xe8" + b"x" * 124,
    "the end of the connection on a stream": b"\x05\0\0\0\x01\x03\xe8",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_malformed_is_said_to_be(case: str) -> None:
    end = Segments(asks=False)
    end.receive(opened(1, 200))
    with pytest.raises(MalformedSegment):
        end.receive(MALFORMED[case])
    assert len(end) == 1
    assert end.receive(b"\x02\0\0\0\x01abc") == DataReceived(1, memoryview(b"abc"))


def test_an_answer_comes_once_and_to_a_question() -> None:
    end = Segments(asks=True)
    end.open(end.new_stream(), 100, b"")
    for stream in (0, 2):
        with pytest.raises(MalformedSegment, match="never opened"):
            end.receive(opened(stream, 5))
    with pytest.raises(MalformedSegment, match="no frame yet"):
        end.receive(b"\x02\0\0\0\x01abc")
    end.receive(opened(1, 5))
    with pytest.raises(MalformedSegment, match="two frames"):
        end.receive(opened(1, 5))


def test_no_more_of_a_question_is_sent_once_its_answer_begins() -> None:
    end = Segments(asks=True)
    end.open(end.new_stream(), 1000, b"")
    assert end.room(1) == 1000
    end.receive(opened(1, 5, b"abc"))
    assert end.room(1) == 0
    end.receive(b"\x02\0\0\0\x01de")
    assert len(end) == 0
    assert end.receive(b"\x02\0\0\0\x01de") is None, "whatever still comes for it is ignored"
    assert end.receive(b"\x03\0\0\0\x01\0\0\0\x05") is None
    assert end.receive(b"\x04\0\0\0\x01\x03\xe8") is None
    assert end.reset(1, 1000) is None


def test_too_many_streams_are_refused_one_by_one() -> None:
    asks, answers = Segments(asks=True), Segments(asks=False, max_streams=2)
    for _ in range(2):
        assert isinstance(answers.receive(asks.open(asks.new_stream(), 100)), StreamOpened)
    third = answers.receive(asks.open(asks.new_stream(), 100))
    assert isinstance(third, StreamRefused)
    assert asks.receive(third.answer) == StreamReset(
        3, CloseCode.TRY_AGAIN_LATER, "more than 2 exchanges at a time"
    )
    assert answers.receive(b"\x02\0\0\0\x03late") is None
    answers.open(1, 2, b"ok")
    assert isinstance(answers.receive(asks.open(asks.new_stream(), 100)), StreamOpened)


def test_what_does_not_fit_is_not_sent() -> None:
    end = Segments(asks=True, **SMALL)
    with pytest.raises(ValueError, match="room"):
        end.open(end.new_stream(), 100, b"x" * 52)
    end.open(1, 500, b"x" * 51)
    with pytest.raises(ValueError, match="room"):
        end.data(1, b"x" * 46)  # 96 may be under way
    end.data(1, b"x" * 45)
    assert end.room(1) == 0
    with pytest.raises(ValueError, match="answers"):
        Segments(asks=False).new_stream()
