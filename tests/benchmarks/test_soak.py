"""A slice of the soak: what one hour takes is what the next one takes. It counts what its process has: its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks._day import EVERY

from .test_json import rows_of, run


@pytest.mark.slow
def test_files_threads_and_contents_are_flat(own_folder: Path) -> None:
    # Hours of 12 rounds, so that every kind of operation comes in each.
    arguments = ["-m", "benchmarks.soak", "--quick"]
    output = run(arguments, {"GRID_USER_HOME": str(own_folder)}, seconds=900.0)
    rows = rows_of(output)
    hours = [line for line in output.splitlines() if line.startswith("hour ")]
    assert [f"cycles={12 * number})" in hour for number, hour in enumerate(hours, 1)] == [True] * 3, hours
    (done,) = (line for line in output.splitlines() if line.startswith("done: "))
    assert set(re.findall(r"(\w+) (\d+)", done)) == {
        (name, str(36 // every)) for name, every in EVERY.items()
    }

    def grown(what: str) -> float:
        last = rows[f"{what}, last quarter"]["value"]
        return float(last - rows[f"{what}, quarter before the last"]["value"])

    assert grown("contents") <= 0, hours
    assert grown("files") <= 48, hours  # the database opens its connections when they are needed
    assert grown("threads") <= 3, hours
    assert rows["contents, last quarter"]["value"] <= 30, hours
