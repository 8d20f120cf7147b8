"""``/ws``: operations as JSON events, for browsers and for clients in the manner of PyGrid's.

    → {"type": "node.metadata", "data": {…}, "request_id": "7", "token": "…"}
    ← {"type": "node.metadata", "data": {…}, "request_id": "7"}
    ← {"type": "node.metadata", "error": <problem>, "request_id": "7"}

``token`` may come once, in the handshake's ``Authorization`` header, instead. Uploads and downloads travel in
base64, as ``body``, within the size limit of an event: what is larger belongs on REST or the message plane.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from grid.concurrency.offload import offload
from grid.node import ANONYMOUS, Context, Download, Node, Principal
from grid.node.service import always
from grid.web.api.admission import STRANGERS_ENVELOPE, Admission
from grid.web.api.fields import BESIDE
from grid.web.api.rest import principal_of_header
from grid.web.http.metrics import Instruments
from grid.web.http.problems import problem_response, to_problem
from grid.web.http.request import Request
from grid.web.http.request_record import RequestRecord
from grid.web.http.response import Response
from grid.web.http.routing import Router, Values
from grid.web.http.settings import WebSettings
from grid.web.limits.memory import Holding
from grid.web.sockets.connection import WebSocket
from grid.web.sockets.routing import UPGRADE, Sockets
from syft_ext.errors import BadRequest, GridError, TooLarge, Unavailable
from syft_ext.messages import Message, Operation, Reply
from syft_ext.transport import PayloadReader
from syft_ext.transport.serving import MessageServer

__all__ = ["add_events"]

_encode = msgspec.json.Encoder().encode
#: Bytes of what an event says of itself, for its answer.
_POINTER = 1024
#: How many times an event's size is alive while it is handled, beside itself: base64, and the bytes in it.
_MADE_OF_IT = 2


class EventRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A request; ``request_id`` is the caller's and comes back with the answer."""

    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")
    request_id: str | int | None = None
    token: str = ""
    body: str | None = None


class _Pointer(msgspec.Struct):
    """What can be said of an event that is not well-formed: enough to answer it."""

    type: msgspec.Raw = msgspec.Raw()
    request_id: msgspec.Raw = msgspec.Raw()


def add_events(
    router: Router,
    sockets: Sockets,
    node: Node,
    settings: WebSettings,
    instruments: Instruments,
    admission: Admission,
) -> None:
    """The WebSocket ``/ws``, and a hint for whoever asks for it without the handshake.

    Until a good token came, in the handshake or in an event, events must be small: of a stranger no more is held.
    """
    events = Events(node, settings, instruments, admission)

    @sockets.route("/ws", max_message=min(STRANGERS_ENVELOPE, settings.max_event))
    def event_socket(ws: WebSocket) -> None:
        authorization = ws.request.header("Authorization") or ""
        remote = ws.request.record.remote
        if authorization and events.is_known(authorization):
            ws.trust(settings.max_event)

        def handle(message: str | bytes) -> None:
            text, known = events.exchange(
                message, authorization, remote, ws.memory, alive=lambda: not ws.closed
            )
            if known:
                ws.trust(settings.max_event)
            ws.send(text)

        MessageServer(ws, settings.websocket_concurrency, handle, ws.memory).run()

    router.add("/ws", "GET", _upgrade_required)


def _upgrade_required(_request: Request, _values: Values) -> Response:
    response = problem_response(426, "upgrade-required", "this address speaks WebSocket")
    response.headers += UPGRADE
    return response


