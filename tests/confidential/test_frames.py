"""The worker's pipe: frames arrive as they were sent, and nothing else is taken for one."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest

from syft_ext.confidential import frames
from syft_ext.confidential.frames import (
    FAILURES,
    MAX_BODY,
    MAX_JOB,
    MAX_READ,
    Bytes,
    Descriptors,
    FramePipe,
    FromOperator,
    FromWorker,
    GaveUp,
    Missing,
    OutputPart,
    Quote,
    Read,
    Relay,
    Result,
    RoundJob,
    operator_pipe,
    worker_pipe,
)
from syft_ext.errors import BadRequest, TooLarge, Unavailable

_JOB = RoundJob(b"policy", [b"one", b"two"], b"layout", b"manifest")
_TO_WORKER: list[FromOperator] = [_JOB, Bytes(memoryview(b"")), Bytes(memoryview(bytes(MAX_READ))), Missing()]
_TO_OPERATOR: list[FromWorker] = [
    Read(b"\1" * 32, 1 << 40, MAX_READ),
    Relay(b"h" * 32, "grant", bytes(MAX_BODY)),
    Quote(b"\2" * 64),
    OutputPart(memoryview(bytes(MAX_READ))),
    Result(bytes(MAX_BODY)),
    *(GaveUp(code) for code in FAILURES),
]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with closing(one), closing(other):
        yield one, other


def _carry(sender: FramePipe, receiver: FramePipe, sent: list) -> list:  # type: ignore[type-arg]
    def send() -> None:
        for frame in sent:
            sender.send(frame)

    thread = threading.Thread(target=send)
    thread.start()
    found = [receiver.receive() for _ in sent]
    thread.join()
    return found


def test_frames_arrive_as_they_were_sent(pair: tuple[socket.socket, socket.socket]) -> None:
    operator, worker = operator_pipe(pair[0]), worker_pipe(pair[1])
    assert _carry(operator, worker, _TO_WORKER) == _TO_WORKER
    assert _carry(worker, operator, _TO_OPERATOR) == _TO_OPERATOR


def test_descriptors_carry_frames_like_a_socket() -> None:
    read, write = os.pipe()
    try:
        stream = Descriptors(read, write)
        assert _carry(operator_pipe(stream), worker_pipe(stream), _TO_WORKER) == _TO_WORKER
    finally:
        os.close(read)
        os.close(write)


def test_a_pipe_that_ends_between_frames_has_ended_and_within_one_is_broken(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    body = msgspec.msgpack.encode(Missing())
    pair[0].sendall(struct.pack(">I", len(body)) + body)
    pair[0].sendall(struct.pack(">I", len(body)) + body[:-1])
    pair[0].close()
    worker = worker_pipe(pair[1])
    assert worker.receive() == Missing()
    with pytest.raises(Unavailable):
        worker.receive()
    assert worker.receive() is None


def test_a_frame_that_is_too_long_is_refused_before_any_of_it_is_read(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    for limit, pipe in (
        (MAX_JOB, worker_pipe(pair[1])),
        (MAX_BODY + 4096, operator_pipe(pair[1])),
    ):
        pair[0].sendall(struct.pack(">I", limit + 1))
        with pytest.raises(TooLarge):
            pipe.receive()
    pair[0].sendall(struct.pack(">I", 101))
    with pytest.raises(TooLarge):
        worker_pipe(pair[1]).receive(100)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(["unknown"]),
        msgspec.msgpack.encode(["missing", 1]),
        msgspec.msgpack.encode(["bytes"]),
        msgspec.msgpack.encode(["bytes", "text"]),
        msgspec.msgpack.encode(GaveUp("internal")),  # the other side's
        msgspec.msgpack.encode(Missing()) + b"\0",
        b"\x91" * 5000 + b"\0",
    ],
)
def test_what_is_no_frame_is_refused(pair: tuple[socket.socket, socket.socket], body: bytes) -> None:
    pair[0].sendall(struct.pack(">I", len(body)) + body)
    with pytest.raises(BadRequest):
        worker_pipe(pair[1]).receive()


def test_a_failure_is_one_of_a_fixed_list(pair: tuple[socket.socket, socket.socket]) -> None:
    body = msgspec.msgpack.encode(["failed", "the third number of hospital B is 0.25"])
    pair[0].sendall(struct.pack(">I", len(body)) + body)
    with pytest.raises(BadRequest):
        operator_pipe(pair[1]).receive()


def test_whoever_writes_to_a_closed_pipe_is_told_so(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].close()
    with pytest.raises(Unavailable):
        for _ in range(100):
            operator_pipe(pair[0]).send(Bytes(memoryview(bytes(MAX_READ))))


def test_the_longest_operation_and_code_fit_their_frames() -> None:
    longest = msgspec.msgpack.encode(Relay(b"h" * 32, "challenge", bytes(MAX_BODY)))
    assert len(longest) <= MAX_BODY + frames._ROOM
