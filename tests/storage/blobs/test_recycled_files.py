"""Files of contents that are gone are written over by new ones, and nobody sees that."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest
from blake3 import blake3

from grid.storage.blobs.buffers import WHOLE
from grid.storage.blobs.files import FileBlobStore
from grid.storage.blobs.recycling import RecycledFiles
from syft_ext.errors import NotFound


def put(blobs: FileBlobStore, content: bytes) -> str:
    """Store a content of which the length was known beforehand, as that of a report is."""
    with blobs.create(len(content)) as writer:
        writer.write(content)
        with writer.commit() as blob:
            return blob.digest


def drop(blobs: FileBlobStore, *digests: str) -> int:
    return blobs.delete_all(digests, lambda found: found, recycle=True)


def inode(blobs: FileBlobStore, digest: str) -> int:
    return blobs.path(digest).stat().st_ino


def recycled(blobs: FileBlobStore) -> set[int]:
    return {path.stat().st_ino for path in blobs.temporary.iterdir()}


def test_a_file_is_used_again_once_its_old_name_is_gone_from_the_disk(blobs: FileBlobStore) -> None:
    one = put(blobs, b"1" * 5000)
    file = inode(blobs, one)
    assert drop(blobs, one) == 1 and not blobs.exists(one) and recycled(blobs) == {file}
    two = put(blobs, b"2" * 5000)  # it syncs the directory, at its end
    assert inode(blobs, two) != file and recycled(blobs) == {file}
    other = put(blobs, b"3" * 5001)
    assert inode(blobs, other) != file, "another size"
    three = put(blobs, b"3" * 5000)
    assert inode(blobs, three) == file and recycled(blobs) == set()
    for digest, content in ((two, b"2" * 5000), (three, b"3" * 5000), (other, b"3" * 5001)):
        assert blobs.read_range(digest, 0) == content
    with pytest.raises(NotFound):
        blobs.read_range(one, 0)


@pytest.mark.parametrize("how", ["committed twice", "kept", "held"])
def test_what_others_may_read_is_never_written_over(blobs: FileBlobStore, how: str) -> None:
    """Who commits what is here already may open it, and be slow, after both have given it up."""
    content = b"x" * 5000
    digest = put(blobs, content)
    if how == "committed twice":
        put(blobs, content)
    elif how == "kept":
        blobs.store_unsynced(content).release()
    else:
        blobs.hold(digest).release()
    with blobs.open(digest) as reader:
        assert drop(blobs, digest) == 1 and recycled(blobs) == set()
        for number in range(3):
            put(blobs, b"%d" % number * 5000)
        assert reader.read() == content


def test_what_is_mapped_and_held_stays(blobs: FileBlobStore) -> None:
    digest = put(blobs, b"x" * 5000)
    view = blobs.map(digest, hold=True)
    assert drop(blobs, digest) == 0 and blobs.exists(digest)
    assert view == b"x" * 5000
    del view
    assert drop(blobs, digest) == 1
    with pytest.raises(NotFound):
        blobs.map(digest, hold=True)


def test_ordinary_deletion_and_large_contents_leave_nothing(blobs: FileBlobStore) -> None:
    digest = put(blobs, b"x" * 5000)
    assert blobs.delete_all([digest], lambda found: found) == 1
    large, empty = put(blobs, b"x" * (WHOLE + 1)), put(blobs, b"")
    assert drop(blobs, large, empty) == 2
    assert recycled(blobs) == set()


def test_no_more_is_kept_than_was_allowed_and_nothing_for_long(tmp_path: Path, blobs: FileBlobStore) -> None:
    blobs._recycled = RecycledFiles(blobs.temporary, files=3, size=100_000)
    many = [put(blobs, bytes([n]) * 5000) for n in range(5)]
    assert drop(blobs, *many) == 5 and len(recycled(blobs)) == 3
    blobs.trim()
    assert len(recycled(blobs)) == 3, "they may be needed"
    blobs.trim(everything=True)
    assert recycled(blobs) == set()
    blobs._recycled = RecycledFiles(blobs.temporary, files=30, size=12_000, idle=0.0)
    many = [put(blobs, bytes([n]) * 5000) for n in range(5)]
    assert drop(blobs, *many) == 5 and len(recycled(blobs)) == 2
    put(blobs, b"more")
    blobs.trim()
    assert recycled(blobs) == set()


def test_a_sweep_of_another_process_leaves_them_alone_and_one_after_death_does_not(
    blobs: FileBlobStore,
) -> None:
    drop(blobs, put(blobs, b"x" * 5000))
    other = FileBlobStore(blobs.root)
    other.sweep()
    assert len(recycled(blobs)) == 1
    blobs._recycled = RecycledFiles(blobs.temporary)  # the memory of a process that died, and its locks
    assert other.sweep() == 1 and recycled(blobs) == set()


def test_writers_readers_and_deleters_at_once(blobs: FileBlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal and different contents of one size; every view on a content is that content."""
    contents = [random.Random(n).randbytes(3000) for n in range(6)]
    wrong: list[str] = []
    reused: list[bool] = []
    stop = threading.Event()
    take = blobs._recycled.take
    monkeypatch.setattr(
        blobs._recycled, "take", lambda size: (file := take(size), reused.append(file is not None))[0]
    )

    def write(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(150):
            content = rng.choice([*contents, rng.randbytes(3000)])
            with blobs.create(len(content)) as writer:
                writer.write(content)
                with writer.commit() as blob:
                    if blobs.read_range(blob.digest, 0) != content:
                        wrong.append("read while it was held")

    def read(seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            digest = blake3(rng.choice(contents)).hexdigest()
            try:
                view = blobs.map(digest, hold=True)
            except NotFound:
                continue
            for _ in range(3):
                if blake3(view).hexdigest() != digest:
                    wrong.append("mapped and held")

    def delete() -> None:
        while not stop.is_set():
            drop(blobs, *blobs.digests())

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    others = [threading.Thread(target=read, args=(9,)), threading.Thread(target=delete)]
    for thread in (*writers, *others):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in others:
        thread.join()
    drop(blobs, *blobs.digests())
    blobs.trim(everything=True)
    assert any(reused)
    assert wrong == [] and list(blobs.digests()) == [] and recycled(blobs) == set()
    assert not [name for name in os.listdir("/proc/self/fd") if _leads_to(name, blobs.root)]


def _leads_to(descriptor: str, folder: Path) -> bool:
    """Of this process's open files only those of the store count: other tests leave theirs behind."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith(f"{folder}{os.sep}")
    except OSError:  # the listing's own
        return False
