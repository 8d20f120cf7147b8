"""The storage in a process that gevent has patched, as every node's is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("gevent_node.py")


def run(scenario: str, url: str, root: Path) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPT), scenario, url, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def test_fifty_commits_at_once(sqlite_url: str, tmp_path: Path) -> None:
    """The loop never waits for the disk."""
    figures = run("commits", sqlite_url, tmp_path)
    assert figures["blobs"] == 250
    assert figures["others"] > 0 and figures["loop"] == 0


def test_greenlets_and_real_threads_share_everything(database_url: str, tmp_path: Path) -> None:
    assert run("everywhere", database_url, tmp_path) == {"total": 180, "blobs": 180}


def test_waiting_stops_nobody_else(database_url: str, tmp_path: Path) -> None:
    figures = run("waiting", database_url, tmp_path)
    expected = ["long", "short"] if database_url.startswith("sqlite") else ["short", "long"]
    assert figures["order"] == expected
    assert figures["let through"] is True


def test_greenlets_that_are_killed_break_nothing(database_url: str, tmp_path: Path) -> None:
    assert run("killed", database_url, tmp_path) == {"temporary": 0, "blobs": 1}
