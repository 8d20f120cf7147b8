"""From an HTTP request to a message's fields: path, query string, headers, JSON body."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import inspect

from grid.concurrency.offload import offload
from grid.web.http.reading import read_limited
from grid.web.http.request import Request
from grid.web.http.requestline import unsupported_media_type
from syft_ext.errors import BadRequest
from syft_ext.messages import Message, Operation

__all__ = ["Fields", "takes_json"]

MAX_FIELDS = 1000
#: Bodies of more bytes are decoded beside the event loop.
BESIDE = 32 << 10
_encode = msgspec.json.Encoder().encode
_OUTLINE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SEQUENCES = (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType)


def takes_json(spec: Operation) -> bool:
    """Whether the fields that are not in path and headers come from a JSON body, else from the query."""
    return spec.method not in ("GET", "DELETE") and not spec.uploads


class Fields:
    """Reads the message of one operation from requests. A field has one place: elsewhere it is unknown."""

    def __init__(self, spec: Operation, max_json: int) -> None:
        self._spec = spec
        self._max_json = max_json
        self._json = takes_json(spec)
        self._elsewhere = frozenset((*spec.path_fields, *spec.headers))
        self._types, self._lists = _shape(spec.message)

    def read(self, request: Request, path: Mapping[str, str]) -> Message:
        """The message; raises :class:`BadRequest` or, for its body, :class:`TooLarge`."""
        located = {name: _text(name, value) for name, value in path.items()}
        if not located.keys().isdisjoint(name for name, value in path.items() if value in (".", "..")):
            raise BadRequest("a path segment may not be . or ..")
        for name, header in self._spec.headers.items():
            value = request.header(header)
            if value is not None:
                located[name] = _text(header, value)
        if not self._json:
            return self._spec.convert({**self._query(request), **located}, lax=True)
        if request.query:
            raise BadRequest(
                f"{self._spec.name} takes its fields from a JSON body, not from the query string"
            )
        typed = {name: self._typed(name, value) for name, value in located.items()}
        body = _encode({**self._outline(request), **typed})
        if len(body) > BESIDE:
            return offload(self._spec.decode_json, body)
        return self._spec.decode_json(body)

    def _typed(self, name: str, value: str) -> msgspec.Raw:
        try:
            return msgspec.Raw(_encode(msgspec.convert(value, type=self._types[name], strict=False)))
        except (msgspec.MsgspecError, ValueError) as error:
            raise BadRequest(f"{self._spec.name}: {error} - at `$.{name}`") from error

    def _query(self, request: Request) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, values in _parse_query(request.query).items():
            self._refuse_elsewhere(name)
            if name in self._lists:
                fields[name] = [_text(name, value) for value in values]
            elif len(values) == 1:
                fields[name] = _text(name, values[0])
            else:
                raise BadRequest(f"{self._spec.name}: {name[:80]!r} is given {len(values)} times")
        return fields

    def _outline(self, request: Request) -> dict[str, msgspec.Raw]:
        """The names in the body, each with what stands behind it as it came: nothing is made of that yet."""
        data = self._read_body(request)
        if not data:
            return {}
        try:
            fields = _OUTLINE.decode(data)
        except msgspec.ValidationError as error:
            raise BadRequest(f"{self._spec.name}: the body must be a JSON object") from error
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadRequest(f"{self._spec.name}: the body is not JSON: {error}") from error
        for name in self._elsewhere & fields.keys():
            self._refuse_elsewhere(name)
        return fields

    def _read_body(self, request: Request) -> bytes:
        if not request.has_body:
            return b""
        if request.mimetype != "application/json":
            raise unsupported_media_type("the body must be application/json")
        if request.header("Content-Encoding") is not None:
            raise unsupported_media_type("encoded bodies are not taken")
        return bytes(read_limited(request.environ, self._max_json, "a JSON body"))

    def _refuse_elsewhere(self, name: str) -> None:
        if name in self._spec.headers:
            raise BadRequest(f"{self._spec.name}: {name} goes into the header {self._spec.headers[name]}")
        if name in self._elsewhere:
            raise BadRequest(f"{self._spec.name}: {name} goes into the path")


@cache  # for all apps of a process: else this is most of what making one takes
def _shape(message: type[Message]) -> tuple[Mapping[str, Any], frozenset[str]]:
    """The types of the fields by name, and the names of those that take several values as they are sent."""
    info = inspect.type_info(message)
    assert isinstance(info, inspect.StructType)
    types = {field.name: field.type for field in msgspec.structs.fields(message)}
    return types, frozenset(
        field.encode_name for field in info.fields if isinstance(_bare(field.type), _SEQUENCES)
    )


def _bare(kind: inspect.Type) -> inspect.Type:
    """The type without its description."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _parse_query(query: str) -> dict[str, list[str]]:
    """The fields of a query string; broken UTF-8 is refused."""
    try:
        return parse_qs(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise BadRequest("the query string is not UTF-8, or has too many fields") from error


def _text(name: str, value: str) -> str:
    if "\0" in value or "\ufffd" in value:
        raise BadRequest(f"{name[:80]!r} is not valid UTF-8 text")
    return value
