"""The signed message plane over HTTP and WebSocket: frames in, frames out, payloads as streams."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator

import msgspec
from websockets.frames import CloseCode

from grid.node import Node
from grid.node.pipes import nobody
from grid.node.service import always
from grid.web.api.admission import STRANGERS_ENVELOPE, Admission
from grid.web.http.metrics import Instruments
from grid.web.http.reading import BodyReader
from grid.web.http.request import Request
from grid.web.http.request_record import RequestRecord
from grid.web.http.requestline import unsupported_media_type
from grid.web.http.response import Response
from grid.web.http.routing import Router, Values
from grid.web.http.settings import WebSettings
from grid.web.limits.memory import Holding
from grid.web.sockets.connection import WebSocket
from grid.web.sockets.routing import Sockets
from syft_ext.errors import GridError, InternalError, InvalidEnvelope, Problem, TooLarge
from syft_ext.messages.envelope import (
    Envelope,
    decode_envelope,
    envelope_size,
    frame_head,
    read_opening,
    seal_reply,
)
from syft_ext.transport import PayloadReader
from syft_ext.transport.frames import PREFIX, FrameSource, read_head, read_whole
from syft_ext.transport.http import MEDIA_TYPE
from syft_ext.transport.pipe import MessagePipe
from syft_ext.transport.serving import FrameReply, serve_frames
from syft_ext.transport.streams import MemoryLimit

__all__ = ["BinaryPipe", "MessagePlane", "add_message_plane"]

logger = logging.getLogger(__name__)

ENVELOPE = 16 << 20
SMALL = 64 << 10
_HEADERS = (("Content-Type", MEDIA_TYPE), ("Cache-Control", "no-store"))
Piece = bytes | bytearray | memoryview


class Answer:
    """The frame of an answer, on its way out: how long it is, and what it says about itself.

    Attributes:
        size: bytes of the whole frame.
        pieces: the frame; the first pieces hold its head.
        status: HTTP's word for the outcome: that of the problem it carries, else 200.
    """

    def __init__(self, frame: Iterable[Piece]) -> None:
        pieces = iter(frame)
        head = _head(pieces)
        end = PREFIX + envelope_size(head)
        envelope = decode_envelope(memoryview(head)[PREFIX:end])
        self.size = end + envelope.payload_size
        self.pieces: Iterator[Piece] = itertools.chain((head,), pieces)
        self.status = 200
        if envelope.operation == "error":
            self.status = msgspec.msgpack.decode(envelope.body, type=Problem).status


def _head(pieces: Iterator[Piece]) -> bytes:
    """The first piece, joined with as many more as the envelope needs."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= PREFIX and len(head) >= PREFIX + envelope_size(head):
            return head
    raise InvalidEnvelope("truncated frame")


class MessagePlane:
    """What all transports do with a frame once they have its envelope."""

    def __init__(
        self,
        node: Node,
        settings: WebSettings,
        instruments: Instruments,
        admission: Admission | None = None,
    ) -> None:
        self._node = node
        self._settings = settings
        self._max_payload = settings.max_upload
        self._instruments = instruments
        self._admission = admission or Admission(node, settings)

    def serve(
        self,
        pipe: MessagePipe,
        *,
        remote: str,
        memory: MemoryLimit | None = None,
        known: Callable[[str], None] = nobody,
        alive: Callable[[], bool] = always,
    ) -> None:
        """Answer the frames of a multiplexed connection until it ends, which ``alive`` tells those who wait.

        ``known`` is told who called over it, if they are somebody here: until then frames must be small.
        """

        def handle(frame: FrameSource, reply: FrameReply) -> None:
            begun = time.monotonic()
            record = RequestRecord(received=frame.size, remote=remote, alive=alive)
            try:
                envelope, payload = read_whole(frame)
                answer = self.answer(envelope, payload, record)
                if answer.status < 400 and (caller := self._admission.knows(record, envelope)):
                    if isinstance(memory, Holding):
                        memory.belongs_to(envelope.sender)
                    known(caller)
            except GridError as error:
                answer = self.refusal(error, record)
            self._admission.answered(record, answer.status)
            try:
                reply(answer.size, answer.pieces)
            finally:
                self._instruments.observe(record, answer.status, time.monotonic() - begun, answer.size)

        serve_frames(pipe, handle, limit=self._settings.websocket_concurrency, memory=memory)

    def answer(self, envelope: Envelope, payload: PayloadReader, record: RequestRecord) -> Answer:
        """The node's answer, or the signed error: nothing is raised. ``record`` learns what was asked."""
        record.operation = self._known(envelope.operation)
        record.scheme = "message"
        try:
            self._admission.envelope(record, envelope)
        except GridError as error:
            return self.refusal(error, record, envelope)
        if envelope.payload_size > self._max_payload:
            refusal = TooLarge(f"a payload may have {self._max_payload} bytes", limit=self._max_payload)
            return self.refusal(refusal, record, envelope)
        try:
            with self._instruments.running:
                answer = Answer(
                    self._node.receive(envelope, payload, remote=record.remote, alive=record.alive)
                )
        except GridError as error:
            return self.refusal(error, record, envelope)
        except Exception:
            logger.exception("a message could not be answered")
            masked = InternalError("the node failed to answer; its log has the details")
            return self.refusal(masked, record, envelope)
        record.outcome = answer.status
        return answer

    def refusal(self, error: GridError, record: RequestRecord, request: Envelope | None = None) -> Answer:
        """A signed error about a frame that cannot be handled, or not even read."""
        record.scheme, record.outcome = "message", error.status
        head = seal_reply(self._node.identity, request, error, now=self._node.clock.now())
        return Answer([frame_head(head)])

    def _known(self, name: str) -> str:
        """``name`` if it is an operation of this node: a caller does not make up labels of metrics."""
        try:
            return self._node.map.operation(name).name
        except GridError:
            return "unknown"


