"""kill -9 anywhere in a round, of the Domain and its participants: it goes on, and its models are those without
kills."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 1
"""A slice, of one seed: `python -m tests.secure_aggregation.kill_runner` goes on for as long as it is told to."""


@pytest.mark.slow
def test_a_round_survives_being_killed_anywhere(sqlite_url: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.secure_aggregation.kill_runner",
        sqlite_url,
        str(tmp_path),
        "5",
        str(KILLS),
    ]
    root = Path(__file__).parents[2]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr[-4000:]
    outcome = json.loads(result.stdout.splitlines()[-1])
    assert outcome["kills"] >= KILLS
    first, *others = outcome["models"]
    assert len(first) == 2 and all(each == first for each in others), (
        "to the last bit, wherever the kills came"
    )
