"""Frames within one process: the whole message plane without a socket, for tests and simulation."""

from __future__ import annotations

import _thread
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from syft_ext.errors import BadRequest, Conflict, DeadlineExceeded, GridError, Unavailable
from syft_ext.messages.envelope import Envelope
from syft_ext.transport.base import IncomingFrame, Pieces, Transport
from syft_ext.transport.frames import PieceReader, read_head
from syft_ext.transport.payload import PayloadReader

__all__ = ["FrameReceiver", "LocalTransport", "add_local_node", "open_local", "remove_local_node"]

Piece = bytes | bytearray | memoryview
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")


class FrameReceiver(Protocol):
    """What a node is to its transports: it takes a frame and gives back the pieces of the answer's frame."""

    def receive(self, envelope: Envelope, payload: PayloadReader) -> Iterable[Piece]:
        """Answer a frame; errors of the node come as frames too, and are not raised."""


class _NamedNode:
    """The node that has ``name`` when a frame comes for it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def receive(self, envelope: Envelope, payload: PayloadReader) -> Iterable[Piece]:
        node = _nodes.get(self._name)
        if node is None:
            raise Unavailable(
                f"local://{self._name} cannot be reached: no node of this process has that name"
            )
        return node.receive(envelope, payload)


_nodes: dict[str, FrameReceiver] = {}


def add_local_node(name: str, receiver: FrameReceiver) -> str:
    """Make a node of this process reachable as ``local://name``, which is returned.

    Raises :class:`~syft_ext.errors.Conflict` when another node has the name.
    """
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"a local node is named by a-z, 0-9, dots, dashes and underscores, not {name[:80]!r}"
        )
    if _nodes.setdefault(name, receiver) is not receiver:
        raise Conflict(f"local://{name} is another node")
    return f"local://{name}"


def remove_local_node(name: str) -> None:
    """Whoever calls ``local://name`` from now on finds nobody there."""
    _nodes.pop(name, None)


def open_local(address: str, *, ca_file: str | None = None) -> LocalTransport:
    """The transport to ``local://name``; the node is looked up at each exchange."""
    return LocalTransport(_NamedNode(address.partition("://")[2].rstrip("/").lower()), address)


class LocalTransport(Transport):
    """Hands frames to a node of this process."""

    def __init__(self, receiver: FrameReceiver, address: str = "local:") -> None:
        self.address = address
        self._receiver = receiver
        self._running: set[_LocalCall] = set()

    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        sent = PieceReader(payload)
        reader = PayloadReader(sent.read, envelope.payload_size, envelope.payload_digest)
        try:
            pieces = self._within(timeout, lambda: iter(self._receiver.receive(envelope, reader)))
        finally:
            sent.stop()  # whoever gave up has nothing read from under them
        if sent.error is not None:
            raise sent.error
        return _incoming(pieces, self.address)

    def _within(self, timeout: float | None, receive: Callable[[], Iterator[Piece]]) -> Iterator[Piece]:
        """What ``receive`` returns, if it does in time: it runs in a thread that can be left behind."""
        if timeout is None:
            return receive()
        call = _LocalCall(receive)
        self._running.add(call)
        try:
            _thread.start_new_thread(call.run, ())
            if not call.done.wait(timeout):
                raise DeadlineExceeded(f"{self.address} did not answer in time")
        finally:
            self._running.discard(call)
        if call.error is not None:
            raise call.error
        if call.pieces is None:
            raise Unavailable(f"{self.address} hung up")
        return call.pieces

    def close(self) -> None:
        """Whoever waits for an answer is told that none will come."""
        for call in list(self._running):
            call.done.set()


class _LocalCall:
    """One call of a node, in a thread of its own."""

    def __init__(self, receive: Callable[[], Iterator[Piece]]) -> None:
        self._receive = receive
        self.done = threading.Event()
        self.pieces: Iterator[Piece] | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.pieces = self._receive()
        except BaseException as error:
            self.error = error  # it is the caller's
        finally:
            self.done.set()


def _incoming(pieces: Iterator[Piece], address: str) -> IncomingFrame:
    answer = PieceReader(pieces)

    def read(count: int) -> memoryview:
        piece = answer.read(count)
        if answer.error is not None:
            if isinstance(answer.error, GridError):
                raise answer.error
            raise Unavailable(f"{address} broke off its answer") from answer.error
        return piece

    envelope, _ = read_head(read)
    return IncomingFrame(envelope, PayloadReader(read, envelope.payload_size, envelope.payload_digest))
