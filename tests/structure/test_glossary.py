"""The glossary names each thing once, and only files that exist."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"

#: What a newcomer asks for first: a term that is dropped from the page is missed here.
EXPECTED = """
    node, Network, Domain, Worker, home, object, content, blob, dataset, asset, mock, training, cycle, round,
    assignment, report, diff, checkpoint, plan, protocol, strategy, mechanism, accountant, budget, grant, request,
    rule, policy, session, account session, environment, compute host, sandbox, envelope, transport, journal,
    audit log, principal, viewer, outbox, lease, fencing
"""


def _rows() -> Iterator[list[str]]:
    """The cells of each row: term, what it is, where, what others call it, what nobody writes."""
    for line in GLOSSARY.read_text().splitlines():
        if line.startswith("| **"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def _terms() -> list[str]:
    return [row[0].strip("*") for row in _rows()]


def test_every_term_stands_there_once() -> None:
    counted = Counter(term.casefold() for term in _terms())
    assert [term for term, number in counted.items() if number > 1] == []
    missing = [term for each in EXPECTED.split(",") if (term := " ".join(each.split())) not in _terms()]
    assert missing == []


@pytest.mark.parametrize("row", list(_rows()), ids=lambda row: row[0].strip("*"))
def test_a_row_is_whole_and_its_paths_exist(row: list[str]) -> None:
    term, meaning, where, _, forbidden = row
    assert meaning.endswith("."), "a sentence"
    paths = re.findall(r"`([^`]+)`", where)
    assert paths, "where it lives"
    assert [path for path in paths if not (ROOT / path).exists()] == []
    words = {word.strip() for word in forbidden.split(",")}
    assert term.strip("*") not in words, "the term itself is not to be written"
