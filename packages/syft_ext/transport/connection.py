"""A caller's connection to a node: signs what goes out, checks what comes back, over any transport."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, BinaryIO

from syft_ext.clock import Clock, SystemClock
from syft_ext.errors import (
    BadSignature,
    DeadlineExceeded,
    ExpiredMessage,
    GridError,
    InvalidEnvelope,
    Unavailable,
)
from syft_ext.identity import Identity
from syft_ext.messages import GetMetadata, Message, NodeMetadata, operation_of
from syft_ext.messages.envelope import ANY_NODE, Envelope, PartEnvelope, part_of, seal_request
from syft_ext.transport.base import Buffers, IncomingFrame, Path, Transport
from syft_ext.transport.parts import Parts
from syft_ext.transport.payload import PayloadReader

__all__ = ["Connection"]

DEFAULT_TIMEOUT = 60.0
#: Bytes of a frame that every node takes from whoever sends them.
SMALL = 32 << 10


class _OtherClock(Exception):
    """The node refused a message for its time."""

    def __init__(self, time: float) -> None:
        super().__init__()
        self.time = time


def _check_clock(refusal: Envelope) -> None:
    try:
        refusal.reply_as(NodeMetadata)
    except ExpiredMessage as error:
        told = error.extra.get("time")
        if isinstance(told, int | float) and math.isfinite(told):
            raise _OtherClock(float(told)) from None
    except GridError:
        pass  # raised where the answer is read


class Connection:
    """Calls operations of one node.

    Attributes:
        node_key: verify key of the node; answers signed by another key are refused. Learned from the node's
            own metadata at first use when it was not given (trust on first use).
        token: sent with every message, when the node gave one.
    """

    def __init__(
        self,
        transport: Transport,
        identity: Identity | None = None,
        *,
        node_key: str = "",
        token: str = "",
        recipient: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.transport = transport
        self.identity = identity or Identity.generate()
        self.node_key = node_key
        self.token = token
        self._recipient = recipient
        self._clock = clock or SystemClock()

    @property
    def address(self) -> str:
        """Where the transport goes, as it was given."""
        return self.transport.address

    @property
    def path(self) -> Path:
        """How the node is reached, and why not otherwise: ``{"taken": way, "failed": {way: reason}}``."""
        return self.transport.path

    def metadata(self) -> NodeMetadata:
        """Who the node says it is; pins its key if none is pinned yet."""
        message = GetMetadata()
        frame = self._exchange(message, (), DEFAULT_TIMEOUT)
        reply: NodeMetadata = frame.envelope.reply_as(NodeMetadata)
        if not self.node_key:
            if reply.verify_key != frame.envelope.sender:
                raise BadSignature("the node signs with another key than it names")
            self.node_key = reply.verify_key
        return reply

    def call(self, message: Message, payload: Buffers = (), *, timeout: float | None = None) -> Any:
        """Send ``message`` (and the payload of an upload); return the reply or raise the node's error."""
        frame = self.open(message, payload, timeout=timeout)
        frame.payload.drain()
        return frame.envelope.reply_as(operation_of(message).reply)

    def download(
        self, message: Message, sink: BinaryIO | None = None, *, timeout: float | None = None
    ) -> Any:
        """Like :meth:`call`, for operations that answer with bytes: ``(reply, bytearray)``.

        With ``sink`` the bytes are written there as they come, and the second item is None.
        """
        frame = self.open(message, timeout=timeout)
        reply = frame.envelope.reply_as(operation_of(message).reply)
        if sink is None:
            return reply, frame.payload.read_all()
        for piece in frame.payload:
            sink.write(piece)
        return reply, None

    def open(self, message: Message, payload: Buffers = (), *, timeout: float | None = None) -> IncomingFrame:
        """Send ``message`` and return the verified head of the answer; its payload is still to be read.

        A download whose line drops goes on where it stopped, over as many lines as it takes.
        """
        if not self.node_key:
            self.metadata()
        limit = timeout or DEFAULT_TIMEOUT
        if not operation_of(message).downloads:
            return self._exchange(message, payload, limit)
        try:
            frame = self._exchange(message, payload, limit)
        except (Unavailable, DeadlineExceeded):
            if self.transport.streams:
                raise
            return self._in_parts(message, limit)
        head = frame.envelope
        if head.operation != "error" and head.payload_size:
            parts = Parts(partial(self._part, message, limit), head.payload_size, head.payload_digest.hex())
            frame.payload.go_on_with(parts.read)
        return frame

    def _in_parts(self, message: Message, timeout: float) -> IncomingFrame:
        """The answer where whole frames do not get through: its payload is asked for part by part."""
        frames: list[IncomingFrame] = []

        def ask(start: int, stop: int, whole: str) -> IncomingFrame:
            frames[:] = [self._part(message, timeout, start, stop, whole)]
            return frames[0]

        parts = Parts(ask, 0, "")
        first = parts.read(0)
        payload = PayloadReader(lambda count: b"", parts.total, bytes.fromhex(parts.whole))
        payload.go_on_with(lambda start: first if start == 0 else parts.read(start))
        return IncomingFrame(frames[0].envelope, payload)

    def _part(self, message: Message, timeout: float, start: int, stop: int, whole: str) -> IncomingFrame:
        request = part_of(self._seal(message, ()), self.identity, start, stop, whole)
        frame = self._send(request, (), timeout)
        if frame.envelope.operation == "error":
            frame.envelope.reply_as(operation_of(message).reply)  # raises it
        if not isinstance(frame.envelope, PartEnvelope) or frame.envelope.start != start:
            raise InvalidEnvelope("the answer is not the part that was asked for")
        return frame

    def _exchange(self, message: Message, payload: Buffers, timeout: float) -> IncomingFrame:
        try:
            return self._exchange_once(message, payload, timeout)
        except _OtherClock as other:
            # Ours differs from the node's, or one of them was set: what it says of its own it has signed.
            self.transport.ahead = other.time - self._clock.now()
            return self._exchange_once(message, payload, timeout, last=True)

    def _exchange_once(
        self, message: Message, payload: Buffers, timeout: float, *, last: bool = False
    ) -> IncomingFrame:
        frame = self._seal(message, payload)
        if len(frame.body) + frame.payload_size > SMALL and self.transport.is_unintroduced():
            hello = self._seal(GetMetadata(), ())
            self._send(hello, (), timeout).payload.drain()
        answer = self._send(frame, payload, timeout)
        if (
            not last
            and answer.envelope.operation == "error"
            and answer.envelope.sender == (self.node_key or answer.envelope.sender)
        ):
            _check_clock(answer.envelope)
        return answer

    def _seal(self, message: Message, payload: Buffers) -> Envelope:
        recipient = self._recipient or _node_id(self.node_key)
        return seal_request(
            self.identity,
            message,
            now=self._clock.now() + self.transport.ahead,
            recipient=recipient,
            token=self.token,
            payload=payload,
        )

    def _send(self, request: Envelope, payload: Buffers, timeout: float) -> IncomingFrame:
        frame = self.transport.exchange(request, payload, timeout=timeout)
        self._check(request, frame.envelope)
        return frame

    def _check(self, request: Envelope, reply: Envelope) -> None:
        reply.verify()
        if self.node_key and reply.sender != self.node_key:
            raise BadSignature("the answer was signed by another node")
        unreadable = reply.operation == "error" and not reply.in_reply_to
        if reply.in_reply_to != request.nonce and not unreadable:
            raise InvalidEnvelope("the answer belongs to another request")

    def close(self) -> None:
        """Close the transport, also for other connections that share it."""
        self.transport.close()


def _node_id(verify_key: str) -> str:
    from syft_ext.identity import node_id_of

    return node_id_of(verify_key) if verify_key else ANY_NODE
