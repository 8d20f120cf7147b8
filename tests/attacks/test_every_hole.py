"""Each hole that the original PyGrid had is tried here: none is left out, in the tests or in what is told of them.

The numbers are those of the list of its security holes, as ``docs/pygrid-parity.md`` has it.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HOLES = {
    1: "tokens that can be forged, and of another node",
    2: "a caller named in the message",
    3: "private keys on the node",
    4: "a set-up that can be repeated",
    5: "objects overwritten and collected by strangers",
    6: "private data through containers",
    7: "others' objects changed and deleted",
    8: "an archive that writes outside its folder",
    9: "doors without a login, and a handshake that can be guessed",
    10: "errors that tell of the inside",
    11: "machines started by anybody",
    12: "code in what is loaded",
    13: "secrets in clear, and open doors",
    14: "nothing that ends, and no record",
    15: "settings for show",
}


@cache
def attacks() -> dict[str, list[str]]:
    """Module → the tests in it that are run: functions at its top that are not skipped."""
    found = {}
    for path in sorted(HERE.glob("test_*.py")):
        functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        found[path.name] = [
            each.name
            for each in functions
            if each.name.startswith("test_")
            and not any(
                mark in ast.unparse(line) for line in each.decorator_list for mark in ("skip", "xfail")
            )
        ]
    return found


def attacks_on(hole: int) -> set[str]:
    """As ``docs/pygrid-parity.md`` names them."""
    return {
        f"tests/attacks/{module}::{name}"
        for module, names in attacks().items()
        for name in names
        if name.startswith(f"test_hole_{hole:02}_")
    }


@cache
def rows() -> dict[int, str]:
    """The table of holes in the document, by number."""
    text = (ROOT / "docs" / "pygrid-parity.md").read_text()
    section = text.split("## Security holes of the original", 1)[1].split("\n## ", 1)[0]
    return {int(found[1]): found[0] for found in re.finditer(r"^\| (\d+)\. .*$", section, re.MULTILINE)}


@pytest.mark.parametrize("hole", HOLES, ids=lambda hole: f"{hole:02}")
def test_each_hole_is_attacked_and_the_document_says_where(hole: int) -> None:
    assert attacks_on(hole), f"nobody tries hole {hole}: {HOLES[hole]}"
    named = set(re.findall(r"`(tests/attacks/[\w.]+::\w+)`", rows()[hole]))
    assert named & attacks_on(hole), f"the row of hole {hole} in docs/pygrid-parity.md names no attack"
    assert named <= {
        f"tests/attacks/{module}::{name}" for module, names in attacks().items() for name in names
    }


def test_no_hole_is_counted_that_is_none() -> None:
    names = [name for tests in attacks().values() for name in tests]
    numbered = {int(found[1]) for name in names if (found := re.match(r"test_hole_(\d\d)_", name))}
    assert numbered == set(HOLES) == set(rows())
    assert any(name.startswith("test_public_notes_") for name in names)
