"""A caller's connection to a node: signs what goes out, checks what comes back, over any transport."""

from __future__ import annotations

from typing import Any, BinaryIO

from syft_ext.clock import Clock, SystemClock
from syft_ext.errors import BadSignature, InvalidEnvelope
from syft_ext.identity import Identity
from syft_ext.messages import GetMetadata, Message, NodeMetadata, operation_of
from syft_ext.messages.envelope import Envelope, seal_request
from syft_ext.transport.base import Buffers, IncomingFrame, Transport

__all__ = ["Connection"]

DEFAULT_TIMEOUT = 60.0


class Connection:
    """Calls operations of one node.

    Attributes:
        node_key: verify key of the node; answers signed by another key are refused. Learned from the node's
            own metadata at first use when it was not given (trust on first use).
        token: sent with every message, when the node gave one.
        relay_key: verify key of the node that carries messages there, if one does; its *errors* are taken.
    """

    def __init__(
        self,
        transport: Transport,
        identity: Identity | None = None,
        *,
        node_key: str = "",
        token: str = "",
        recipient: str | None = None,
        relay_key: str = "",
        clock: Clock | None = None,
    ) -> None:
        self.transport = transport
        self.identity = identity or Identity.generate()
        self.node_key = node_key
        self.token = token
        self.relay_key = relay_key
        self._recipient = recipient
        self._clock = clock or SystemClock()

    @property
    def address(self) -> str:
        """Where the transport goes, as it was given."""
        return self.transport.address

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
        """Send ``message`` and return the verified head of the answer; its payload is still to be read."""
        if not self.node_key:
            self.metadata()
        return self._exchange(message, payload, timeout or DEFAULT_TIMEOUT)

    def _exchange(self, message: Message, payload: Buffers, timeout: float) -> IncomingFrame:
        recipient = self._recipient if self._recipient is not None else _node_id(self.node_key)
        request = seal_request(
            self.identity,
            message,
            now=self._clock.now(),
            recipient=recipient,
            token=self.token,
            payload=payload,
        )
        frame = self.transport.exchange(request, payload, timeout=timeout)
        self._check(request, frame.envelope)
        return frame

    def _check(self, request: Envelope, reply: Envelope) -> None:
        reply.verify()
        relayed = reply.operation == "error" and reply.sender == self.relay_key
        if self.node_key and reply.sender != self.node_key and not relayed:
            raise BadSignature("the answer was signed by another node")
        unreadable = reply.operation == "error" and not reply.in_reply_to
        if reply.in_reply_to != request.nonce and not unreadable:
            raise InvalidEnvelope("the answer belongs to another request")

    def close(self) -> None:
        """Close the transport, also for other connections that share it."""
        self.transport.close()


def _node_id(verify_key: str) -> str:
    from syft_ext.identity import node_id_of

    return node_id_of(verify_key) if verify_key else ""
