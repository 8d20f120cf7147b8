"""One encoding for each statement, and no signature that means two things."""

from __future__ import annotations

import importlib
import pkgutil
import typing
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

import syft_ext.confidential
from syft_ext.attestation.evidence import Companion, Evidence
from syft_ext.confidential.canonical import Signed, Statement, digest_of, key_of
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import Head, ReportLayout, RoundContext
from syft_ext.errors import BadSignature, InvalidStatement
from syft_ext.identity import Identity
from tests.confidential.samples import sample
from tests.confidential.world import World, all_statements

for module in pkgutil.walk_packages(syft_ext.confidential.__path__, "syft_ext.confidential."):
    importlib.import_module(module.name)

KINDS = sorted(all_statements(), key=lambda kind: (kind.__module__, kind.__name__))


def test_each_kind_has_its_own_name() -> None:
    names = [kind.statement for kind in KINDS]
    assert len(KINDS) > 25
    assert len(set(names)) == len(names)


def _types(info: inspect.Type) -> list[inspect.Type]:
    inner: list[inspect.Type] = []
    match info:
        case inspect.StructType():
            inner = [field.type for field in info.fields]
        case inspect.Metadata():
            inner = [info.type]
        case inspect.VarTupleType():
            inner = [info.item_type]
        case inspect.TupleType():
            inner = list(info.item_types)
        case inspect.UnionType():
            inner = list(info.types)
    return [info, *(each for one in inner for each in _types(one))]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_fields_are_of_types_with_one_encoding(kind: type[Statement]) -> None:
    whole = (
        inspect.StructType,
        inspect.Metadata,
        inspect.VarTupleType,
        inspect.TupleType,
        inspect.IntType,
        inspect.BytesType,
        inspect.StrType,
        inspect.BoolType,
        inspect.LiteralType,
    )
    for each in _types(inspect.type_info(kind)):
        assert isinstance(each, whole), f"{kind.__name__}: {each}"
        if isinstance(each, inspect.StructType):
            assert each.array_like
            assert each.forbid_unknown_fields
            kind_of: Any = typing.get_origin(each.cls) or each.cls
            assert issubclass(kind_of, Statement) or kind_of in (Evidence, Companion)


def _pack(value: Any, wide: Callable[[str], bool]) -> bytes:
    """MessagePack, with a longer form wherever ``wide`` wants one."""
    match value:
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            if wide("int"):
                return (
                    (b"\xd3" + value.to_bytes(8, "big", signed=True)) if value < 1 << 63 else _encoded(value)
                )
            return _encoded(value)
        case str():
            raw = value.encode()
            return b"\xdb" + len(raw).to_bytes(4, "big") + raw if wide("str") else _encoded(value)
        case bytes():
            return b"\xc6" + len(value).to_bytes(4, "big") + value if wide("bytes") else _encoded(value)
    body = b"".join(_pack(each, wide) for each in value)
    if wide("array") or len(value) >= 1 << 16:
        return b"\xdd" + len(value).to_bytes(4, "big") + body
    head = bytes([0x90 | len(value)]) if len(value) < 16 else b"\xdc" + len(value).to_bytes(2, "big")
    return head + body


def _encoded(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_one_encoding_and_no_other(kind: type[Statement], data: st.DataObject) -> None:
    value = data.draw(sample(kind))
    encoded = value.encode()
    assert kind.decode(encoded) == value
    assert kind.decode(encoded).encode() == encoded
    plain = msgspec.msgpack.decode(encoded)
    assert _pack(plain, lambda what: False) == encoded
    count = 0

    def counting(what: str) -> bool:
        nonlocal count
        count += 1
        return False

    _pack(plain, counting)
    # How many there are follows from signatures and keys, which chance makes anew: the draw must not.
    at, seen = data.draw(st.integers(0, 1 << 20)) % count, -1

    def once(what: str) -> bool:
        nonlocal seen
        seen += 1
        return seen == at

    others = [
        _pack(plain, once),
        encoded + b"\x00",
        encoded[:-1],
        _pack([*plain, 0], lambda what: False),
        _pack(plain[:-1], lambda what: False),
        b"",
    ]
    for other in others:
        if other == encoded:
            continue  # the 64-bit form of a number that needs it
        with pytest.raises(InvalidStatement):
            kind.decode(other)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
def test_what_is_read_is_what_was_written(data: bytes) -> None:
    for kind in KINDS:
        try:
            value = kind.decode(data)
        except InvalidStatement:
            continue
        assert value.encode() == data


def test_a_signature_is_of_one_kind_one_signer_and_one_value() -> None:
    ann, bob = Identity.generate(), Identity.generate()
    head = Head(bytes(32), 1, bytes(32))
    signed = Signed.make(head, ann)
    assert signed.open(Head, key_of(bob), key_of(ann)) == head
    assert signed.digest_as(Head) == head.digest() == digest_of(Head, head.encode())
    with pytest.raises(BadSignature):
        signed.open(Head, key_of(bob))
    with pytest.raises(BadSignature):
        signed.open(Head)
    other = Head(bytes(32), 2, bytes(32))
    with pytest.raises(BadSignature):
        msgspec.structs.replace(signed, body=other.encode()).open(Head, key_of(ann))
    with pytest.raises(BadSignature):
        msgspec.structs.replace(signed, signer=key_of(bob)).open(Head, key_of(bob))

    class Tail(Head, frozen=True):
        statement = "tail"

    with pytest.raises(BadSignature):
        signed.open(Tail, key_of(ann))
    del Tail


def test_too_many_bytes_are_not_read() -> None:
    with pytest.raises(InvalidStatement, match="at most"):
        Head.decode(bytes(Head.max_bytes + 1))
    with pytest.raises(InvalidStatement):
        ReportLayout.decode(b"\x91" * 100_000)


def test_what_nobody_would_read_is_not_signed() -> None:
    with pytest.raises(InvalidStatement):
        Signed.make(Head(b"short", 1, bytes(32)), Identity.generate())


def test_keys_are_read_in_one_form() -> None:
    ann = Identity.generate()
    assert key_of(ann) == key_of(ann.verify_key) == bytes.fromhex(ann.verify_key)
    for text in (ann.verify_key.upper(), ann.verify_key[:-2], " " + ann.verify_key, "x" * 64):
        with pytest.raises(InvalidStatement):
            key_of(text)


def test_a_round_is_of_a_policy_to_the_last_bit() -> None:
    world = World()
    again = ConfidentialPolicy.decode(world.policy.encode())
    assert again.digest() == world.policy.digest()
    for name in RoundContext.__struct_fields__:
        value = getattr(world.context, name)
        other: Any = {
            "process": "f" * 32,
            "sequence": 2,
            "suite": "mlkem768-x25519",
            "plans": (bytes(32),),
        }.get(name, bytes(32))
        assert value != other
        moved = msgspec.structs.replace(world.context, **{name: other})
        assert moved.digest() != world.context.digest()
        assert world.secret(world.hosts[0], "upload", moved) != world.secret(world.hosts[0], "upload")
