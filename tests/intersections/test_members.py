"""The protocol: it finds what is in common and nothing else, and takes nothing that it does not have."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_core_ed25519_add
from scipy.stats import chi2  # type: ignore[import-untyped]

from syft_ext.errors import BadRequest, Conflict, ProtocolAborted, TooFewInCommon, TooLarge
from syft_ext.intersection.group import fresh_scalar, hashed, multiplied
from syft_ext.intersection.ids import number_bytes, word_rule
from syft_ext.intersection.member import IntersectionMember
from syft_ext.mpc.seals import Frame, Seals
from tests.intersections.two_members import TRANSCRIPT, Pair

IDENTITY = (1).to_bytes(32, "little")
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
words = st.text(max_size=6).map(lambda word: word.encode("utf-8", "surrogatepass"))


@settings(max_examples=25, deadline=None)
@given(st.sets(words, max_size=8), st.sets(words, max_size=8), st.integers(0, 3), st.booleans())
def test_it_is_the_plain_intersection(one: set[bytes], two: set[bytes], room: int, keeps: bool) -> None:
    pair = Pair(sorted(one), sorted(two), most=max(1, len(one), len(two)) + room, keeps=keeps)
    common = one & two
    if not common:
        with pytest.raises(TooFewInCommon):
            pair.run()
        return
    assert pair.run() == len(common)
    found = [
        [ids[place] for place in member.matched]
        for ids, member in zip((pair.own, pair.other), pair.members, strict=True)
    ]
    if keeps:
        assert found[0] == found[1] and set(found[0]) == common
    else:
        assert found == [[], []]


def test_several_chunks_and_sides_of_different_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syft_ext.intersection.member.CHUNK", 7)
    one, two = [number_bytes(n) for n in range(40)], [number_bytes(n) for n in range(35, 40)]
    assert Pair(one, two).run() == 5
    assert Pair(two, one, keeps=True).run() == 5


def test_below_the_minimum_nothing_is_told() -> None:
    ids = [number_bytes(n) for n in range(9)]
    assert Pair(ids, ids[:5], minimum=5).run() == 5
    pair = Pair(ids, ids[:4], minimum=5, most=9)
    with pytest.raises(TooFewInCommon) as refused:
        pair.run()
    assert pair.told == [] and not any(sign.isdigit() for sign in refused.value.detail)
    with pytest.raises(ProtocolAborted):
        pair.members[0].advance([])


def test_one_half_says_nothing_and_halves_that_differ_are_refused() -> None:
    ids = [number_bytes(n) for n in range(6)]
    pair = Pair(ids, ids)
    assert pair.run() == 6
    with pytest.raises(ProtocolAborted, match="no half"):
        pair.reader.size(pair.told[:1], pair.keys, TRANSCRIPT)
    halves = [open_half(pair, frame) for frame in pair.told]
    # What one of them holds is uniform words and a digest under a key that only the members have.
    assert all((6).to_bytes(8, "little") not in half for half in halves)
    other = Pair(ids, ids)
    other.run()
    with pytest.raises(ProtocolAborted):
        pair.reader.size([pair.told[0], other.told[1]], pair.keys, TRANSCRIPT)


def open_half(pair: Pair, frame: Frame) -> bytes:
    return Seals(2, pair.reader._secret, [*pair.keys, bytes.fromhex(pair.reader.key)], TRANSCRIPT).open(frame)


def test_what_is_carried_is_uniform() -> None:
    """Ids that are alike at both sides: who carries the frames sees nothing of that."""
    ids = [number_bytes(n) for n in range(400)]
    pair = Pair(ids, ids)
    pair.run()
    seen = b"".join(pair.seen)
    counts = np.bincount(np.frombuffer(seen, np.uint8), minlength=256)
    expected = len(seen) / 256
    assert float(((counts - expected) ** 2 / expected).sum()) < float(chi2.isf(1e-6, 255))


def test_the_order_of_answers_says_nothing_of_the_order_of_ids() -> None:
    """Where only the number is asked for, answers come sorted, and points in an order of the member's own."""
    ids = [number_bytes(n) for n in range(30)]
    pair = Pair(ids, ids)
    pair.run()
    member = pair.members[0]
    assert member._replies == sorted(member._replies or [])
    assert member._order != list(range(30)) and sorted(member._order) == list(range(30))


@pytest.mark.parametrize(
    "point",
    [
        IDENTITY,
        bytes(32),
        ORDER_8,
        crypto_core_ed25519_add(hashed(bytes(32), b"x"), ORDER_8),  # of the group but for a part of order 8
        b"\xff" * 32,
        (2).to_bytes(32, "little"),
        hashed(bytes(32), b"x")[:31],
    ],
)
def test_what_is_no_point_of_the_group_is_refused(point: bytes) -> None:
    with pytest.raises(ProtocolAborted):
        multiplied(fresh_scalar(), point)
    member, seals = honest_and_forged()
    with pytest.raises(ProtocolAborted):
        member.advance([seals.seal(0, b"P" + point)])
    assert member.failed and member.matched == []


