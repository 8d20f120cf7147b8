"""kill -9 at any system call of a write: the object or nothing, and an upload goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

POINTS = 21


@pytest.mark.parametrize(("scenario", "seed"), [("put", 1), ("upload", 2)])
def test_a_node_that_is_killed(scenario: str, seed: int, database_url: str, tmp_path: Path) -> None:
    script = Path(__file__).with_name("kill_points.py")
    arguments = [scenario, database_url, str(tmp_path / "blobs"), str(seed), str(POINTS)]
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == POINTS
