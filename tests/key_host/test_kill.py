"""kill -9 at points of a grant and a confirmation; ``python -m tests.key_host.kills`` takes every point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_host_survives_being_killed_anywhere() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.key_host.kills", "--every", "9", "--first", "4"]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-4000:]
    assert int(result.stdout.split()[0]) >= 5, result.stdout
