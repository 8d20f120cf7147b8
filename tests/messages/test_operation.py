"""What an operation makes of what comes: the message, or an error that names the operation and the field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import pytest

from syft_ext.errors import BadRequest, TooLarge
from syft_ext.messages.operation import Message, Operation, Reply
from syft_ext.messages.permissions import USER, node_or


class Inner(msgspec.Struct):
    names: list[str] = []


class Bulky(Message):
    """One field of each kind."""

    id: str = ""
    number: int = 0
    plan: bytes = b""
    key: Annotated[bytes, msgspec.Meta(description="A key.")] = b""
    maybe: bytes | None = None
    plans: dict[str, bytes] = {}
    labels: dict[str, str] = {}
    pair: tuple[str, ...] = ()
    inner: Inner = msgspec.field(default_factory=Inner)


SMALL = Operation("probe.small", Bulky, Reply, USER, "POST", "/probe/{id}", 200, max_fields=100)
BULKY = Operation(
    "probe.bulky", Bulky, Reply, USER, "POST", "/probe/{id}", 200, max_fields=100, max_bulk=1000
)

Decode = Callable[[Operation, dict[str, Any]], Message]


def by_msgpack(operation: Operation, fields: dict[str, Any]) -> Message:
    return operation.decode(msgspec.msgpack.encode(fields))


def by_json(operation: Operation, fields: dict[str, Any]) -> Message:
    return operation.decode_json(msgspec.json.encode(fields))


def by_conversion(operation: Operation, fields: dict[str, Any]) -> Message:
    return operation.convert(msgspec.to_builtins(fields))


WAYS = pytest.mark.parametrize("decode", [by_msgpack, by_json, by_conversion])


def test_what_follows_from_its_declaration() -> None:
    assert (BULKY.group, BULKY.path_fields) == ("probe", ("id",))
    assert SMALL.max_body == 100
    assert BULKY.max_body == 100 + 1334  # bytes are base64 in JSON


@WAYS
def test_the_message_is_what_was_sent(decode: Decode) -> None:
    message = decode(BULKY, {"id": "a", "plan": b"\0\1", "plans": {"p": b"\0"}, "pair": ["x", "y"]})
    assert message == Bulky(id="a", plan=b"\0\1", plans={"p": b"\0"}, pair=("x", "y"))


@WAYS
@pytest.mark.parametrize("fields", [{"number": "5"}, {"unknown": 1}, {"inner": {"names": [1]}}])
def test_what_does_not_fit_names_the_operation(decode: Decode, fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=r"^probe\.bulky: .*(number|unknown|names)"):
        decode(BULKY, fields)


@WAYS
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "a\0"),
        ("labels", {"a\0": "b"}),
        ("labels", {"a": "\0b"}),
        ("pair", ["a", "\0"]),
        ("inner", {"names": ["fine", "\0"]}),
    ],
)
def test_no_text_anywhere_holds_nul(decode: Decode, field: str, value: Any) -> None:
    with pytest.raises(BadRequest, match=rf"probe\.bulky: text must not hold U\+0000 - at `\$\.{field}`"):
        decode(BULKY, {field: value})


def test_text_as_numbers_is_for_query_strings() -> None:
    assert SMALL.convert({"number": "5"}, lax=True) == Bulky(number=5)
    with pytest.raises(BadRequest):
        SMALL.convert({"number": "5"})


@pytest.mark.parametrize("decode", [by_msgpack, by_json])
def test_what_is_too_large_is_refused(decode: Decode) -> None:
    with pytest.raises(TooLarge, match=r"probe\.small may have 100 bytes"):
        decode(SMALL, {"id": "a" * 101})
    with pytest.raises(TooLarge, match=r"probe\.bulky may have 1434 bytes"):
        decode(BULKY, {"plan": b"a" * 2000})


@pytest.mark.parametrize("decode", [by_msgpack, by_json])
def test_bulk_may_be_large_and_the_rest_may_not(decode: Decode) -> None:
    bulk = {"plan": b"a" * 300, "maybe": b"b" * 300, "key": b"k" * 90, "plans": {"c": b"c" * 300}}
    assert decode(BULKY, bulk) == Bulky(**bulk)
    with pytest.raises(TooLarge, match="what is not bytes may have 100 bytes"):
        decode(BULKY, {"plan": b"a" * 20, "pair": [""] * 160})


def test_bytes_that_are_no_message_are_refused() -> None:
    for data in (b"\xc1", b"\x93", b"\x81\xa2id\xa1\xff"):
        with pytest.raises(BadRequest, match=r"^probe\.bulky"):
            BULKY.decode(data)
    for data in (b"{", b'{"id": "\xff"}', b"[]"):
        with pytest.raises(BadRequest, match=r"^probe\.bulky"):
            BULKY.decode_json(data)


def test_a_reply_shows_no_sign_that_steers_a_terminal() -> None:
    class Named(Reply):
        name: str

    assert "\x1b" not in repr(Named(name="a\x1b[2J"))


def test_a_node_or_a_user_with_the_flag() -> None:
    permission = node_or("can_manage_infrastructure")
    assert (permission.kind, permission.flag) == ("node_or_flag", "can_manage_infrastructure")
    with pytest.raises(ValueError, match="no such permission flag"):
        node_or("can_fly")
