"""The greeting on a line that a node keeps to its hub, so that the hub can ask it things: who is at either end.

Three messages, before frames travel in segments and the hub is the side that asks:

    hub → node    [hub's verify key, 32 random bytes]
    node → hub    [its verify key, 32 random bytes of its own, signature]
    hub → node    [signature]

Both sign the name of this protocol, their role, both keys and both random values (Ed25519, RFC 8032): a signature
is worth nothing on another line, the other way round, or anywhere else.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TypeVar

import msgspec

from syft_ext.errors import BadSignature, GridError, InvalidEnvelope, Unavailable
from syft_ext.identity import Identity, verify
from syft_ext.transport.pipe import CloseCode, MessagePipe

__all__ = ["MAX_MESSAGE", "PATH", "greet_hub", "greet_node"]

PATH = "/line"
MAX_MESSAGE = 64 << 10
"""Bytes of a message on a line; both ends say the same."""
_CONTEXT = b"grid line v1\0"
_RANDOM = 32
Greeting = TypeVar("Greeting", bound=msgspec.Struct)


class _Hub(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    key: str
    random: bytes


class _Node(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    key: str
    random: bytes
    proof: bytes


class _Welcome(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    proof: bytes


def greet_node(
    pipe: MessagePipe,
    identity: Identity,
    admit: Callable[[str], None],
    take: Callable[[str, Callable[[], None]], None],
) -> str:
    """The hub's part; the node's verify key, once it has proved it.

    ``admit`` raises when the holder of a key may keep no line here. ``take(key, welcome)`` takes the line for that
    of ``key``, and calls ``welcome`` before anything is asked over it: who is welcomed finds their line taken.
    Whatever fails closes the pipe, and is raised.
    """
    try:
        random = secrets.token_bytes(_RANDOM)
        pipe.send([msgspec.msgpack.encode(_Hub(identity.verify_key, random))])
        node = _received(pipe, _Node)
        if len(node.random) != _RANDOM:
            raise InvalidEnvelope("the greeting of a line has 32 random bytes")
        signed = (identity.verify_key, node.key, random, node.random)
        verify(node.key, _bytes("node", *signed), node.proof)
        admit(node.key)
        proof = identity.sign(_bytes("hub", *signed))
        take(node.key, lambda: pipe.send([msgspec.msgpack.encode(_Welcome(proof))]))
    except GridError as error:
        pipe.close(CloseCode.PROTOCOL_ERROR, error.detail[:100])
        raise
    return node.key


def greet_hub(pipe: MessagePipe, identity: Identity, hub_key: str) -> None:
    """The node's part. Raises :class:`BadSignature` for another hub than that of ``hub_key``, :class:`Unavailable`
    when the hub hangs up, with its reason; the pipe is closed then."""
    try:
        hub = _received(pipe, _Hub)
        if hub.key != hub_key or len(hub.random) != _RANDOM:
            raise BadSignature("another hub answers at this address")
        random = secrets.token_bytes(_RANDOM)
        signed = (hub_key, identity.verify_key, hub.random, random)
        proof = identity.sign(_bytes("node", *signed))
        pipe.send([msgspec.msgpack.encode(_Node(identity.verify_key, random, proof))])
        verify(hub_key, _bytes("hub", *signed), _received(pipe, _Welcome).proof)
    except GridError:
        pipe.close(CloseCode.PROTOCOL_ERROR, "the greeting failed")
        raise


def _bytes(role: str, hub_key: str, node_key: str, hub_random: bytes, node_random: bytes) -> bytes:
    return _CONTEXT + msgspec.msgpack.encode([role, hub_key, node_key, hub_random, node_random])


def _received(pipe: MessagePipe, kind: type[Greeting]) -> Greeting:
    message = pipe.receive()
    if message is None:
        raise getattr(pipe, "failure", None) or Unavailable("the other end of the line hung up")
    try:
        return msgspec.msgpack.decode(message, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidEnvelope("this is no greeting of a line") from error
