"""kill -9 anywhere in a cycle: each report counts once, a sum is opened once, and the models are those without
kills."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.encrypted.training.site import Site, changes

KILLS = 1
"""A slice, of one seed: `python -m tests.encrypted.training.kill_runner` goes on for as long as it is told to."""


@pytest.mark.slow
def test_a_cycle_survives_being_killed_anywhere(sqlite_url: str, tmp_path: Path) -> None:
    runner = "tests.encrypted.training.kill_runner"
    command = [sys.executable, "-m", runner, sqlite_url, str(tmp_path), "5", str(KILLS)]
    root = Path(__file__).parents[3]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr[-4000:]
    outcome = json.loads(result.stdout.splitlines()[-1])
    assert outcome["kills"] >= KILLS
    first, *others = outcome["models"]
    assert len(first) == 3 and all(each == first for each in others), "to the last bit"


def test_a_node_that_was_stopped_goes_on_with_what_it_has(site: Site) -> None:
    """In the middle of the reports, and while a sum waits for its holder."""
    site.begin(num_cycles=1)
    learned = changes(4, 3)
    site.cycle(learned[:2])
    site.restart()
    assert site.pipeline.views.process(site.training().id).reported == 2
    site.cycle(learned[2:])
    before = site.summed().decrypt(site.keys)
    site.restart()
    training = site.training()
    again = training.decrypt(site.keys)
    assert (again.sums == before.sums).all()
    training.advance(again)
    site.until(training.id, 1)
