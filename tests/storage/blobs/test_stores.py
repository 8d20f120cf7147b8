"""Every store of contents passes the same tests; and what only the bucket has: leases of processes that died."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from grid.storage.blobs.files import FileBlobStore
from grid.storage.blobs.interface import BlobStore
from grid.storage.blobs.registry import file_url, open_store
from syft_ext.errors import InvalidConfig, NotFound
from syft_ext.ids import new_id
from tests.storage.blobs.bucket import Bucket, BucketStore
from tests.storage.blobs.contract import StoreContract


class TestFiles(StoreContract):
    def make(self, root: Path) -> BlobStore:
        return open_store(file_url(root))


class TestBucket(StoreContract):
    def make(self, root: Path) -> BlobStore:
        return BucketStore(Bucket(root))


@pytest.fixture
def bucket_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket as an installed package would offer it."""
    info = tmp_path / "packages" / "bucket-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bucket\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[grid.content_stores]\n"
        "bucket = tests.storage.blobs.bucket:open_url\nbroken = tests.storage.blobs.bucket:nothing\n"
    )
    monkeypatch.syspath_prepend(str(info.parent))


def test_a_scheme_finds_its_store(tmp_path: Path, bucket_scheme: None) -> None:
    assert isinstance(open_store(f"bucket://{tmp_path}/b"), BucketStore)
    store = open_store(f"file://{tmp_path}/with%20room")
    assert isinstance(store, FileBlobStore) and store.root == tmp_path / "with room"
    assert isinstance(open_store(file_url(tmp_path / "with room"), make=False), FileBlobStore)


def test_what_no_store_is_for_is_refused_by_name(tmp_path: Path, bucket_scheme: None) -> None:
    with pytest.raises(InvalidConfig, match=r"'s3', there are: file, .*bucket"):
        open_store("s3://bucket/prefix")
    with pytest.raises(InvalidConfig, match="without a scheme"):
        open_store(str(tmp_path))
    with pytest.raises(InvalidConfig, match=r"'broken' .* cannot be loaded"):
        open_store("broken:///x")
    for url in ("file://elsewhere/x", "file:relative", "file:///x?y=1", "file:///x#y"):
        with pytest.raises(InvalidConfig, match="file:///absolute"):
            open_store(url)
    with pytest.raises(InvalidConfig, match="no user or password"):
        open_store("s3://key:secret@host/bucket")
    for scheme in ("file", "bucket"):
        with pytest.raises(NotFound):
            open_store(f"{scheme}://{tmp_path}/nothing", make=False)
    assert not (tmp_path / "nothing").exists(), "looking makes nothing"


def test_opening_a_store_removes_nothing(tmp_path: Path) -> None:
    store = FileBlobStore(tmp_path)
    (store.temporary / "left-by-a-crash").write_bytes(b"half")
    again = open_store(file_url(tmp_path))
    assert (store.temporary / "left-by-a-crash").exists()
    assert again.sweep() == 1


_HOLDER = """
import sys, time
from pathlib import Path
from syft_ext.ids import new_id
from tests.storage.blobs.bucket import Bucket, BucketStore
store = BucketStore(Bucket(Path(sys.argv[1])), lifetime=600.0, renewal=0.1)
blob = store.put([b"abc"])
writer = store.create()
writer.write(bytes(3 << 20))
print("held", flush=True)
time.sleep(600)
"""


def ends(store: BucketStore, leases: Sequence[str]) -> list[float]:
    """When they are over, by the clock."""
    return [float(store.bucket.get(key)) for key in leases]


def test_a_lease_lasts_as_long_as_its_process(tmp_path: Path) -> None:
    """It is renewed while that lives, also for much longer than one lasts, and lapses when it was killed."""
    root = Path(__file__).resolve().parents[3]
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, cwd=root
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        now = [time.time()]
        store = BucketStore(Bucket(tmp_path), clock=lambda: now[0])
        (digest,) = store.digests()
        leases = store.bucket.list("leases") + store.bucket.list("writers")
        first = ends(store, leases)
        assert len(first) == 2, "of the content, and of what is being written"
        while min(ends(store, leases)) <= max(first):
            time.sleep(0.05)
        now[0] = max(first)  # as they were made they are over
        assert not store.delete(digest) and store.sweep() == 0
        holder.kill()
        holder.wait()
        assert not store.delete(digest) and store.sweep() == 0, "nobody knows yet that it is dead"
        now[0] = max(ends(store, leases))
        assert store.delete(digest) and store.sweep() == 1, "the content it held, and what it was writing"
        assert store.bucket.list("parts") == []
    finally:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()


def test_a_notice_of_a_dead_process_lapses(tmp_path: Path) -> None:
    store = BucketStore(Bucket(tmp_path), lifetime=0.5)
    digest = store.put([b"abc"]).digest
    begun = time.monotonic()
    store.bucket.put(f"deleting/{digest}/{new_id()}", [repr(time.time() + 0.5).encode()])
    with store.hold(digest) as blob:
        assert blob.size == 3 and time.monotonic() - begun > 0.3, "it waited"
    assert store.delete(digest)


def test_who_took_too_long_to_decide_deletes_nothing(tmp_path: Path) -> None:
    store = BucketStore(Bucket(tmp_path), lifetime=0.2)
    digest = store.put([b"abc"]).digest

    def slow(held: list[str]) -> list[str]:
        time.sleep(0.15)
        return held

    assert store.delete_all([digest], slow) == 0 and store.exists(digest)