def honest_and_forged(most: int = 3) -> tuple[IntersectionMember, Seals]:
    """A member, and the seals of one that makes its frames by hand."""
    ids = [number_bytes(n) for n in range(most)]
    pair = Pair(ids, ids)
    pair.members[0].begin(pair.keys, TRANSCRIPT)
    keys = [*pair.keys, bytes.fromhex(pair.reader.key)]
    return pair.members[0], Seals(1, pair.members[1]._secret, keys, TRANSCRIPT)


def test_more_points_than_announced_and_points_that_come_twice_are_refused() -> None:
    points = [hashed(bytes(32), number_bytes(n)) for n in range(4)]
    member, seals = honest_and_forged()
    with pytest.raises(ProtocolAborted, match="more ids"):
        member.advance([seals.seal(0, b"P" + b"".join(points))])
    member, seals = honest_and_forged()
    with pytest.raises(ProtocolAborted, match="twice"):
        member.advance([seals.seal(0, b"P" + points[0]), seals.seal(0, b"P" + points[0])])
    for body in (b"X", b"P", b"R" + bytes(8), b"R" + bytes(8 + 32 * 3)):
        member, seals = honest_and_forged()
        with pytest.raises(ProtocolAborted):
            member.advance([seals.seal(0, body)])


def test_altered_repeated_and_foreign_frames_are_refused() -> None:
    ids = [number_bytes(n) for n in range(5)]

    def altered(place: int, frames: list[Frame]) -> list[Frame]:
        return [
            msgspec.structs.replace(frame, data=frame.data[:-1] + bytes([frame.data[-1] ^ 1]))
            for frame in frames
        ]

    def repeated(place: int, frames: list[Frame]) -> list[Frame]:
        return [*frames, *frames]

    def foreign(place: int, frames: list[Frame]) -> list[Frame]:
        return [msgspec.structs.replace(frame, sender=place) for frame in frames]

    for change in (altered, repeated, foreign):
        pair = Pair(ids, ids, before=change)
        with pytest.raises(ProtocolAborted):
            pair.run()
        assert pair.told == []


def test_keys_are_fresh_and_a_member_begins_once() -> None:
    ids = [number_bytes(n) for n in range(3)]
    one, two = Pair(ids, ids), Pair(ids, ids)
    assert one.members[0]._scalar != two.members[0]._scalar
    assert one.members[0].public_key != two.members[0].public_key
    with pytest.raises(ProtocolAborted, match="not begun"):
        one.members[0].advance([])
    with pytest.raises(ProtocolAborted, match="another key"):
        one.members[0].begin(two.keys, TRANSCRIPT)
    one.run()
    with pytest.raises(ProtocolAborted, match="already"):
        one.members[0].begin(one.keys, TRANSCRIPT)
    with pytest.raises(Conflict):
        one.members[0].advance([])


def test_ids_that_stand_twice_and_more_than_announced_are_refused() -> None:
    with pytest.raises(Conflict):
        Pair([b"a", b"a"], [b"b"])
    with pytest.raises(TooLarge):
        Pair([b"a", b"b"], [b"b"], most=1)


def test_terms_that_contradict_themselves() -> None:
    terms = Pair([b"a"], [b"b"]).terms
    sides: Any = terms.sides
    changes: list[dict[str, Any]] = [
        {"parties": ["0" * 64] * 2},
        {"sides": [msgspec.structs.replace(sides[0], rows={"x": ["age"]}), sides[1]]},
        {"kind": "integer", "normalisation": "folded"},
        {"minimum": 2},
    ]
    for change in changes:
        with pytest.raises(BadRequest):
            msgspec.structs.replace(terms, **change).check()
    assert terms.digest() != msgspec.structs.replace(terms, unit="cm").digest()
    text = str(terms)
    assert all(key in text for key in (*terms.parties, terms.reader)) and "neither party learns" in text
    assert "each party learns" in str(Pair([b"a"], [b"b"], keeps=True).terms)


def test_what_an_id_is() -> None:
    exact, folded = word_rule("exact"), word_rule("folded")
    assert exact("é") == exact("e\u0301") != exact("E\u0301")  # one letter, written in two ways
    assert folded("  Ann\u00a0  MÜLLER ") == folded("ann müller") == folded("ANN MU\u0308LLER")
    assert folded("ﬁ") == b"fi" and folded("Straße") == folded("STRASSE")
    assert exact("Straße") != exact("STRASSE")
    assert number_bytes(-7) == b"-7" and number_bytes(2**60) == str(2**60).encode()
    with pytest.raises(BadRequest):
        word_rule("soundex")
    rng = random.Random(5)
    letters = [chr(rng.randrange(0x20, 0x2FFF)) for _ in range(500)]
    assert all(folded(folded(letter).decode()) == folded(letter) for letter in letters)
