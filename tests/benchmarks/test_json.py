"""Every benchmark runs at small sizes and ends with its figures as one line of JSON. No figure is judged here.

They run in this process, with nodes that are forked (:mod:`tests.forkserver`): what all of them would import again
takes longer than they do. Those that need a process of their own have one: what patches or forks itself, and the
soak (``test_soak.py``), which counts what its process has open.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import demo.processes
from benchmarks._harness import MORE_IS_BETTER
from tests.forkserver import Forked

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS = sorted(
    path for path in (ROOT / "benchmarks").glob("*.py") if path.stem != "soak" and path.name[0] != "_"
)
PROCESSES = {"http_path", "sandbox", "secure_aggregation"}
FIELDS = ["name", "value", "unit", "against", "ratio", "target", "holds"]


def run_here(script: Path, patch: pytest.MonkeyPatch) -> str:
    """Standard output of ``script --quick --json``."""
    patch.setattr(sys, "argv", [str(script), "--quick", "--json"])
    patch.syspath_prepend(str(script.parent))
    patch.setattr(demo.processes.NodeProcess, "_spawn", lambda node, *given: Forked(*given))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        runpy.run_path(str(script), run_name="__main__")
    return output.getvalue()


def run(arguments: Sequence[str | Path], environment: dict[str, str], seconds: float = 200.0) -> str:
    """Standard output of a benchmark as a process; if it takes too long, it ends, and its nodes with it."""
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        start_new_session=True,  # a group of processes that can be ended at once
    )
    try:
        output, errors = process.communicate(timeout=seconds)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    assert process.returncode == 0, errors
    return output


def rows_of(output: str) -> dict[str, dict[str, Any]]:
    """The figures by name, which the last line of the output has."""
    lines = output.splitlines()
    assert lines[:-1], "what people read comes first"
    document = json.loads(lines[-1])
    assert list(document) == ["rows"]
    rows = {row["name"]: row for row in document["rows"]}
    assert len(rows) == len(document["rows"]), "names are unique"
    for row in document["rows"]:
        check(row, rows)
    assert any(row["ratio"] is not None for row in document["rows"]), "nothing is measured against anything"
    return rows


def check(row: dict[str, Any], rows: dict[str, dict[str, Any]]) -> None:
    """One row has the fields, types and relations that the harness promises; ``rows``: all of them by name."""
    assert list(row) == FIELDS
    assert type(row["name"]) is str and row["name"]
    assert type(row["unit"]) is str and row["unit"]
    assert type(row["value"]) is float and math.isfinite(row["value"])
    if row["against"] is None:
        assert row["ratio"] is None
    else:
        peer = rows[row["against"]]
        assert peer["unit"] == row["unit"]
        assert type(row["ratio"]) is float
        assert row["ratio"] == pytest.approx(row["value"] / peer["value"])
    if row["target"] is None:
        assert row["holds"] is None
    else:
        assert type(row["target"]) is float and math.isfinite(row["target"])
        least = row["unit"] in MORE_IS_BETTER
        assert row["holds"] is (row["value"] >= row["target"] if least else row["value"] <= row["target"])


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_last_line_is_one_object_with_every_figure(
    script: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script.stem in PROCESSES:
        rows_of(run([script, "--quick"], {"GRID_USER_HOME": str(own_folder)}))
    else:
        rows_of(run_here(script, monkeypatch))
