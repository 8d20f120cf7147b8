from __future__ import annotations

from sqlalchemy import select

from grid.storage.database import Database
from grid.storage.tables import BlobRow


def test_a_transaction_commits(database: Database) -> None:
    with database.transaction() as session:
        session.add(BlobRow(digest="a" * 64, size=1))
    with database.read() as session:
        assert session.scalars(select(BlobRow.size)).all() == [1]


def xtest_blob(blobs) -> None:
    with blobs.put([b"abc", b"d" * 300000]) as blob:
        assert blobs.size(blob.digest) == 300003
    assert bytes(blobs.map(blob.digest)[:4]) == b"abcd"
    assert blobs.read_range(blob.digest, 2, 5) == b"cdd"
    assert blobs.delete(blob.digest) and not blobs.exists(blob.digest)
