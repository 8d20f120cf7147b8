from __future__ import annotations

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from grid.storage.objects.tables import BlobRow, ObjectRow
from grid.storage.sql.database import Database
from grid.storage.sql.dialect import table_of
from grid.storage.sql.prepared import PreparedSizes, PreparedStatement, places

BLOBS, OBJECTS = table_of(BlobRow), table_of(ObjectRow)
INSERT = PreparedStatement(insert(BLOBS))
AMONG = PreparedSizes(
    lambda size: (
        select(BLOBS.c.digest, BLOBS.c.size)
        .where(BLOBS.c.digest.in_(places("digest", size)), BLOBS.c.size >= 10)
        .order_by(BLOBS.c.digest)
    )
)


def _digests(count: int) -> list[str]:
    return [f"{index:064x}" for index in range(count)]


@pytest.mark.parametrize("count", [1, 7, 9, 65])
def test_rows_lists_and_counts(database: Database, count: int) -> None:
    digests = _digests(count)
    with database.transaction() as session:
        rows = [{"digest": digest, "size": 10 + index} for index, digest in enumerate(digests)]
        assert INSERT.run(session.connection(), rows).rowcount == count
    with database.reading() as connection:
        found = AMONG.run(connection, {}, digest=digests).all()
        assert [(row.digest, row.size) for row in found] == [(d, 10 + i) for i, d in enumerate(digests)]
        assert AMONG.run(connection, {}, digest=["no"]).first() is None
    grow = PreparedStatement(update(BLOBS).where(BLOBS.c.size >= 10).values(size=BLOBS.c.size + 1))
    with database.transaction() as session:
        assert grow.run(session.connection(), {}).rowcount == count


def test_its_errors_are_those_of_the_database_and_undo_the_transaction(database: Database) -> None:
    row = {"digest": "a" * 64, "size": 1}
    with pytest.raises(IntegrityError), database.transaction() as session:
        INSERT.run(session.connection(), row)
        INSERT.run(session.connection(), [row])
    with pytest.raises(IntegrityError), database.writing() as connection:
        INSERT.run(connection, row)
        INSERT.run(connection, [row, row])
    assert database.query(PreparedStatement(select(BLOBS.c.digest))).all() == []


@pytest.mark.parametrize("shape", [None, [], [2, 3]])
def test_json_goes_in_and_comes_out(database: Database, shape: list[int] | None) -> None:
    values = {
        "id": "o",
        "kind": "tensor",
        "blob_digest": "a" * 64,
        "size": 1,
        "dtype": None,
        "shape": shape,
        "description": "",
        "search_text": "",
        "created_at": 0.5,
    }
    with database.writing() as connection:
        INSERT.run(connection, {"digest": "a" * 64, "size": 1})
        PreparedStatement(insert(OBJECTS)).run(connection, values)
    row = database.query(PreparedStatement(select(OBJECTS.c.shape, OBJECTS.c.created_at))).first()
    assert (row.shape, row.created_at) == (shape, 0.5)
