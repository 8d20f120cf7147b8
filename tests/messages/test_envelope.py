"""Envelopes and frames: what is signed, and that no bytes whatsoever raise anything but our own errors."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.errors import BadSignature, Conflict, GridError, InvalidEnvelope, TooLarge
from syft_ext.identity import Identity
from syft_ext.messages import Empty
from syft_ext.messages.envelope import (
    MAX_ENVELOPE,
    OPENING,
    Envelope,
    Opening,
    PartEnvelope,
    decode_envelope,
    digest_of,
    envelope_size,
    frame_head,
    open_frame,
    part_of,
    read_opening,
    seal_part,
    seal_reply,
    seal_request,
)
from syft_ext.transport import PayloadReader
from tests.web.probe import Echo, Upload

ME = Identity.generate()
QUICK = settings(max_examples=100, deadline=None)


def request(payload: bytes = b"") -> Envelope:
    pieces = (payload,) if payload else ()
    return seal_request(ME, Upload(name="x"), now=1000.0, recipient="r", token="t", payload=pieces)


def test_a_frame_comes_back_as_it_was() -> None:
    sealed = request(b"payload")
    envelope, payload = open_frame(frame_head(sealed) + b"payload")
    assert envelope == sealed
    assert bytes(payload) == b"payload"
    assert digest_of([payload]) == (envelope.payload_size, envelope.payload_digest)
    envelope.verify()


def test_a_frame_that_was_cut_anywhere_before_its_payload_is_none() -> None:
    head = frame_head(request())
    for end in range(len(head)):
        with pytest.raises(InvalidEnvelope, match="truncated frame"):
            open_frame(head[:end])
    with pytest.raises(InvalidEnvelope, match="not a frame of this protocol"):
        open_frame(b"GRD2" + head[4:])
    with pytest.raises(TooLarge, match="envelope of"):
        open_frame(b"GRD1" + (MAX_ENVELOPE + 1).to_bytes(4, "big"))
    with pytest.raises(InvalidEnvelope, match="nonce or sender"):
        decode_envelope(msgspec.msgpack.encode(msgspec.structs.replace(request(), nonce=b"short")))


@pytest.mark.parametrize("field", Envelope.__struct_fields__)
def test_the_signature_covers_every_field(field: str) -> None:
    sealed = request(b"payload")
    value = getattr(sealed, field)
    other = {str: "0" * 64, bytes: b"0" * 16, float: 1.5, int: 99}[type(value)]
    with pytest.raises(BadSignature):
        msgspec.structs.replace(sealed, **{field: other}).verify()


def test_a_signature_of_something_else_is_no_signature() -> None:
    sealed = request()
    raw = msgspec.msgpack.encode(msgspec.structs.replace(sealed, signature=b""))
    with pytest.raises(BadSignature):  # signed without our context: a key may be used for other things too
        msgspec.structs.replace(sealed, signature=ME.sign(raw)).verify()


def test_replies_carry_replies_and_errors() -> None:
    asked = request()
    reply = seal_reply(ME, asked, Empty(), now=1.0)
    assert isinstance(reply.reply_as(Empty), Empty)
    assert (reply.operation, reply.in_reply_to, reply.recipient) == (
        "probe.upload",
        asked.nonce,
        ME.verify_key,
    )
    refusal = seal_reply(ME, asked, Conflict("taken", by="me"), now=1.0)
    with pytest.raises(Conflict, match="taken") as caught:
        refusal.reply_as(Empty)
    assert caught.value.extra == {"by": "me"}
    assert seal_reply(ME, None, Conflict("taken"), now=1.0).in_reply_to == b""


# -- parts, and what is seen before the whole is there --------------------------------------------------


def test_a_part_is_asked_for_and_given_under_signatures_of_its_own() -> None:
    asked = request()
    part = part_of(asked, ME, 3, 9, "ab" * 32)
    part.verify()
    assert part.nonce != asked.nonce, "it is another message, and may be answered once as that one"
    assert (part.operation, part.body, part.token) == (asked.operation, asked.body, asked.token)
    node = Identity.generate()
    reply = seal_part(node, part, Empty(), [b"one", b"2"], now=2.0, total=20, whole="cd" * 32)
    reply.verify()
    assert (reply.sender, reply.recipient, reply.in_reply_to) == (node.verify_key, ME.verify_key, part.nonce)
    assert (reply.start, reply.stop, reply.total, reply.whole) == (3, 7, 20, "cd" * 32)
    assert (reply.payload_size, reply.payload_digest) == digest_of([b"one2"])
    for sealed in (part, reply):
        found, _ = open_frame(frame_head(sealed))
        assert found == sealed and isinstance(found, PartEnvelope)
        for field, other in {"start": 1, "stop": 99, "total": 1, "whole": ""}.items():
            if getattr(sealed, field) != other:
                with pytest.raises(BadSignature):
                    msgspec.structs.replace(sealed, **{field: other}).verify()


@pytest.mark.parametrize("length", [0, 1, 31, 32, 255, 256])
def test_an_opening_is_read_from_the_first_bytes(length: int) -> None:
    sealed = msgspec.structs.replace(request(), recipient="r" * length)
    for envelope in (sealed, part_of(sealed, ME, 0, 1, "")):
        data = msgspec.msgpack.encode(envelope)
        whole = (sealed.sender, sealed.recipient, sealed.operation)
        assert read_opening(data[:OPENING]) == whole
        stop = data.index(sealed.operation.encode()) + len(sealed.operation)
        assert read_opening(data[:stop]) == whole
        for cut in range(stop):
            assert read_opening(data[:cut]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93\x01\x02\x03",  # numbers
        b"\x93\xa1\xff\xa0\xa0",  # no UTF-8
        b"\x93\xdb\x00\x00\x00\x01a\xa0\xa0",  # a text of 32 bits' length: nobody's name is that long
    ],
)
def test_what_is_no_envelope_has_no_opening(data: bytes) -> None:
    assert read_opening(data) is None


def test_arrays_may_say_their_length_in_any_width() -> None:
    texts = b"\xa1a\xd9\x01b\xda\x00\x01c"
    for head in (b"\x93", b"\xdc\x00\x03", b"\xdd\x00\x00\x00\x03"):
        assert read_opening(head + texts) == ("a", "b", "c")


@QUICK
@given(st.binary(max_size=OPENING))
def test_any_bytes_have_an_opening_or_none(data: bytes) -> None:
    assert isinstance(read_opening(data), Opening | None)


# -- fuzz: never anything but a GridError -----------------------------------------------------------------


@QUICK
@given(st.binary(max_size=2000))
def test_any_bytes_as_a_frame(data: bytes) -> None:
    for prefix in (b"", b"GRD1"):
        with contextlib.suppress(GridError):
            open_frame(prefix + data)
    with contextlib.suppress(GridError):
        decode_envelope(data)
    with contextlib.suppress(GridError):
        envelope_size(data)


@QUICK
@given(st.data())
def test_any_change_of_a_good_frame_is_noticed(data: st.DataObject) -> None:
    good = frame_head(request(b"payload")) + b"payload"
    start = data.draw(st.integers(0, len(good) - 1))
    stop = data.draw(st.integers(start, min(len(good), start + 8)))
    bad = good[:start] + data.draw(st.binary(max_size=8)) + good[stop:]
    if bad == good:
        return
    with pytest.raises(GridError):
        envelope, payload = open_frame(bad)
        envelope.verify()
        if len(payload) != envelope.payload_size:
            raise InvalidEnvelope("length")
        PayloadReader.of(payload, envelope.payload_digest).drain()


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_values, max_size=12))
def test_any_msgpack_as_an_envelope(fields: list) -> None:
    with contextlib.suppress(GridError):
        envelope = decode_envelope(msgspec.msgpack.encode(fields))
        envelope.verify()
        raise AssertionError("nobody signed this")


@QUICK
@given(_values)
def test_any_msgpack_as_a_message(value: object) -> None:
    from syft_ext.messages import operation_of

    spec = operation_of(Echo)
    with contextlib.suppress(GridError):
        spec.decode(msgspec.msgpack.encode(value))


@QUICK
@given(st.binary(max_size=300))
def test_any_bytes_as_a_message(data: bytes) -> None:
    from syft_ext.messages import operation_of

    with contextlib.suppress(GridError):
        operation_of(Echo).decode(data)


# -- payloads -----------------------------------------------------------------------------------------


@QUICK
@given(st.binary(max_size=500), st.lists(st.integers(1, 100), min_size=1, max_size=20))
def test_payload_readers_give_everything_once(data: bytes, steps: list[int]) -> None:
    size, digest = digest_of([data])
    reader = PayloadReader.of(data, digest)
    read = bytearray()
    for step in (*steps, 1000):
        read += reader.read(step)
    assert bytes(read) == data
    assert (reader.remaining, reader.read(1), size) == (0, b"", len(data))


@QUICK
@given(st.binary(min_size=1, max_size=300), st.data())
def test_payloads_that_were_changed_or_cut_are_refused_at_the_end(data: bytes, draw: st.DataObject) -> None:
    size, digest = digest_of([data])
    position = draw.draw(st.integers(0, size - 1))
    changed = bytearray(data)
    changed[position] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(GridError):
        PayloadReader.of(bytes(changed), digest).drain()
    cut = iter([data[:position], b""])
    with pytest.raises(GridError):
        PayloadReader(lambda count: next(cut), size, digest).drain()
