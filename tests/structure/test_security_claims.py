"""What SECURITY.md claims is shown by tests that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "SECURITY.md"


def claims(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each claim of the table, and the paths beside it."""
    section = text.partition("## What is claimed")[2].partition("\n## ")[0]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 2 and cells[0] != "Claim":
            yield cells[0], re.findall(r"`([^`]+)`", cells[1])


def count_tests(path: Path) -> int:
    """How many tests a file, or all files of a folder, define."""
    files = [path] if path.is_file() else sorted(path.rglob("test_*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    return sum(isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in nodes)


@pytest.mark.parametrize(
    ("claim", "paths"), list(claims(PAGE.read_text())), ids=lambda value: str(value)[:50]
)
def test_a_claim_names_its_tests(claim: str, paths: list[str]) -> None:
    assert paths, "a claim without a test is none"
    for path in paths:
        assert path.startswith("tests/") and (ROOT / path).exists(), path
        assert count_tests(ROOT / path), f"{path} has no tests"


def test_the_check_reads_the_table() -> None:
    assert len(list(claims(PAGE.read_text()))) >= 15
    table = "| Claim | Tests |\n|---|---|\n| a | `tests/x.py` |\n| b | nothing |\n"
    page = f"## What is claimed, and so on\n\n{table}\n## Z\n"
    assert list(claims(page)) == [("a", ["tests/x.py"]), ("b", [])]
