from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from grid.storage.blobs.files import FileBlobStore
from grid.storage.objects.references import sweep
from grid.storage.objects.tables import UploadRow
from grid.storage.objects.uploads import Uploads
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock
from syft_ext.errors import BadRequest, Conflict, NotFound, TooLarge, TooManyRequests, Unavailable
from syft_ext.ids import new_id

CONTENT = os.urandom(1_000_000)
DIGEST = blake3(CONTENT).hexdigest()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def uploads(database: Database, blobs: FileBlobStore, clock: ManualClock) -> Uploads:
    def admit(session: Session, owner: str) -> None:
        mine = select(func.count(), func.coalesce(func.sum(UploadRow.size), 0)).where(
            UploadRow.owner == owner
        )
        number, size = session.execute(mine).one()
        if number > 3:
            raise TooManyRequests("more than 3 uploads")
        if size > 4_000_000:
            raise TooLarge("more than 4 MB of uploads")

    return Uploads(database, blobs, clock, max_size=2_000_000, admit=admit, lifetime=100.0)


def partial_files(blobs: FileBlobStore) -> list[Path]:
    return list((blobs.root / "uploads").iterdir())


def test_an_upload_in_pieces(
    uploads: Uploads, blobs: FileBlobStore, database: Database, clock: ManualClock
) -> None:
    upload = uploads.begin(len(CONTENT), owner="alice", digest=DIGEST)
    assert uploads.append(upload, 0, [CONTENT[:10], CONTENT[10:300_000]]) == 300_000
    restarted = Uploads(database, FileBlobStore(blobs.root), clock)
    assert restarted.status(upload).received == 300_000
    assert restarted.append(upload, 300_000, [memoryview(CONTENT)[300_000:]]) == len(CONTENT)
    blob = restarted.finish(upload)
    assert (blob.digest, blob.size) == (DIGEST, len(CONTENT))
    assert bytes(blobs.map(DIGEST)) == CONTENT and partial_files(blobs) == []
    assert uploads.status(upload).digest == DIGEST


def test_finish_can_be_repeated_until_the_upload_is_forgotten(
    uploads: Uploads, blobs: FileBlobStore, database: Database
) -> None:
    upload = uploads.begin(3, owner="alice")
    uploads.append(upload, 0, [b"abc"])
    uploads.finish(upload).release()
    assert sweep(database, blobs) == 0, "the upload itself keeps the content"
    with uploads.finish(upload) as blob:
        assert blobs.read_range(blob.digest, 0) == b"abc"
    with pytest.raises(Conflict):
        uploads.append(upload, 3, [b"d"])
    with database.transaction() as session:
        uploads.forget(session, upload)
    with pytest.raises(NotFound):
        uploads.finish(upload)
    assert sweep(database, blobs) == 1


def test_the_wrong_offset_is_told_the_right_one(uploads: Uploads) -> None:
    upload = uploads.begin(10, owner="alice")
    uploads.append(upload, 0, [b"abc"])
    for offset in (0, 2, 4):
        with pytest.raises(Conflict) as caught:
            uploads.append(upload, offset, [b"x"])
        assert caught.value.extra["received"] == 3
    with pytest.raises(Conflict) as caught:
        uploads.finish(upload)
    assert caught.value.extra["received"] == 3


def test_what_arrived_before_an_error_stays(uploads: Uploads) -> None:
    def broken() -> Iterator[bytes]:
        yield CONTENT[:400_000]
        yield CONTENT[400_000:400_005]
        raise ConnectionResetError

    upload = uploads.begin(len(CONTENT), owner="alice", digest=DIGEST)
    with pytest.raises(ConnectionResetError):
        uploads.append(upload, 0, broken())
    assert uploads.status(upload).received == 400_005
    uploads.append(upload, 400_005, [CONTENT[400_005:]])
    assert uploads.finish(upload).digest == DIGEST


