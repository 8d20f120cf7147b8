from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from grid import schema
from grid.storage.blobs.files import FileBlobStore
from grid.storage.objects.references import collect, record, sweep
from grid.storage.objects.tables import BlobRow, UploadRow
from grid.storage.sql.database import Database
from grid.storage.sql.dialect import table_of
from syft_ext.ids import new_id

UPLOADS = table_of(UploadRow)


def refer(database: Database, blobs: FileBlobStore, content: bytes) -> tuple[str, str]:
    """Put a content and a row that refers to it; returns the ids of both."""
    upload = new_id()
    with blobs.put([content]) as blob, database.transaction() as session:
        record(session, blob)
        row = {"id": upload, "owner": "x", "size": 1, "blob_digest": blob.digest, "touched_at": 0.0}
        session.execute(insert(UPLOADS), row)
    return upload, blob.digest


def unrefer(database: Database, upload: str) -> None:
    with database.transaction() as session:
        session.execute(delete(UPLOADS).where(UPLOADS.c.id == upload))


def rows(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(BlobRow.digest)))


def test_content_lives_as_long_as_something_refers_to_it(database: Database, blobs: FileBlobStore) -> None:
    (one, digest), (two, same) = refer(database, blobs, b"abc"), refer(database, blobs, b"abc")
    assert digest == same
    unrefer(database, one)
    assert collect(database, blobs, [digest]) == 0 and blobs.exists(digest)
    unrefer(database, two)
    assert collect(database, blobs, [digest, digest]) == 1 and not blobs.exists(digest)
    assert rows(database) == set()
    assert collect(database, blobs, [digest]) == 0


def test_a_file_goes_when_the_disk_knows_that_nothing_refers_to_it(
    sqlite_url: str, blobs: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could bring the reference back, and not the file."""
    database = Database(sqlite_url)
    schema.upgrade(database)
    upload, digest = refer(database, blobs, b"abc")
    unrefer(database, upload)
    order: list[str] = []
    sync, unlink = os.fdatasync, os.unlink
    monkeypatch.setattr(
        os, "fdatasync", lambda fd: (sync(fd), order.append(os.readlink(f"/proc/self/fd/{fd}")))
    )
    monkeypatch.setattr(os, "unlink", lambda path: (unlink(path), order.append(path)))
    assert collect(database, blobs, [digest]) == 1
    log, file = order
    assert log.endswith("-wal") and file == str(blobs.path(digest))
    database.close()


def test_nothing_is_removed_where_not_every_table_is_known(tmp_path: Path) -> None:
    """A foreign key that nobody declared would make a content that is needed look like one that is not."""
    program = """
import sys
from pathlib import Path
from grid.storage.blobs.files import FileBlobStore
from grid.storage.objects.references import collect, sweep
from grid.storage.sql.database import Database
from grid.storage.objects import tables
from grid.storage.sql.base import Base
database, blobs = Database(f"sqlite:///{sys.argv[1]}/x.db"), FileBlobStore(Path(sys.argv[1]) / "blobs")
Base.metadata.create_all(database.engine)
with blobs.put([b"abc"]) as blob:
    pass
for remove in (lambda: collect(database, blobs, [blob.digest]), lambda: sweep(database, blobs)):
    try:
        remove()
    except RuntimeError as error:
        assert "grid.schema" in str(error)
    else:
        sys.exit("removed")
assert blobs.exists(blob.digest)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)


def test_a_reference_without_its_row_is_refused(database: Database) -> None:
    with pytest.raises(IntegrityError), database.transaction() as session:
        row = {"id": new_id(), "owner": "x", "size": 1, "blob_digest": "a" * 64, "touched_at": 0.0}
        session.execute(insert(UPLOADS), row)


def test_the_sweep_finds_what_crashes_left(database: Database, blobs: FileBlobStore) -> None:
    _, kept = refer(database, blobs, b"kept")
    orphan = blobs.put([b"a file without a row"]).digest
    with blobs.put([b"a row without a reference"]) as blob, database.transaction() as session:
        record(session, blob)
    fileless = blobs.put([b"a row without a file"])
    with fileless, database.transaction() as session:
        record(session, fileless)
    blobs.path(fileless.digest).unlink()
    with blobs.put([b"in somebody's hands"]) as held:
        assert sweep(database, blobs) == 3
        assert set(blobs.digests()) == {kept, held.digest}
    assert not blobs.exists(orphan) and rows(database) == {kept}
    assert sweep(database, blobs) == 1 and set(blobs.digests()) == {kept}


def test_what_somebody_held_when_it_was_dropped_waits_like_all_that_is(
    database: Database, blobs: FileBlobStore
) -> None:
    """What no row tells of waits whatever its size: nobody makes theirs look so by reading it meanwhile."""
    blobs.quarantine.grace, blobs.quarantine.most = 100.0, 1000
    upload, digest = refer(database, blobs, b"read while it is dropped")
    with blobs.open(digest, hold=True):
        unrefer(database, upload)
        assert collect(database, blobs, [digest], owner="x") == 0
    with blobs.put([b"a file without a row"]) as orphan:
        pass
    assert sweep(database, blobs) == 2
    whys = {each.name: each.why for each in blobs.quarantine.listed()}
    assert whys == {digest: "dropped", orphan.digest: "unknown"}


def test_writers_and_a_sweeper_race(database: Database, blobs: FileBlobStore) -> None:
    """No row ever refers to a content that is gone, on either engine."""
    errors: list[BaseException] = []
    stop = threading.Event()

    def write(number: int) -> None:
        try:
            for _ in range(12):
                upload, digest = refer(database, blobs, b"content %d" % (number % 2))
                assert blobs.exists(digest)
                unrefer(database, upload)
                collect(database, blobs, [digest])
        except BaseException as error:
            errors.append(error)

    def sweep_all() -> None:
        try:
            while not stop.is_set():
                sweep(database, blobs)
        except BaseException as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    sweeper = threading.Thread(target=sweep_all)
    for thread in (*writers, sweeper):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    sweeper.join()
    assert errors == []
    sweep(database, blobs)
    assert list(blobs.digests()) == [] and rows(database) == set()
