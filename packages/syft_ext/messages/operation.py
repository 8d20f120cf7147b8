"""One definition per operation: a typed message, its permission, its reply and its REST route.

From this definition come the signed message plane, the REST route, the WebSocket event, the OpenAPI page,
the SDK call, the permission matrix and the tests that walk over every operation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from syft_ext.errors import BadRequest, TooLarge
from syft_ext.messages.misfits import misfit_in_words
from syft_ext.messages.permissions import Permission
from syft_ext.messages.text import refuse_nul
from syft_ext.readable import readable

__all__ = [
    "COLUMNS_BODY",
    "STRANGERS_BODY",
    "USERS_BODY",
    "Empty",
    "Message",
    "Operation",
    "Reply",
    "operation",
    "operation_of",
    "operations",
]

#: Bytes of the fields of an operation that strangers may call. So little is held for whoever sends it.
STRANGERS_BODY = 16 << 10
#: Bytes of the fields of any other operation, where it does not say more itself. A list takes one byte and, once
#: it is decoded, 72: what may be sent bounds what it can become.
USERS_BODY = 256 << 10
#: Bytes of the fields of an operation that describes tables of many columns, or lists many people.
COLUMNS_BODY = 2 << 20
#: Signs that begin or part values in JSON. Fields with one in four bytes hold nothing but digits and lists.
_SIGNS = (b",", b"[", b"{")


class Message(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request: what the caller wants. Who the caller is, is never among its fields."""


class Reply(msgspec.Struct, kw_only=True):
    """The body of an answer. Readers ignore fields that they do not know, so that nodes can grow."""

    def __repr__(self) -> str:
        return readable(super().__repr__())


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
        max_fields: bytes that the fields may have together, but for those that are bytes themselves.
        max_bulk: bytes that the fields may have that are bytes (plans, batches of actions) or values of them; 0
            where they count among the fields.
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
    max_fields: int = STRANGERS_BODY
    max_bulk: int = 0

    @property
    def max_body(self) -> int:
        """Bytes that the encoded message may have, in JSON too, where bytes are base64."""
        return self.max_fields + (self.max_bulk * 4 + 2) // 3

    def check_size(self, size: int) -> None:
        """Raise :class:`TooLarge` when a message of so many bytes is none of this operation."""
        if size > self.max_body:
            raise TooLarge(f"{self.name} may have {self.max_body} bytes", limit=self.max_body)

    @property
    def group(self) -> str:
        """What stands before the dot of its name: "datasets" of "datasets.create"."""
        return self.name.split(".")[0]

    @property
    def path_fields(self) -> tuple[str, ...]:
        """The fields of the message that its REST path holds."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    def decode(self, body: bytes | memoryview) -> Message:
        """The message in msgpack bytes, checked field by field.

        Raises :class:`BadRequest`, and :class:`TooLarge` before anything is made of what is too large.
        """
        self.check_size(len(body))
        try:
            if self.max_bulk and len(body) > self.max_fields:
                self._check_fields(body)
            message = msgspec.msgpack.decode(body, type=self.message)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadRequest(f"{self.name}: {misfit_in_words(error, self.message)}") from error
        if b"\0" in bytes(body):  # else no text in it has one
            refuse_nul(message, self.name)
        return message

    def _check_fields(self, body: bytes | memoryview) -> None:
        """Of a message with bulk in it: the rest is small. Nothing is made of what is in the fields."""
        outline = msgspec.msgpack.decode(body, type=dict[str, msgspec.Raw])
        bulk = sum(len(memoryview(raw)) for name, raw in outline.items() if name in self._bulk_fields)
        self._check_rest(len(body) - bulk)

    def _check_rest(self, size: int) -> None:
        if size > self.max_fields:
            raise TooLarge(
                f"{self.name}: what is not bytes may have {self.max_fields} bytes", limit=self.max_fields
            )

    @property
    def _bulk_fields(self) -> frozenset[str]:
        return _bulk_fields(self.message)

    def decode_json(self, body: bytes | memoryview) -> Message:
        """The message in a JSON object, as :meth:`decode`; nothing is made of it that is not in the message."""
        self.check_size(len(body))
        if self.max_bulk:
            # Base64 has none of these signs.
            data = bytes(body)
            signs = sum(map(data.count, _SIGNS))
            self._check_rest(4 * signs)
        try:
            message = msgspec.json.decode(body, type=self.message)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadRequest(f"{self.name}: {misfit_in_words(error, self.message)}") from error
        if b"\\u0000" in bytes(body):  # JSON knows no other way to write it
            refuse_nul(message, self.name)
        return message

    def convert(self, fields: dict[str, Any], *, lax: bool = False) -> Message:
        """The message from JSON values; ``lax`` also accepts numbers written as text (query strings)."""
        try:
            message = msgspec.convert(fields, type=self.message, strict=not lax)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadRequest(f"{self.name}: {misfit_in_words(error, self.message)}") from error
        refuse_nul(message, self.name)
        return message


@cache
def _bulk_fields(message: type[Message]) -> frozenset[str]:
    """The fields whose values are bytes, or mappings to bytes."""
    info = inspect.type_info(message)
    assert isinstance(info, inspect.StructType)
    return frozenset(field.encode_name for field in info.fields if _is_bulk(field.type))


def _is_bulk(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.Metadata):
        return _is_bulk(kind.type)
    if isinstance(kind, inspect.UnionType):
        return all(isinstance(one, inspect.NoneType) or _is_bulk(one) for one in kind.types)
    if isinstance(kind, inspect.DictType):
        return _is_bulk(kind.value_type)
    return isinstance(kind, inspect.BytesType)


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
    max_fields: int | None = None,
    max_bulk: int = 0,
) -> Callable[[type[M]], type[M]]:
    """Declare the decorated message as the request of operation ``name``.

    ``rest`` is ``"METHOD /path/{field}"``. Fields that are not in the path come from the query string when
    the method is GET or DELETE or when the request body is a stream, else from the JSON body.

    ``audited`` is by default what changes something or hands out content. It is False for what happens often
    and has a history of its own (trainings), or records its decisions itself (``node.audit.record``).

    ``max_fields`` and ``max_bulk`` are bytes; without them a message is small: :data:`STRANGERS_BODY` where
    strangers may call, else :data:`USERS_BODY`.
    """
    if max_fields is None:
        max_fields = STRANGERS_BODY if permission.kind in ("anyone", "signed") else USERS_BODY

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
            max_fields=max_fields,
            max_bulk=max_bulk,
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
