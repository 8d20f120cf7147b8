"""kill -9 at any system call of a write: the object or nothing, and an upload goes on; and of a purge."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory: what kill -9 leaves there is what it leaves on a disk, sooner."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as directory:
        yield Path(directory)


@pytest.mark.parametrize(("scenario", "seed"), [("put", 1), ("upload", 2), ("recycle", 3), ("quarantine", 4)])
def test_a_node_that_is_killed(scenario: str, seed: int, database_url: str, memory: Path) -> None:
    script = Path(__file__).with_name("kill_points.py")
    points = 21 if database_url.startswith("sqlite") else 11  # what differs there is only the commit
    if scenario == "quarantine":
        points //= 2  # it has fewer calls
    arguments = [scenario, database_url, str(memory / "blobs"), str(seed), str(points)]
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == points
