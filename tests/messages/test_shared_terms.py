"""Terms of computations on shares: what contradicts itself, what is approved, and what people read of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from syft_ext.errors import BadRequest
from syft_ext.messages.shared_terms import SharedInput, SharedTerms

ONE, TWO, DEALER, READER = ("0" * 64, "1" * 64, "2" * 64, "3" * 64)


def terms(**changes: Any) -> SharedTerms:
    fields: dict[str, Any] = {
        "protocol": "Beaver",
        "precision": 16,
        "parties": [ONE, TWO],
        "dealer": DEALER,
        "inputs": [
            SharedInput(name="xs", party=0, shape=[8, 3], bound=8.0),
            SharedInput(name="w", party=1, shape=[3, 1], bound=0.5),
        ],
        "steps": 3,
        "carried": {"w next": "w"},
        "opened": ["w next"],
        "reader": READER,
    }
    return SharedTerms(**(fields | changes))


def halves(*parties: int) -> list[SharedInput]:
    """Inputs of the same rows in common."""
    return [
        SharedInput(name="w" if not number else "x", party=party, shape=[], bound=1.0, common="c" * 64)
        for number, party in enumerate(parties)
    ]


def test_rows_in_common_are_of_two_parties_and_named() -> None:
    both = terms(inputs=halves(0, 1))
    both.check()
    assert f"w of party 0, up to 1, rows in common {'c' * 64}, x of party 1" in str(both)
    assert both.digest("plan", "") != terms(inputs=halves(1, 0)).digest("plan", "")


def test_what_agrees_with_itself_is_read_in_one_line() -> None:
    terms().check()
    terms(steps=1, carried={}).check()
    assert str(terms()) == (
        "on shares (Beaver, semi-honest, 16 bits, 3 steps): xs of party 0, up to 8, w of party 1, up to 0.5; "
        f"party 0 is {ONE}, party 1 is {TWO}, the dealer {DEALER}; opened to {READER}: w next"
    )


def test_three_parties_have_no_dealer_and_may_distrust_each_other() -> None:
    three = terms(protocol="Falcon", security="malicious", parties=[ONE, TWO, "4" * 64], dealer=None)
    three.check()
    assert three.members == three.parties and terms().members == [ONE, TWO, DEALER]
    assert "(Falcon, malicious, 16 bits" in str(three) and "dealer" not in str(three)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parties": [ONE, ONE]}, "different nodes"),
        ({"dealer": TWO}, "different nodes"),
        ({"dealer": None}, "2 parties and a dealer"),
        ({"parties": [ONE, TWO, "4" * 64]}, "2 parties and a dealer"),
        ({"protocol": "Falcon"}, "3 parties and no dealer"),
        ({"protocol": "Falcon", "parties": [ONE, TWO, "4" * 64]}, "3 parties and no dealer"),
        ({"security": "malicious"}, "Beaver is not malicious"),
        ({"inputs": [SharedInput(name="w", party=0, shape=[], bound=1.0)] * 2}, "named twice"),
        ({"opened": ["w next", "w next"]}, "named twice"),
        ({"inputs": [SharedInput(name="w", party=2, shape=[], bound=1.0)]}, "of no party"),
        ({"carried": {"w next": "unknown"}}, "no shared input"),
        ({"carried": {"w next": "w", "again": "w"}}, "no shared input"),
        ({"carried": {}}, "runs once"),
        ({"inputs": halves(0)}, "each its own half"),
        ({"inputs": halves(0, 0)}, "each its own half"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        terms(**changes).check()


def test_a_node_is_named_in_one_way_only() -> None:
    """Else somebody could be dealer and party, or both parties, under two spellings."""
    good = msgspec.to_builtins(terms())
    assert msgspec.convert(good, SharedTerms) == terms()
    for key in (TWO + "\n", " " + TWO, TWO.replace("1", "A"), TWO[:-1]):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(good | {"dealer": key}, SharedTerms)
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(good | {"parties": [ONE, key]}, SharedTerms)


def test_each_part_of_what_is_approved_is_in_its_digest() -> None:
    digests = {
        terms().digest("plan", "values"),
        terms().digest("other", "values"),
        terms().digest("plan", "others"),
    }
    for change in (
        {"precision": 12},
        {"protocol": "Falcon"},
        {"security": "malicious"},
        {"parties": [TWO, ONE]},
        {"dealer": "4" * 64},
        {"inputs": terms().inputs[::-1]},
        {"steps": 4},
        {"carried": {"other": "w"}},
        {"opened": ["w next", "loss"]},
        {"reader": "5" * 64},
    ):
        digests.add(terms(**change).digest("plan", "values"))
    assert len(digests) == 13
    assert terms().digest("plan", "values") == terms().digest("plan", "values")
