"""Contents that many ask for at the same time are read once, and only so many of them stay in memory."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from grid.catalogue.content import SHARED, SharedContents
from grid.storage.blobs.files import FileBlobStore
from syft_ext.errors import NotFound
from syft_ext.messages import Empty


class Counting(FileBlobStore):
    """Counts what is read from the disk."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: list[str] = []

    def read_range(self, digest: str, start: int, stop: int | None = None) -> bytes:
        self.reads.append(digest)
        return super().read_range(digest, start, stop)


@pytest.fixture
def blobs(tmp_path: Path) -> Counting:
    return Counting(tmp_path)


def whole(shared: SharedContents, digest: str, size: int) -> bytes:
    download = shared.download(digest, size, Empty())
    assert (download.digest, download.size) == (digest, size)
    return b"".join(bytes(piece) for piece in download.chunks(0, size))


def test_fifty_workers_cost_one_read(blobs: Counting) -> None:
    content = bytes(range(256)) * 1000
    digest = blobs.put([content]).digest
    shared = SharedContents(blobs)
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(whole(shared, digest, len(content)))) for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [content] * 50 and blobs.reads == [digest]
    part = shared.download(digest, len(content), Empty()).chunks(10, 20)
    assert b"".join(bytes(piece) for piece in part) == content[10:20]


def test_what_was_just_made_is_not_read(blobs: Counting) -> None:
    shared = SharedContents(blobs, kept=2500)
    for number in range(5):
        content = bytearray([number]) * 1000
        digest = blobs.store_unsynced(content).digest
        for _ in range(2):
            shared.put(digest, content)
        assert whole(shared, digest, 1000) == content
    assert blobs.reads == []
    large = blobs.put([b"x" * (SHARED + 1)])
    shared.put(large.digest, b"x" * (SHARED + 1))
    assert whole(shared, digest, 1000) == content, "it displaces nothing"
    assert blobs.reads == []


def test_the_latest_stay_and_large_ones_never(blobs: Counting) -> None:
    shared = SharedContents(blobs, kept=2500)
    contents = [bytes([number]) * 1000 for number in range(3)]
    digests = [blobs.put([content]).digest for content in contents]
    for _ in range(2):
        for digest, content in zip(digests, contents, strict=True):
            assert whole(shared, digest, 1000) == content
    assert blobs.reads == digests * 2, "the third displaces the first, the first the second …"
    assert whole(shared, digests[2], 1000) == contents[2]
    assert whole(shared, digests[1], 1000) == contents[1]
    assert len(blobs.reads) == 6
    large = b"x" * (SHARED + 1)
    digest = blobs.put([large]).digest
    assert whole(shared, digest, len(large)) == large
    assert len(blobs.reads) == 6, "it streams from its file"
    with pytest.raises(NotFound):
        shared.download("0" * 64, 10, Empty())


def test_the_memory_of_what_went_is_used_again_unless_somebody_reads_it(blobs: Counting) -> None:
    shared = SharedContents(blobs, kept=2500)
    made: list[bytearray] = []
    reader = iter(())
    for number in range(12):
        content = shared.room(1000)
        assert not any(content is one for one in made[-2:]), "what is kept is not written over"
        content[:] = bytes([number]) * 1000
        digest = blobs.store_unsynced(content).digest
        shared.put(digest, content)
        made.append(content)
        assert whole(shared, digest, 1000) == content
        if number == 3:
            reader = shared.download(digest, 1000, Empty()).chunks(0, 1000)
            piece = next(iter(reader))
    assert len({id(content) for content in made}) <= 6
    assert bytes(piece) == bytes([3]) * 1000, "it is still being sent"
    assert len(shared.room(999)) == 999