def test_limits(uploads: Uploads) -> None:
    with pytest.raises(TooLarge):
        uploads.begin(2_000_001, owner="alice")
    with pytest.raises(BadRequest):
        uploads.begin(-1, owner="alice")
    upload = uploads.begin(2_000_000, owner="alice")
    uploads.begin(2_000_000, owner="alice")
    with pytest.raises(TooLarge):
        uploads.begin(1, owner="alice")
    uploads.begin(2_000_000, owner="bob")
    uploads.begin(0, owner="alice")
    with pytest.raises(TooManyRequests):
        uploads.begin(0, owner="alice")
    uploads.abort(upload)
    small = uploads.begin(5, owner="alice")
    with pytest.raises(TooLarge):
        uploads.append(small, 0, [b"123456"])
    assert uploads.status(small).received == 0


def test_more_than_the_disk_has_room_for(database: Database, blobs: FileBlobStore) -> None:
    with pytest.raises(Unavailable):
        Uploads(database, blobs, ManualClock()).begin(1 << 39, owner="alice")


def test_content_with_another_digest_is_refused(uploads: Uploads, blobs: FileBlobStore) -> None:
    upload = uploads.begin(3, owner="alice", digest=DIGEST)
    uploads.append(upload, 0, [b"abc"])
    with pytest.raises(BadRequest):
        uploads.finish(upload)
    with pytest.raises(NotFound):
        uploads.status(upload)
    assert partial_files(blobs) == [] and list(blobs.digests()) == []


def test_unknown_and_malicious_ids(uploads: Uploads) -> None:
    for call in (uploads.status, uploads.finish, uploads.abort, lambda u: uploads.append(u, 0, [b""])):
        with pytest.raises(NotFound):
            call(new_id())
        for bad in ("../../../etc/passwd", "", "x" * 32, "A" * 32):
            with pytest.raises(BadRequest):
                call(bad)
    with pytest.raises(BadRequest):
        uploads.begin(1, owner="alice", digest="../x")


def test_two_appends_at_once_exclude_each_other(uploads: Uploads) -> None:
    upload = uploads.begin(600_000, owner="alice")

    def chunks() -> Iterator[bytes]:
        yield b"x" * 300_000
        with pytest.raises(Conflict):
            uploads.append(upload, 300_000, [b"y"])
        with pytest.raises(Conflict):
            uploads.finish(upload)
        yield b"x" * 300_000

    assert uploads.append(upload, 0, chunks()) == 600_000
    uploads.finish(upload).release()


def test_an_abort_while_bytes_arrive(uploads: Uploads, blobs: FileBlobStore) -> None:
    upload = uploads.begin(600_000, owner="alice")

    def chunks() -> Iterator[bytes]:
        yield b"x" * 300_000
        uploads.abort(upload)
        yield b"x" * 300_000

    uploads.append(upload, 0, chunks())
    with pytest.raises(NotFound):
        uploads.finish(upload)
    assert partial_files(blobs) == []


def test_an_aborted_upload_leaves_nothing(uploads: Uploads, blobs: FileBlobStore, database: Database) -> None:
    open_one, finished = uploads.begin(3, owner="alice"), uploads.begin(3, owner="alice")
    for upload in (open_one, finished):
        uploads.append(upload, 0, [b"abc"])
    uploads.finish(finished).release()
    uploads.abort(open_one)
    uploads.abort(finished)
    assert partial_files(blobs) == [] and list(blobs.digests()) == []
    with pytest.raises(NotFound):
        uploads.abort(open_one)


def test_uploads_expire(uploads: Uploads, blobs: FileBlobStore, clock: ManualClock) -> None:
    old, finished, active = (uploads.begin(3, owner="alice") for _ in range(3))
    for upload in (old, finished, active):
        uploads.append(upload, 0, [b"ab"])
    uploads.append(finished, 2, [b"c"])
    uploads.finish(finished).release()
    clock.advance(99)
    assert uploads.sweep() == 0
    uploads.append(active, 2, [b"c"])
    (blobs.root / "uploads" / new_id()).write_bytes(b"left by a crash")
    clock.advance(2)
    assert uploads.sweep() == 3, "two that expired, and what a crash left"
    assert [file.name for file in partial_files(blobs)] == [active]
    assert list(blobs.digests()) == []
    assert uploads.status(active).received == 3
