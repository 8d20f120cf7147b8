"""Two key hosts and everybody around them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.storage.sql.database import Database
from tests.key_host.parties import Party, empty, fresh_database, make_party
from tests.key_host.world import fast_folder


@pytest.fixture(scope="session")
def two_databases() -> Iterator[list[Database]]:
    """Opened once: what an engine has learned of the statements is half of a test's time."""
    folder = Path(tempfile.mkdtemp(dir=fast_folder()))
    databases = [fresh_database(folder / f"host{number}.db") for number in (0, 1)]
    yield databases
    for db in databases:
        db.close()
    shutil.rmtree(folder)


@pytest.fixture
def party(tmp_path: Path, two_databases: list[Database]) -> Iterator[Party]:
    """Two hosts on SQLite, empty."""
    for db in two_databases:
        empty(db)
    made = make_party(tmp_path, databases=two_databases)
    yield made
    for core in made.hosts:
        core.db.close()
