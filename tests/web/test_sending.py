"""What an answer consists of arrives whole and in order, whatever room the socket has."""

from __future__ import annotations

import os
import socket
import threading
from array import array
from types import SimpleNamespace

import pytest
from flask import Flask

from grid.web.http.handler import SLICE, SMALL, Handler, ServerState

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
LARGE = os.urandom(2 * SLICE + 1)
FLOATS = memoryview(array("d", range(SLICE // 4)))


@pytest.mark.parametrize(
    ("head", "first"),
    [
        (HEAD, b""),
        (HEAD, b"x"),
        (HEAD, LARGE[: SMALL + 1]),
        (HEAD, memoryview(LARGE)),
        (LARGE, LARGE),
        (HEAD, FLOATS),
    ],
    ids=["no body", "small", "two packets", "large", "large head", "not of bytes"],
)
def test_all_of_it(head: bytes, first: bytes | memoryview) -> None:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    came = bytearray()

    def receive() -> None:
        while data := theirs.recv(50_000):
            came.extend(data)

    reader = threading.Thread(target=receive)
    reader.start()
    server = SimpleNamespace(state=ServerState(Flask("nothing")))
    handler = Handler(ours, ("127.0.0.1", 1), server)
    handler._sendall(head, first)
    ours.shutdown(socket.SHUT_WR)
    reader.join()
    ours.close()
    theirs.close()
    assert came == head + bytes(first)
    assert handler.response_length == len(came)
