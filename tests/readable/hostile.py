"""A node whose answers are what an attacker would write, wherever an answer has room for text."""

from __future__ import annotations

import unicodedata
from types import SimpleNamespace
from typing import Any

import msgspec
from msgspec import inspect as kinds

from syft_ext.errors import Problem, from_problem
from syft_ext.messages import Message, NodeMetadata, operation_of
from syft_ext.messages.datasets import SearchEntry
from syft_ext.messages.network import NetworkHit
from syft_ext.transport.base import Buffers

__all__ = ["HOSTILE", "HostileConnection", "offences"]

#: Moves the cursor, renames the window, turns lines around, hides, breaks lines, and would be markup in a page.
HOSTILE = (
    "ok\x1b[2K\x1b[1A\x1b]0;pwned\x07\x1b[31mAPPROVED\x1b[0m\r\nerror: none\n\x9b31m\x85 \x7f\b\u202eevil"
    "\u2066x\u2069\u200b\u200e\u200f\ufeff\u2028new\u2029line\u00ad\u3164\U000e0041<script>alert(1)</script>&\x00\ue000"
)
_ID, _KEY = "a" * 32, "b" * 64


def offences(text: str, *, lines: bool) -> list[str]:
    """Characters of ``text`` that act or are not seen: written down a second time, apart from what is tested."""
    found = []
    for char in set(text):
        category = unicodedata.category(char)
        if (
            category in ("Cf", "Cs", "Co", "Cn", "Zl", "Zp")
            or char in "\u3164\u115f\ufe0f\u034f"
            or (category == "Cc" and not (lines and char in "\n\t"))
        ):
            found.append(f"U+{ord(char):04X}")
    return sorted(found)


def value(kind: kinds.Type, depth: int = 0) -> Any:
    """Something of this type, with as much text of the attacker's as it has room for."""
    match kind:
        case kinds.StrType():
            if kind.pattern is not None and "0-9a-f" in kind.pattern:
                return _KEY if "64" in kind.pattern else _ID
            text = HOSTILE.replace("\x00", "") if kind.pattern is not None else HOSTILE
            return text[: kind.max_length]
        case kinds.IntType() | kinds.FloatType():
            return max(1, int(kind.ge or 0))
        case kinds.BoolType():
            return True
        case kinds.BytesType():
            return HOSTILE.encode()
        case kinds.LiteralType():
            return kind.values[0]
        case kinds.ListType() | kinds.SetType() | kinds.VarTupleType():
            least = getattr(kind, "min_length", None) or 0
            return [value(kind.item_type, depth + 1)] * max(least, 1) if depth < 8 else []
        case kinds.DictType():
            return {value(kind.key_type, depth + 1): value(kind.value_type, depth + 1)} if depth < 8 else {}
        case kinds.UnionType():
            rest = [each for each in kind.types if not isinstance(each, kinds.NoneType)]
            return value(rest[0], depth + 1)
        case kinds.StructType() if kind.cls.__name__ == "Column":  # whose bounds have to make sense
            return {field.encode_name: value(field.type, depth + 1) for field in kind.fields} | {
                "low": 0,
                "high": 1,
            }
        case kinds.StructType() if kind.cls.__name__ == "NumberColumn":  # nor does it scale in two ways
            bounds = {"low": 0, "high": 1, "centre": 0, "scale": 1, kind.tag_field: kind.tag}
            return {field.encode_name: value(field.type, depth + 1) for field in kind.fields} | bounds
        case kinds.StructType() if kind.cls is NetworkHit:
            fields = {field.encode_name: value(field.type, depth + 1) for field in kind.fields}
            return fields | {"item": value(kinds.type_info(SearchEntry), depth + 1)}
        case kinds.StructType():
            tag = {kind.tag_field: kind.tag} if kind.tag_field else {}
            return tag | {field.encode_name: value(field.type, depth + 1) for field in kind.fields}
        case kinds.AnyType():
            return HOSTILE
        case _:
            raise NotImplementedError(kind)


class HostileConnection:
    """Stands for a connection: every call is answered with such a reply, or with such an error."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails, self.calls = fails, 0
        self.address, self.token, self.node_key, self.identity = "http://hostile.example:1", "", _KEY, None

    def call(self, message: Message, payload: Buffers = (), *, timeout: float | None = None) -> Any:
        self.calls += 1
        if self.fails:
            raise from_problem(Problem(status=409, code="conflict", detail=HOSTILE))
        reply = operation_of(message).reply
        return msgspec.convert(value(kinds.type_info(reply)), reply)

    def download(self, message: Message, sink: Any = None, *, timeout: float | None = None) -> Any:
        return self.call(message), bytearray(b"x")

    def open(self, message: Message, payload: Buffers = (), *, timeout: float | None = None) -> Any:
        self.call(message)
        body = msgspec.msgpack.encode(value(kinds.type_info(operation_of(message).reply)))
        envelope = SimpleNamespace(
            reply_as=lambda kind: msgspec.msgpack.decode(body, type=kind),
            body=body,
            payload_size=0,
            sender=_KEY,
        )
        return SimpleNamespace(envelope=envelope, payload=SimpleNamespace(drain=lambda: None, read_all=bytes))

    def metadata(self) -> NodeMetadata:
        return metadata("domain")

    def close(self) -> None:
        pass


def metadata(kind: str) -> NodeMetadata:
    """What the node says of itself."""
    fields = value(kinds.type_info(NodeMetadata)) | {"kind": kind, "node_id": _ID, "verify_key": _KEY}
    return msgspec.convert(fields, NodeMetadata)
