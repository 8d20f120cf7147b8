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
from functools import partial
from typing import Any

import msgspec

from grid.node import ANONYMOUS, Context, Download, Node, Principal
from grid.web.api.rest import principal_of_header
from grid.web.http.metrics import Instruments
from grid.web.http.problems import problem_response, to_problem
from grid.web.http.request import Request
from grid.web.http.request_record import RequestRecord
from grid.web.http.response import Response
from grid.web.http.routing import Router, Values
from grid.web.http.settings import WebSettings
from grid.web.sockets.connection import WebSocket
from grid.web.sockets.routing import UPGRADE, Sockets
from syft_ext.errors import BadRequest, TooLarge
from syft_ext.messages import Operation, Reply
from syft_ext.transport import PayloadReader
from syft_ext.transport.serving import MessageServer

__all__ = ["add_events"]

_encode = msgspec.json.Encoder().encode


class EventRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A request; ``request_id`` is the caller's and comes back with the answer."""

    type: str
    data: dict[str, Any] = {}
    request_id: str | int | None = None
    token: str = ""
    body: str | None = None


class _Pointer(msgspec.Struct):
    """What can be said of an event that is not well-formed: enough to answer it."""

    type: Any = None
    request_id: Any = None


def add_events(
    router: Router, sockets: Sockets, node: Node, settings: WebSettings, instruments: Instruments
) -> None:
    """The WebSocket ``/ws``, and a hint for whoever asks for it without the handshake."""
    events = Events(node, settings, instruments)

    @sockets.route("/ws", max_message=settings.max_event)
    def event_socket(ws: WebSocket) -> None:
        authorization = ws.request.header("Authorization") or ""
        remote = ws.request.record.remote

        def handle(message: str | bytes) -> None:
            ws.send(events.answer(message, authorization, remote))

        MessageServer(ws, settings.websocket_concurrency, handle, ws.memory).run()

    router.add("/ws", "GET", _upgrade_required)


def _upgrade_required(_request: Request, _values: Values) -> Response:
    response = problem_response(426, "upgrade-required", "this address speaks WebSocket")
    response.headers += UPGRADE
    return response


class Events:
    """Answers events; knows nothing of the connection that they come over."""

    def __init__(self, node: Node, settings: WebSettings, instruments: Instruments) -> None:
        self._node = node
        self._max_event = settings.max_event
        self._instruments = instruments

    def answer(self, message: str | bytes, authorization: str = "", remote: str = "") -> str:
        """The answer to one event, whatever it was."""
        begun = time.monotonic()
        record = RequestRecord(scheme="ws", received=len(message), remote=remote)
        answer: dict[str, Any] = {"type": "error"}
        try:
            answer = self._run(message, authorization, record, answer)
            record.outcome = 200
        except Exception as error:
            problem = to_problem(error)
            record.outcome = problem.status
            answer["error"] = problem
        text = _encode(answer).decode()
        self._instruments.observe(record, record.outcome, time.monotonic() - begun, len(text))
        return text

    def _run(
        self, message: str | bytes, authorization: str, record: RequestRecord, answer: dict[str, Any]
    ) -> dict[str, Any]:
        event = _parse(message, answer)
        spec = self._node.map.operation(event.type)
        record.operation = spec.name
        identify = partial(self._principal, event, authorization)
        principal = self._node.admit(spec, identify, scheme="ws", remote=record.remote)
        fields = spec.convert(event.data)
        with self._instruments.running:
            context = Context(principal, _upload(spec, event), "ws", record.remote)
            reply = self._node.dispatch(context, fields)
        return {**answer, **self._reply(reply)}

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
        if isinstance(pointer.type, str):
            answer["type"] = pointer.type[:80]
        if isinstance(pointer.request_id, str | int):
            answer["request_id"] = pointer.request_id
        event = msgspec.json.decode(message, type=EventRequest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadRequest(f"not an event: {error}") from error
    if "\\u0000" in message if isinstance(message, str) else b"\\u0000" in message:
        raise BadRequest("text may not contain the character U+0000")
    return event


def _upload(spec: Operation, event: EventRequest) -> PayloadReader:
    if event.body is None:
        return PayloadReader.of(b"")
    if not spec.uploads:
        raise BadRequest(f"{spec.name} takes no body")
    try:
        return PayloadReader.of(base64.b64decode(event.body, validate=True))
    except (binascii.Error, ValueError) as error:
        raise BadRequest("body is not base64") from error
