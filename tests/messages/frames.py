"""Frames for the tests of the message plane, good and bad, and the two ways to send them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import urllib3
from websockets.sync.client import connect

from grid.node import Node
from grid.web.testing import ServedNode
from syft_ext.errors import Problem
from syft_ext.identity import Identity
from syft_ext.messages.envelope import Envelope, frame_head, open_frame, seal_request
from syft_ext.transport.http import MEDIA_TYPE

HTTP = urllib3.PoolManager(retries=False)
ME = Identity.generate()


def seal(
    node: Node | ServedNode,
    message: Any,
    payload: bytes = b"",
    *,
    identity: Identity = ME,
    age: float = 0.0,
    **options: Any,
) -> Envelope:
    """A message for ``node``, unless ``options`` name another ``recipient``."""
    pieces = (payload,) if payload else ()
    options.setdefault("recipient", node.node.id if isinstance(node, ServedNode) else node.id)
    return seal_request(identity, message, now=time.time() - age, payload=pieces, **options)


def frame(envelope: Envelope, payload: bytes = b"") -> bytes:
    return frame_head(envelope) + payload


def over_http(url: str, data: bytes) -> bytes:
    response = HTTP.request(
        "POST", f"{url}/messages", body=data, headers={"Content-Type": MEDIA_TYPE}, timeout=240
    )
    assert response.headers["Content-Type"] == MEDIA_TYPE, (response.status, response.data)
    return response.data


def over_websocket(url: str, data: bytes) -> bytes:
    with connect(f"{url.replace('http', 'ws', 1)}/messages", max_size=None) as ws:
        ws.send(data)
        answer = ws.recv(timeout=240)
    assert isinstance(answer, bytes)
    return answer


SENDERS: dict[str, Callable[[str, bytes], bytes]] = {"http": over_http, "websocket": over_websocket}


def answer_of(data: bytes, node: Node) -> tuple[Envelope, bytes]:
    """The answer's envelope and payload; it must be signed by ``node``."""
    envelope, payload = open_frame(data)
    envelope.verify()
    assert envelope.sender == node.identity.verify_key
    return envelope, bytes(payload)


def error_of(data: bytes, node: Node, request: Envelope | None) -> str:
    """The code of the error that the answer carries, bound to ``request`` (or to none)."""
    envelope, payload = answer_of(data, node)
    assert envelope.operation == "error"
    assert payload == b""
    assert envelope.in_reply_to == (request.nonce if request is not None else b"")
    problem = msgspec.msgpack.decode(envelope.body, type=Problem)
    assert "Traceback" not in problem.detail
    return problem.code
