"""kill -9 at 12 points on each engine: nothing that was accepted is lost, nothing is applied twice.

With strategies that keep a state, at 5 each on one engine: model and state are written in the transaction that the
others have, and belong together wherever the kill came. More, on either engine, and at other points:
``python -m tests.federated.kill_runner DATABASE_URL DIRECTORY SEED KILLS STRATEGY``. A whole node is killed 26
times on each engine in ``tests/system/test_kill.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from grid.federated.state import tables as t
from grid.storage.blobs.files import FileBlobStore
from grid.storage.objects.references import sweep
from grid.storage.sql.database import Database
from tests.federated.driver import Driver
from tests.federated.kill_runner import CYCLES, WORKERS, live


def _name(parameter: Any) -> str:
    return str(parameter["name"] if isinstance(parameter, dict) else parameter)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database_url", "aggregator", "kills"),
    [
        ("sqlite", "mean", 12),
        pytest.param("postgresql", "mean", 12, marks=pytest.mark.postgres),
        ("sqlite", "fedavgm", 5),
        ("sqlite", {"name": "fedadam", "parameters": {"learning_rate": 0.05}}, 5),
    ],
    ids=_name,
    indirect=["database_url"],
)
def test_a_training_survives_being_killed_anywhere(
    database_url: str, sqlite_template: Path, tmp_path: Path, aggregator: Any, kills: int
) -> None:
    root = Path(__file__).parents[2]
    command = [
        sys.executable,
        "-m",
        "tests.federated.kill_runner",
        database_url,
        str(tmp_path),
        "11",
        str(kills),
        json.dumps(aggregator),
    ]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr[-4000:]
    outcome = json.loads(result.stdout.splitlines()[-1])
    assert outcome["kills"] >= kills
    assert len(set(outcome["where"])) > kills // 3, "the kills came at many different points"

    reference = tmp_path / "reference"
    reference.mkdir()
    copy = reference / "node.db"
    copy.write_bytes(sqlite_template.read_bytes())
    live(f"sqlite:///{copy}", reference, "0", 0, aggregator)
    quiet = Database(f"sqlite:///{copy}")
    expected = _models(Driver(quiet, FileBlobStore(reference / "blobs")))
    quiet.close()

    database = Database(database_url)
    driver = Driver(database, FileBlobStore(tmp_path / "blobs"))
    accepted = set((tmp_path / "accepted").read_text().split())
    included: set[str] = set()
    finished = [p for p in driver.pipeline.views.processes() if p.checkpoint]
    assert len(finished) == outcome["trainings"]
    for process in finished:
        driver.process_id = process.process_id
        assert (process.status, process.cycles_completed, process.checkpoint) == (
            "completed",
            CYCLES,
            CYCLES + 1,
        )
        assert _models(driver) == expected, "as without kills, to the last bit"
        events = driver.pipeline.views.events(process.process_id).events
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
        included |= {e.entity_id for e in events if e.after == "included"}
        assert sum(e.after == "included" for e in events) == CYCLES * WORKERS
    assert accepted <= included, "every report that was accepted is in a model"
    with database.read() as session:
        assert session.execute(select(t.OutboxMessage.id)).all() == []
    sweep(database, driver.pipeline.store.blobs)
    kept = {d for p in finished for d in _digests(driver, p.process_id)}
    left = set(driver.pipeline.store.blobs.digests())
    assert kept <= left
    assert len(left) == len(kept) + 1, "checkpoints and the plan; no report and no state is left"
    driver.pipeline.stop()
    database.close()


def _digests(driver: Driver, process_id: str) -> list[str]:
    definition = driver.pipeline.definitions.get(process_id)
    return [driver.pipeline.views.checkpoint(definition, number).digest for number in range(1, CYCLES + 2)]


def _models(driver: Driver) -> list[str]:
    """The digests of all checkpoints: equal digests are equal bits."""
    if not driver.process_id:
        (process,) = driver.pipeline.views.processes()
        driver.process_id = process.process_id
    return _digests(driver, driver.process_id)
