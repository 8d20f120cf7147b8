"""The second try of what failed, over suites of a few tests, each a process as in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: Each test counts its runs in a file of its name.
COUNTED = """
import pathlib, pytest

def run(name):
    with pathlib.Path(name).open("a") as file:
        file.write("x")
    return pathlib.Path(name).stat().st_size

def test_well(): run("well")
"""
ONCE = """
@pytest.mark.parametrize("n", {numbers})
def test_once(n): assert run(f"once-{{n}}") > 1, "as it was at first"
"""
AGAIN = "def test_always(): assert run('always') < 0\n"
SKIPPED = """
def test_skipped_later():
    if run("later") > 1:
        pytest.skip("not here")
    raise AssertionError
"""


def second_try(folder: Path, suite: str, *arguments: str) -> tuple[int, str]:
    (folder / "test_suite.py").write_text(COUNTED + suite)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    pytest_itself = [sys.executable, "-m", "pytest", "-q", "-p", "xdist"]
    command = [sys.executable, "-m", "tests.second_try", *pytest_itself, *arguments]
    # Of the plugins only the one that it needs: most of what these processes do is to load them.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    return done.returncode, done.stdout


def runs(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir() if not path.suffix and path.is_file()}


@pytest.mark.parametrize("jobs", ["0", "2"])
def test_what_passes_alone_passes_and_is_named(tmp_path: Path, jobs: str) -> None:
    status, told = second_try(tmp_path, ONCE.format(numbers=[1, "a b::c[d]", 3]), "-n", jobs)
    assert status == 0
    assert "as it was at first" in told, "the first failure is shown"
    names = ["test_once[1]", "test_once[a b::c[d]]", "test_once[3]"]
    end = told[told.index("passed only at the second try") :].splitlines()
    assert sorted(end[1:]) == sorted(f"  test_suite.py::{name}" for name in names)
    assert runs(tmp_path) == {"well": 1, "once-1": 2, "once-a b::c[d]": 2, "once-3": 2}, "and nothing else"


def test_what_failed_stands_once_more_at_the_end_and_not_all_of_it(tmp_path: Path) -> None:
    """CI keeps the end of the output only."""
    suite = """
@pytest.mark.parametrize("n", [1, 2])
def test_long(n):
    if run(f"at-{n}") <= n:
        raise AssertionError("".join(f"line {at} of {n};\\n" for at in range(100)))
"""
    status, told = second_try(tmp_path, suite)
    assert status == 1
    *_, end = told.partition("second_try: test_suite.py::test_long[1], at the first try")
    first, _, names = end.partition("second_try: test_suite.py::test_long[2], at the second try")
    for shown, n in ((first, 1), (first, 2), (names, 2)):
        assert shown.count(f"line 99 of {n};") == 1 and f"line 30 of {n};" not in shown
    assert end.count("lines left out]") == 3 and len(end.splitlines()) < 3 * 62 + 8
    assert names.index("passed only at the second try") < names.index("failed again")


def test_what_fails_again_fails_and_so_does_what_is_skipped_then(tmp_path: Path) -> None:
    status, told = second_try(tmp_path, ONCE.format(numbers=[1]) + AGAIN + SKIPPED)
    assert status == 1
    end = told[told.index("failed again") :].splitlines()
    assert end[1:] == ["  test_suite.py::test_always", "  test_suite.py::test_skipped_later"]
    assert "  test_suite.py::test_once[1]\nsecond_try: failed again" in told
    assert runs(tmp_path) == {"well": 1, "once-1": 2, "always": 2, "later": 2}


@pytest.mark.parametrize(
    ("suite", "arguments", "status"),
    [
        (ONCE.format(numbers=[1, 2, 3, 4]), [], 1),  # too many
        (ONCE.format(numbers=[1]) + AGAIN, ["-x"], 1),  # what comes after the first was not run
        (ONCE.format(numbers=[1]) + AGAIN, ["-x", "-n", "1"], 2),
        ("import nothing_of_this_name", [], 2),
        ("", ["-k", "nothing"], 5),
    ],
)
def test_what_is_no_accident_gets_no_second_try(
    tmp_path: Path, suite: str, arguments: list[str], status: int
) -> None:
    ended, told = second_try(tmp_path, suite, *arguments)
    assert ended == status and "second_try: no second try" in told
    assert all(count == 1 for count in runs(tmp_path).values())


def test_what_is_named_behind_two_dashes_is_run_at_first_only(tmp_path: Path) -> None:
    (tmp_path / "test_left_out.py").write_text(COUNTED)
    status, told = second_try(tmp_path, ONCE.format(numbers=[1]), "--", "test_suite.py")
    assert status == 0 and "passed only at the second try" in told
    assert runs(tmp_path) == {"well": 1, "once-1": 2}


def test_where_all_pass_nothing_is_added(tmp_path: Path) -> None:
    status, told = second_try(tmp_path, "")
    assert status == 0 and "second_try" not in told and runs(tmp_path) == {"well": 1}