class Events:
    """Answers events; knows nothing of the connection that they come over."""

    def __init__(
        self,
        node: Node,
        settings: WebSettings,
        instruments: Instruments,
        admission: Admission | None = None,
    ) -> None:
        self._node = node
        self._max_event = settings.max_event
        self._instruments = instruments
        self._admission = admission or Admission(node, settings)

    def is_known(self, authorization: str) -> bool:
        """Whether a handshake's ``Authorization`` holds a token that is good here."""
        try:
            return principal_of_header(self._node, authorization) is not ANONYMOUS
        except GridError:
            return False

    def answer(self, message: str | bytes, authorization: str = "", remote: str = "") -> str:
        """The answer to one event, whatever it was."""
        return self.exchange(message, authorization, remote)[0]

    def exchange(
        self,
        message: str | bytes,
        authorization: str = "",
        remote: str = "",
        memory: Holding | None = None,
        alive: Callable[[], bool] = always,
    ) -> tuple[str, bool]:
        """The answer to one event, and whether somebody known here sent it.

        Args:
            alive: whether they still listen.
            memory: what is made of a large event is counted against it, while it is handled.
        """
        begun = time.monotonic()
        record = RequestRecord(scheme="ws", received=len(message), remote=remote, memory=memory, alive=alive)
        answer: dict[str, Any] = {"type": "error"}
        known = False
        made = _MADE_OF_IT * len(message) if memory is not None and len(message) > BESIDE else 0
        try:
            if memory is not None and not memory.move(0, made):
                made = 0
                raise Unavailable("the node holds as much as it can; try again", retry_after=2)
            event = offload(_parse, message, answer) if len(message) > BESIDE else _parse(message, answer)
            answer, known = self._run(event, authorization, record, answer)
            record.outcome = 200
        except Exception as error:
            problem = to_problem(error)
            record.outcome = problem.status
            answer["error"] = problem
        finally:
            if memory is not None:
                memory.move(made, 0)
        text = _encode(answer).decode()
        self._admission.answered(record, record.outcome)
        self._instruments.observe(record, record.outcome, time.monotonic() - begun, len(text))
        return text, known

    def _run(
        self, event: EventRequest, authorization: str, record: RequestRecord, answer: dict[str, Any]
    ) -> tuple[dict[str, Any], bool]:
        self._admission.token(record, event.token or authorization.partition(" ")[2].strip())
        spec = self._node.map.operation(event.type)
        record.operation = spec.name
        identify = partial(self._principal, event, authorization)
        principal = self._node.admit(spec, identify, scheme="ws", remote=record.remote)
        fields = _decode(spec, event.data)
        with self._instruments.running:
            context = Context(principal, _upload(spec, event), "ws", record.remote, alive=record.alive)
            reply = self._node.dispatch(context, fields)
        return {**answer, **self._reply(reply)}, principal is not ANONYMOUS

    def _principal(self, event: EventRequest, authorization: str) -> Principal:
        if event.token:
            return self._node.principal_of_token(event.token)
        return principal_of_header(self._node, authorization) if authorization else ANONYMOUS

    def _reply(self, reply: Reply | Download) -> dict[str, Any]:
        if not isinstance(reply, Download):
            return {"data": reply}
        if reply.size * 4 // 3 > self._max_event:
            raise TooLarge(
                f"{reply.size} bytes do not fit into an event; download them over REST or the message plane",
                limit=self._max_event,
            )
        content = b"".join(reply.chunks(0, reply.size))
        return {"data": reply.reply, "body": base64.b64encode(content).decode()}


def _parse(message: str | bytes, answer: dict[str, Any]) -> EventRequest:
    """The event; what it says of itself goes into ``answer`` first, so that errors find their way back."""
    try:
        pointer = msgspec.json.decode(message, type=_Pointer)
        if isinstance(kind := _plain(pointer.type), str):
            answer["type"] = kind[:80]
        if isinstance(request_id := _plain(pointer.request_id), str | int):
            answer["request_id"] = request_id
        event = msgspec.json.decode(message, type=EventRequest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadRequest(f"not an event: {error}") from error
    return event


def _plain(raw: msgspec.Raw) -> Any:
    """A short value that is no list and no mapping; None for any other."""
    data = bytes(raw)
    if not data or len(data) > _POINTER or data[:1] in b"[{":
        return None
    return msgspec.json.decode(data)


def _decode(spec: Operation, data: msgspec.Raw) -> Message:
    view = memoryview(data)
    spec.check_size(len(view))
    return offload(spec.decode_json, view) if len(view) > BESIDE else spec.decode_json(view)


def _upload(spec: Operation, event: EventRequest) -> PayloadReader:
    if event.body is None:
        return PayloadReader.of(b"")
    if not spec.uploads:
        raise BadRequest(f"{spec.name} takes no body")
    try:
        return PayloadReader.of(base64.b64decode(event.body, validate=True))
    except (binascii.Error, ValueError) as error:
        raise BadRequest("body is not base64") from error