def add_message_plane(
    router: Router,
    sockets: Sockets,
    node: Node,
    settings: WebSettings,
    instruments: Instruments,
    admission: Admission,
) -> MessagePlane:
    """``POST /messages`` and the WebSocket ``/messages``."""
    plane = MessagePlane(node, settings, instruments, admission)

    def messages(request: Request, _path: Values) -> Response:
        record = request.record
        if request.mimetype != MEDIA_TYPE:
            raise unsupported_media_type(f"a message is {MEDIA_TYPE}")
        status = 200
        try:
            envelope, payload = _read_frame(request, settings.max_upload, admission)
            answer = plane.answer(envelope, payload, record)
            if answer.status < 400:
                admission.knows(record, envelope)
        except GridError as error:
            status, answer = error.status, plane.refusal(error, record)
        if answer.size <= SMALL:
            return Response(b"".join(answer.pieces), status, _HEADERS)
        headers = [*_HEADERS, ("Content-Length", str(answer.size))]
        return Response(answer.pieces, status, headers)

    router.add("/messages", "POST", messages)

    @sockets.route("/messages", max_message=min(STRANGERS_ENVELOPE, settings.max_websocket_message))
    def message_socket(ws: WebSocket) -> None:
        def known(_: str) -> None:
            ws.trust(settings.max_websocket_message)

        plane.serve(
            BinaryPipe(ws),
            remote=ws.request.record.remote,
            memory=ws.memory,
            known=known,
            alive=lambda: not ws.closed,
        )

    return plane


class BinaryPipe:
    """The node's end of a WebSocket. ``max_message`` is None where one may be as large as a frame."""

    def __init__(self, ws: WebSocket, max_message: int | None = None) -> None:
        self._ws, self.max_message = ws, max_message
        self.send, self.close = ws.send, ws.close

    def expected(self) -> None:
        """Whoever is at its other end was expected: they count as a stranger no more."""
        if self.max_message is not None:
            self._ws.trust(self.max_message)

    def receive(self) -> bytes | None:
        while (message := self._ws.receive()) is not None:
            if isinstance(message, bytes):
                return message
            self._ws.close(CloseCode.UNSUPPORTED_DATA, "frames are binary messages")
        return None


def _read_frame(request: Request, max_payload: int, admission: Admission) -> tuple[Envelope, PayloadReader]:
    """Envelope and payload of the frame in the request's body; the payload is still on the wire."""
    read = BodyReader(request.environ, max_payload + ENVELOPE, "a message")

    def before(size: int, beginning: bytes | memoryview) -> None:
        if size > STRANGERS_ENVELOPE:
            admission.large_envelope(request.record, read_opening(beginning), size)
        request.record.hold(size)

    envelope, _ = read_head(read, before)
    length = request.content_length
    if length is not None:
        rest = length - request.environ["wsgi.input"].position
        if rest != envelope.payload_size:
            raise InvalidEnvelope(f"{rest} bytes follow an envelope that announces {envelope.payload_size}")
    return envelope, PayloadReader(
        read, envelope.payload_size, envelope.payload_digest, into=read.into, hold=request.record.hold
    )
