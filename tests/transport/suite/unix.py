"""A transport that the platform does not know: frames over a Unix socket, one connection for each exchange.

It stands for what another package may bring, on the node's side and on the caller's.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self

from grid.node import Node
from syft_ext.errors import DeadlineExceeded, GridError, Unavailable
from syft_ext.messages.envelope import Envelope, decode_envelope, envelope_size, frame_head, seal_reply
from syft_ext.transport import IncomingFrame, PayloadReader, Transport
from syft_ext.transport.base import Pieces

PREFIX = 8


class UnixTransport(Transport):
    """``address`` is ``unix:///path/of/the/socket``."""

    def __init__(self, address: str, *, ca_file: str | None = None) -> None:
        self.address = address
        self._path = address.partition("://")[2]
        self._open: set[socket.socket] = set()

    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        line = socket.socket(socket.AF_UNIX)
        self._open.add(line)
        try:
            line.settimeout(timeout)
            line.connect(self._path)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before it was read
                line.sendall(frame_head(envelope))
                for piece in payload:
                    line.sendall(piece)
            reply = decode_envelope(_exactly(line, envelope_size(_exactly(line, PREFIX))))
        except TimeoutError as error:
            self._forget(line)
            raise DeadlineExceeded(f"{self.address} did not answer in time") from error
        except OSError as error:
            self._forget(line)
            raise Unavailable(f"{self.address} cannot be reached") from error
        except BaseException:
            self._forget(line)
            raise

        def read(count: int) -> bytes:
            try:
                data = line.recv(count)
            except OSError as error:
                raise Unavailable(f"{self.address} hung up") from error
            if not data:
                raise Unavailable(f"{self.address} hung up")
            return data

        return IncomingFrame(reply, PayloadReader(read, reply.payload_size, reply.payload_digest))

    def _forget(self, line: socket.socket) -> None:
        self._open.discard(line)
        line.close()

    def close(self) -> None:
        for line in list(self._open):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            self._forget(line)


class UnixServer:
    """The node's side: a thread for each connection."""

    def __init__(self, node: Node, path: Path) -> None:
        self._node = node
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError, RuntimeError):
            try:
                envelope = decode_envelope(_exactly(line, envelope_size(_exactly(line, PREFIX))))
            except GridError as error:
                refusal = seal_reply(self._node.identity, None, error, now=self._node.clock.now())
                line.sendall(frame_head(refusal))
                return
            payload = PayloadReader(line.recv, envelope.payload_size, envelope.payload_digest)
            for piece in self._node.receive(envelope, payload):
                line.sendall(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def _exactly(line: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = line.recv(count - len(data))
        if not more:
            raise ConnectionError("the socket ended inside a frame")
        data += more
    return data
