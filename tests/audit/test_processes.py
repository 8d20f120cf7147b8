"""Entries of processes: two replicas append to one chain; kill -9 loses nothing that was answered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from grid.audit.chain import entries
from grid.audit.checkpoints import FILE
from grid.audit.log import verify_database
from grid.storage.sql.database import Database
from syft_ext.identity import Identity

RUNNER = Path(__file__).with_name("kill_runner.py")


class Replica:
    """A process that records entries in ``root / name``; ``answered`` are those that it was told of."""

    def __init__(self, root: Path, url: str, name: str) -> None:
        self.home = root / name
        self.home.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, str(RUNNER), str(self.home), url, name], stdout=subprocess.PIPE, text=True
        )
        self.answered: list[str] = []

    def read(self, count: int) -> None:
        assert self.process.stdout is not None
        self.answered += [self.process.stdout.readline().strip() for _ in range(count)]

    def kill(self) -> None:
        assert self.process.stdout is not None
        self.process.kill()
        rest = self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait()
        self.answered += [line for line in rest.splitlines(keepends=False) if line.count("-") == 2]


def recorded(database: Database) -> set[str]:
    with database.read() as session:
        return {
            each for entry in entries(session) for each in msgspec.json.decode(entry.objects, type=list[str])
        }


def check(database: Database, root: Path, *replicas: Replica) -> None:
    key = Identity.load_or_create(root / "node.key").verify_key
    for replica in replicas:
        report = verify_database(database, key, replica.home / FILE)
        assert report.intact, report.problems
        assert len(replica.answered) > 50 and set(replica.answered[:-1]) <= recorded(database)
        assert report.signed_up_to >= 0


def test_kill_loses_no_answered_entry(database: Database, database_url: str, tmp_path: Path) -> None:
    replica = Replica(tmp_path, database_url, "one")
    replica.read(200)
    replica.kill()
    check(database, tmp_path, replica)


@pytest.mark.postgres
def test_two_replicas_append_to_one_chain(postgresql_url: str, tmp_path: Path) -> None:
    Identity.load_or_create(tmp_path / "node.key")
    database = Database(postgresql_url)
    replicas = [Replica(tmp_path, postgresql_url, name) for name in ("one", "two")]
    for replica in replicas:
        replica.read(150)
    for replica in replicas:
        replica.kill()
    check(database, tmp_path, *replicas)
    with database.read() as session:
        who = [bytes(entry.objects)[2:5].decode() for entry in entries(session)]
    turns = sum(before != after for before, after in zip(who, who[1:], strict=False))
    assert turns > 5  # they did append in between each other
    database.close()
