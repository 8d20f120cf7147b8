"""One definition per operation: a typed message, its permission, its reply and its REST route.

From this definition come the signed message plane, the REST route, the WebSocket event, the OpenAPI page,
the SDK call, the permission matrix and the tests that walk over every operation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from syft_ext.errors import BadRequest
from syft_ext.messages.permissions import Permission
from syft_ext.messages.text import refuse_nul

__all__ = ["Empty", "Message", "Operation", "Reply", "operation", "operation_of", "operations"]


class Message(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request: what the caller wants. Who the caller is, is never among its fields."""


class Reply(msgspec.Struct, kw_only=True):
    """The body of an answer. Readers ignore fields that they do not know, so that nodes can grow."""


class Empty(Reply):
    """The answer of an operation that has nothing to say (HTTP 204)."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What a node and its clients know about one operation.

    Attributes:
        name: ``group.verb``, as on the message plane and in WebSocket events.
        message, reply: the types of request and answer.
        permission: who may call it.
        method, path: the REST route; ``{field}`` in the path is that field of the message.
        status: the HTTP status of success.
        uploads: the request is followed by a stream of bytes.
        downloads: the answer is followed by (over REST: is) a stream of bytes.
        headers: over REST these fields come from these headers (secrets stay out of URLs and access logs).
        audited: every call, and every refusal, is an entry of the node's audit log.
    """

    name: str
    message: type[Message]
    reply: type[Reply]
    permission: Permission
    method: str
    path: str
    status: int
    uploads: bool = False
    downloads: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    audited: bool = False

    @property
    def group(self) -> str:
        """What stands before the dot of its name: "datasets" of "datasets.create"."""
        return self.name.split(".")[0]

    @property
    def path_fields(self) -> tuple[str, ...]:
        """The fields of the message that its REST path holds."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def summary(self) -> str:
        """The first line of the message's docstring."""
        return (self.message.__doc__ or "").strip().splitlines()[0]

    def decode(self, body: bytes | memoryview) -> Message:
        """The message in msgpack bytes, checked field by field; raises :class:`BadRequest`."""
        try:
            message = msgspec.msgpack.decode(body, type=self.message)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadRequest(f"{self.name}: {error}") from error
        if b"\0" in bytes(body):  # else no text in it has one
            refuse_nul(message, self.name)
        return message

    def convert(self, fields: dict[str, Any], *, lax: bool = False) -> Message:
        """The message from JSON values; ``lax`` also accepts numbers written as text (query strings)."""
        try:
            message = msgspec.convert(fields, type=self.message, strict=not lax)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadRequest(f"{self.name}: {error}") from error
        refuse_nul(message, self.name)
        return message


_BY_NAME: dict[str, Operation] = {}
_BY_MESSAGE: dict[type[Message], Operation] = {}
M = TypeVar("M", bound=Message)


def operation(
    name: str,
    *,
    rest: str,
    permission: Permission,
    reply: type[Reply] = Empty,
    status: int | None = None,
    uploads: bool = False,
    downloads: bool = False,
    headers: Mapping[str, str] | None = None,
    audited: bool | None = None,
) -> Callable[[type[M]], type[M]]:
    """Declare the decorated message as the request of operation ``name``.

    ``rest`` is ``"METHOD /path/{field}"``. Fields that are not in the path come from the query string when
    the method is GET or DELETE or when the request body is a stream, else from the JSON body.

    ``audited`` is by default what changes something or hands out content. It is False for what happens often
    and has a history of its own (trainings), or records its decisions itself (``node.audit.record``).
    """

    def register(message: type[M]) -> type[M]:
        method, path = rest.split(" ", 1)
        success = status if status is not None else (204 if reply is Empty and not downloads else 200)
        spec = Operation(
            name,
            message,
            reply,
            permission,
            method,
            path,
            success,
            uploads=uploads,
            downloads=downloads,
            headers=headers or {},
            audited=(method != "GET" or downloads) if audited is None else audited,
        )
        missing = {*spec.path_fields, *spec.headers} - set(message.__struct_fields__)
        if name in _BY_NAME or missing or not message.__doc__:
            raise TypeError(f"operation {name}: declared twice, undocumented, or path names {missing}")
        _BY_NAME[name] = _BY_MESSAGE[message] = spec
        return message

    return register


def operation_of(message: type[Message] | Message) -> Operation:
    """The operation whose request is this message (or of this type)."""
    return _BY_MESSAGE[message if isinstance(message, type) else type(message)]


def operations() -> dict[str, Operation]:
    """All declared operations by name."""
    return dict(_BY_NAME)
