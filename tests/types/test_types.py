"""What type checkers say of the SDK: right calls have the types that are documented, wrong ones are found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GOOD, BAD = HERE / "calls_that_check.py", HERE / "calls_that_do_not.py"
_FOUND = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): error: .*\[(?P<code>[\w-]+)\]$")
_EXPECTED = re.compile(r"# E: ([\w-]+)$")

Errors = set[tuple[str, int, str]]
"""File, line and mypy's code."""


def expected(path: Path) -> Errors:
    marks = ((number, _EXPECTED.search(line)) for number, line in enumerate(path.read_text().splitlines(), 1))
    return {(path.name, number, mark[1]) for number, mark in marks if mark}


def found(output: str) -> Errors:
    lines = [line for line in output.splitlines() if ": error: " in line]
    errors = [_FOUND.match(line) for line in lines]
    assert all(errors), output
    return {(Path(each["file"]).name, int(each["line"]), each["code"]) for each in errors if each}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_right_calls_check_and_wrong_ones_do_not() -> None:
    """With the settings, and the cache, of the source itself."""
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--config-file",
            "setup.cfg",
            "--no-error-summary",
            str(GOOD),
            str(BAD),
        ],
        cwd=ROOT,
        env={**os.environ, "MYPY_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
    )
    assert run.stderr == ""
    assert found(run.stdout) == expected(BAD), run.stdout
    assert expected(GOOD) == set() and len(expected(BAD)) > 20


def test_errors_are_read_from_what_mypy_says() -> None:
    said = "tests/types/x.py:3: error: Too many [of] them  [call-arg]\nx.py:4: note: Perhaps [x]\n"
    assert found(said) == {("x.py", 3, "call-arg")}
    with pytest.raises(AssertionError):
        found("x.py:3: error: without a code\n")
