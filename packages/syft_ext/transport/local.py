"""Frames within one process: the whole message plane without a socket, for tests and simulation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from syft_ext.messages.envelope import Envelope, open_frame
from syft_ext.transport.base import IncomingFrame, Pieces, Transport
from syft_ext.transport.payload import PayloadReader

__all__ = ["FrameReceiver", "LocalTransport"]


class FrameReceiver(Protocol):
    """What a node is to its transports: it takes a frame and gives back the pieces of the answer's frame."""

    def receive(
        self, envelope: Envelope, payload: PayloadReader
    ) -> Iterable[bytes | bytearray | memoryview]: ...


class LocalTransport(Transport):
    """Hands frames to ``receiver`` in the caller's thread."""

    def __init__(self, receiver: FrameReceiver, address: str = "local:") -> None:
        self.address = address
        self._receiver = receiver

    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        body = b"".join(payload)
        frame = b"".join(self._receiver.receive(envelope, PayloadReader.of(body, envelope.payload_digest)))
        reply, data = open_frame(frame)
        return IncomingFrame(reply, PayloadReader.of(data, reply.payload_digest))
