"""Runs the suite, and what failed of it once more, alone, where that is at most three tests.

    python -m tests.second_try ./grid-test --durations=15        any command that takes further arguments of pytest
    python -m tests.second_try COMMAND -- tests/access …         what stands behind -- is for the first run only

Of ten thousand tests on a loaded machine one may fail for no fault of the code, and must not hold up all else.
Nothing of that is silent: the last lines name each test that passed at its second try only, and before them each
failure stands once more, shortened: where only the end of the output is kept, its cause is still there. Such a
test has a fault of its own, to be mended.

Ends with 0 where everything passed at last, else with what the command ended with: where it did not come to its
end, more than three tests failed, or one failed again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["MOST", "main"]

#: More failures than these are no accident.
MOST = 3
#: Of a failure that is shown once more: lines from its beginning and from its end; and how many are shown.
_FIRST, _LAST, _SHOWN = 15, 45, 10
_ROOT = Path(__file__).parent.parent


def main(arguments: Sequence[str]) -> int:
    at = arguments.index("--") if "--" in arguments else len(arguments)
    command = arguments[:at]
    status, outcomes = _run([*command, *arguments[at + 1 :]])
    if status == 0:
        return 0
    if status != pytest.ExitCode.TESTS_FAILED or outcomes is None:
        _say("no second try: the suite did not come to its end")
        return status
    failed: dict[str, str] = outcomes["failed"]
    if len(failed) > MOST:
        _show("failed", failed)
        _say(f"no second try: {len(failed)} tests failed, and more than {MOST} are no accident", *failed)
        return status
    _say(f"second try, alone, of {len(failed)}:", *failed)
    second = {test: _run([*command, "-n", "0", test])[1] for test in failed}
    # One that is skipped, or not found, has not passed.
    passed = [test for test, each in second.items() if each is not None and test in each["passed"]]
    again = {test: each for test, each in second.items() if test not in passed}
    _show("at the first try", failed)
    _show(
        "at the second try",
        {test: each["failed"].get(test, "") if each else "" for test, each in again.items()},
    )
    if passed:
        _say("passed only at the second try, each with a fault of its own to be mended:", *passed)
    if again:
        _say("failed again:", *again)
    return status if again else 0


def _run(command: Sequence[str]) -> tuple[int, dict[str, Any] | None]:
    """How the command ended, which tests failed, with what they showed, and which passed; None unless all that was
    collected was run."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outcomes.json"
        done = subprocess.run(
            [*command, "-p", "tests.second_try", "--outcomes-to", str(file)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])},
        )
        return done.returncode, json.loads(file.read_text()) if file.exists() else None


def _show(when: str, failures: Mapping[str, str]) -> None:
    for test, text in [each for each in failures.items() if each[1]][:_SHOWN]:
        lines = text.splitlines()
        left_out = len(lines) - _FIRST - _LAST
        if left_out > 0:
            lines[_FIRST:-_LAST] = [f"[{left_out} lines left out]"]
        print(f"second_try: {test}, {when}", *lines, sep="\n", flush=True)


def _say(what: str, *tests: str) -> None:
    print(f"second_try: {what}", *(f"  {test}" for test in tests), sep="\n", flush=True)


class _Outcomes:
    """What became of each test, where the tests' outcomes come together."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._collected = True
        self._outcomes: dict[str, set[str]] = {}
        self._texts: dict[str, list[str]] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._collected = self._collected and not report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of setting up, the test itself, and tearing down."""
        self._outcomes.setdefault(report.nodeid, set()).add(report.outcome)
        if report.failed:
            self._texts.setdefault(report.nodeid, []).append(report.longreprtext)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._collected and not session.shouldfail and not session.shouldstop:
            failed = {test: "\n".join(texts) for test, texts in self._texts.items()}
            passed = [test for test, each in self._outcomes.items() if each == {"passed"}]
            self._file.write_text(json.dumps({"failed": failed, "passed": passed}))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes-to", type=Path, help="write there which tests passed and failed, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("--outcomes-to")
    if file is not None and not hasattr(config, "workerinput"):  # a process of xdist tells the first one
        config.pluginmanager.register(_Outcomes(file))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
