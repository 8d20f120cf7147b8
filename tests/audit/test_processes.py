"""Entries of processes: two replicas append to one chain, and archive it; kill -9 loses nothing."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from grid.audit.archives import heads
from grid.audit.chain import entries
from grid.audit.checkpoints import FILE
from grid.audit.log import verify_database
from grid.storage.blobs.registry import file_url, open_store
from grid.storage.sql.database import Database
from syft_ext.audit.entries import Entry
from syft_ext.audit.export import archived_entries
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


def all_entries(database: Database, root: Path) -> list[Entry]:
    """Those in archives, and those in the database."""
    found: list[Entry] = []
    with database.read() as session:
        for head in heads(session):
            with gzip.open(root / "blobs" / "contents" / head.digest) as file:
                found += archived_entries(file)
        assert found, "nothing was archived"
        return found + list(entries(session))


def recorded(database: Database, root: Path) -> set[str]:
    found = all_entries(database, root)
    return {each for entry in found for each in msgspec.json.decode(entry.objects, type=list[str])}


def check(database: Database, root: Path, *replicas: Replica) -> None:
    key = Identity.load_or_create(root / "node.key").verify_key
    for replica in replicas:
        report = verify_database(database, key, replica.home / FILE, open_store(file_url(root / "blobs")))
        assert report.intact, report.problems
        assert len(replica.answered) > 50 and set(replica.answered[:-1]) <= recorded(database, root)
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
    who = [bytes(entry.objects)[2:5].decode() for entry in all_entries(database, tmp_path)]
    turns = sum(before != after for before, after in zip(who, who[1:], strict=False))
    assert turns > 5  # they did append in between each other
    database.close()
