"""Terms of intersections: what contradicts itself, what is approved, and what people read of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from syft_ext.errors import BadRequest
from syft_ext.messages.intersection_terms import IntersectionSide, IntersectionTerms, common_rows

ONE, TWO, READER = ("0" * 64, "1" * 64, "3" * 64)
KEEPS = {"x": ["age", "bmi"]}


def side(**changes: Any) -> IntersectionSide:
    return IntersectionSide(**({"column": "id", "most": 1000} | changes))


def terms(**changes: Any) -> IntersectionTerms:
    fields: dict[str, Any] = {
        "parties": [ONE, TWO],
        "sides": [side(), side(column="number", most=2000)],
        "kind": "text",
        "minimum": 50,
        "reader": READER,
    }
    return IntersectionTerms(**(fields | changes))


def test_what_agrees_with_itself_is_read_in_one_line() -> None:
    terms().check()
    assert terms().members == [ONE, TWO] and not terms().keeps_rows
    assert str(terms()) == (
        f"how many ids (text, exact) are in both tables; party 0 is {ONE}: up to 1,000 ids of id, "
        f"one row for each id; party 1 is {TWO}: up to 2,000 ids of number, one row for each id; "
        f"neither party learns which ids are in common; the number is opened to {READER}, and nothing below 50"
    )


def test_what_both_learn_where_rows_are_kept_is_said() -> None:
    kept = terms(sides=[side(rows=KEEPS, duplicates="first"), side(rows={"y": ["dose"]})], unit="mg")
    kept.check()
    assert kept.keeps_rows
    assert "(text in mg, exact)" in str(kept)
    assert "keeps x = age, bmi, the first row of an id" in str(kept)
    assert "each party learns which of its own ids are in common, and keeps these rows" in str(kept)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parties": [ONE, ONE]}, "two different Domains"),
        ({"sides": [side(rows=KEEPS), side()]}, "by both parties, or by none"),
        ({"sides": [side(), side(rows=KEEPS)]}, "by both parties, or by none"),
        ({"kind": "integer", "normalisation": "folded"}, "one form only"),
        ({"minimum": 1001}, "the minimum is above"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        terms(**changes).check()


def test_each_part_of_what_is_approved_is_in_its_digest() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"parties": [TWO, ONE]},
        {"sides": [side(), side(column="number", most=2001)]},
        {"sides": [side(), side(column="number", most=2000, duplicates="first")]},
        {"sides": [side(rows=KEEPS), side(rows=KEEPS)]},
        {"kind": "integer"},
        {"unit": "mg"},
        {"normalisation": "folded"},
        {"minimum": 51},
        {"reader": TWO},
    ]
    assert len({terms(**each).digest() for each in changes}) == len(changes)
    assert terms().digest() == terms().digest()
    assert msgspec.convert(msgspec.to_builtins(terms()), IntersectionTerms) == terms()


def test_rows_are_named_by_terms_and_run() -> None:
    named = {
        common_rows(agreement, run) for agreement in ("a" * 64, "b" * 64) for run in ("1" * 32, "2" * 32)
    }
    assert len(named) == 4 and all(len(each) == 64 for each in named)
