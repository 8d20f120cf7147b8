"""A database with the two objects of :mod:`tests.access.given`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grid import schema
from grid.storage.objects.tables import BlobRow, ObjectRow
from grid.storage.sql.database import Database
from tests.access.given import FIRST, OWNER, SECOND


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'grants.db'}")
    schema.upgrade(database)
    with database.transaction() as session:
        session.add(BlobRow(digest="d" * 64, size=0))
        session.flush()
        for object_id in (FIRST, SECOND):
            row = {
                "kind": "bytes",
                "description": "",
                "search_text": "",
                "owner": OWNER,
                "blob_digest": "d" * 64,
            }
            session.add(ObjectRow(id=object_id, size=0, created_at=0.0, **row))
    yield database
    database.close()
