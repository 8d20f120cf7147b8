from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grid.storage.blobs.buffers import WHOLE, Buffers
from grid.storage.blobs.files import FileBlobStore
from grid.storage.blobs.interface import BlobWriter
from syft_ext.errors import BadRequest, NotFound, Unavailable
from syft_ext.tensors import decode_tensors, encode_tensors
from syft_ext.transport import PayloadReader


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(
    chunks=st.lists(st.binary(max_size=100) | st.integers(0, 300).map(lambda n: b"x" * n * 1024), max_size=6)
)
def test_what_is_written_is_what_is_read(blobs: FileBlobStore, chunks: list[bytes]) -> None:
    content = b"".join(chunks)
    with blobs.put(chunks) as blob:
        assert blob.digest == blake3(content).hexdigest()
        assert blob.size == blobs.size(blob.digest) == len(content)
    assert bytes(blobs.map(blob.digest)) == content
    with blobs.open(blob.digest) as file:
        assert file.read() == content
    assert names(blobs.temporary) == set()
    assert (blobs.contents / blob.digest).stat().st_mode & 0o077 == 0, "only its owner can read it"


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(
    chunks=st.lists(st.binary(max_size=50) | st.integers(0, 900).map(lambda n: b"y" * n * 1024), max_size=6),
    announced=st.integers(0, 3 << 20) | st.none(),
    streamed=st.booleans(),
    known=st.booleans(),
)
def test_what_is_received_is_what_is_read(
    blobs: FileBlobStore, chunks: list[bytes], announced: int | None, streamed: bool, known: bool
) -> None:
    """Whether it was announced or not, rightly or wrongly, in memory or piece by piece."""
    content = b"".join(chunks)
    body = PayloadReader.of(content) if streamed else chunks
    with blobs.create(announced) as writer:
        seen = b"".join(bytes(piece) for piece in writer.receive(body))
        blob = writer.commit(blake3(content).hexdigest() if known else None)
    with blob:
        assert seen == content
        assert (blob.digest, blob.size) == (blake3(content).hexdigest(), len(content))
        assert bytes(blobs.map(blob.digest)) == content
    assert names(blobs.temporary) == set()


def test_a_small_content_that_is_not_what_its_digest_says_leaves_nothing(blobs: FileBlobStore) -> None:
    with pytest.raises(BadRequest, match="digest"), blobs.create(3) as writer:
        writer.write(b"abc")
        writer.commit("0" * 64)
    assert names(blobs.temporary) == names(blobs.contents) == set()


def test_buffers_are_used_again_and_bounded(blobs: FileBlobStore) -> None:
    blobs.buffers = Buffers(size=1000, limit=2000, idle=1000, pause=0.2, step=1000)
    for number in range(20):
        blobs.put([b"%d" % number]).release()
        with pytest.raises(ZeroDivisionError), blobs.create(10) as writer:
            writer.write(b"dropped")
            raise ZeroDivisionError
        with blobs.create(10) as writer:
            writer.write(b"%d" % number * 600)  # more than was announced
            writer.commit().release()
    first, second = blobs.buffers.take(1), blobs.buffers.take(1)
    assert first is not None and second is not None and blobs.buffers.take(1) is None
    with blobs.create(5) as writer:  # none is left: it goes to the disk piece by piece
        writer.write(b"hello")
        blob = writer.commit()
    with blobs.open(blob.digest) as file:
        assert file.read() == b"hello"
    for buffer in (first, second):
        blobs.buffers.give(buffer)
    assert blobs.buffers.take(1) is second and blobs.buffers.take(1) is first, "a burst finds both"
    for buffer in (first, second):
        blobs.buffers.give(buffer)
    time.sleep(0.25)
    blobs.sweep()
    assert blobs.buffers.take(1) is second, "one is kept"
    assert blobs.buffers.take(1) is not first


def test_buffers_are_as_large_as_their_contents() -> None:
    buffers = Buffers(size=40, limit=100, idle=0, step=10)
    taken = [buffers.take(size) for size in (0, 10, 11, 40)]
    assert [len(buffer or b"") for buffer in taken] == [10, 10, 20, 40]
    assert buffers.take(21) is None
    for buffer in taken:
        assert buffer is not None
        buffers.give(buffer)
    assert buffers.take(15) is taken[2], "one of its size"
    assert buffers.take(31) is taken[3]
    other = buffers.take(40)
    assert other is not None and buffers.take(1) is None, "the small ones made room for it"
    buffers.give(other)
    buffers.trim(everything=True)
    again = buffers.take(40)
    assert again is not None and again is not other


def test_a_content_that_is_in_memory_is_stored_as_any_other(blobs: FileBlobStore) -> None:
    for content in (b"", bytearray(b"model" * 1000)):
        with blobs.store_unsynced(content) as blob, blobs.put([content]) as other:
            assert (blob.digest, blob.size) == (other.digest, other.size)
            assert bytes(blobs.map(blob.digest)) == content
    assert names(blobs.temporary) == set()


def test_ranged_reads(blobs: FileBlobStore) -> None:
    blob = blobs.put([b"0123456789"])
    assert blobs.read_range(blob.digest, 2, 5) == b"234"
    assert blobs.read_range(blob.digest, 7) == b"789"
    assert blobs.read_range(blob.digest, 10) == blobs.read_range(blob.digest, 3, 3) == b""
    for start, stop in ((-1, 2), (3, 2), (0, 11), (11, None)):
        with pytest.raises(BadRequest):
            blobs.read_range(blob.digest, start, stop)


@pytest.mark.parametrize(
    "digest", ["../../etc/passwd", "", ".", "a" * 63, "A" * 64, "a" * 64 + "/", "a" * 63 + "\n"]
)
def test_what_is_no_digest_names_no_file(blobs: FileBlobStore, digest: str) -> None:
    for call in (blobs.open, blobs.map, blobs.size, blobs.exists, blobs.delete, blobs.hold, blobs.path):
        with pytest.raises(BadRequest):
            call(digest)
    with pytest.raises(BadRequest):
        blobs.read_range(digest, 0, 1)


def test_what_is_missing_is_not_found(blobs: FileBlobStore) -> None:
    for call in (blobs.open, blobs.map, blobs.size, blobs.hold):
        with pytest.raises(NotFound):
            call("a" * 64)
    assert not blobs.exists("a" * 64) and not blobs.delete("a" * 64)


def test_an_abandoned_writer_leaves_nothing(blobs: FileBlobStore) -> None:
    with pytest.raises(ZeroDivisionError), blobs.create() as writer:
        writer.write(b"x" * 500_000)
        raise ZeroDivisionError
    assert names(blobs.temporary) == names(blobs.contents) == set()
    for call in (lambda: writer.write(b"x"), writer.commit):
        with pytest.raises(ValueError, match="closed"):
            call()
    writer.abort()


def test_content_with_another_digest_is_refused(blobs: FileBlobStore) -> None:
    with pytest.raises(BadRequest):
        blobs.put([b"abc"], digest="a" * 64)
    assert names(blobs.temporary) == names(blobs.contents) == set()
    assert blobs.put([b"abc"], digest=blake3(b"abc").hexdigest()).size == 3


def test_equal_contents_are_one_file(blobs: FileBlobStore) -> None:
    first = blobs.put([b"abc"])
    inode = blobs.path(first.digest).stat().st_ino
    second = blobs.put([b"a", b"bc"])
    assert first.digest == second.digest and blobs.path(first.digest).stat().st_ino == inode
    assert list(blobs.digests()) == [first.digest] and names(blobs.temporary) == set()


def test_a_held_blob_is_not_deleted(blobs: FileBlobStore) -> None:
    blob = blobs.put([b"abc"])
    with blobs.hold(blob.digest):
        blob.release()
        assert not blobs.delete(blob.digest)
    assert not blobs.delete(blob.digest, confirm=lambda: False)
    assert blobs.delete(blob.digest) and not blobs.exists(blob.digest)


def test_a_blob_that_is_garbage_is_not_held(blobs: FileBlobStore) -> None:
    digest = blobs.put([b"abc"]).digest
    assert blobs.delete(digest)


def test_a_mapping_outlives_deletion_and_is_private(blobs: FileBlobStore) -> None:
    content = encode_tensors({"w": torch.zeros(1000)})
    digest = blobs.put([content]).digest
    tensor = decode_tensors(blobs.map(digest))["w"]
    tensor += 1  # on read-only pages this would kill the process
    assert bytes(blobs.map(digest)) == content
    again = decode_tensors(blobs.map(digest))["w"]
    assert blobs.delete(digest)
    assert again.sum() == 0 and tensor.sum() == 1000


def test_a_tensor_is_read_without_copying_it(blobs: FileBlobStore) -> None:
    digest = blobs.put([encode_tensors({"w": torch.ones(1 << 20)})]).digest
    tensor = decode_tensors(blobs.map(digest))["w"]
    assert tensor.sum() == 1 << 20  # all pages are touched
    first, last = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes - 1
    (found,) = [
        line
        for line in Path("/proc/self/maps").read_text().splitlines()
        if int(line.split("-")[0], 16) <= first < int(line.split("-")[1].split()[0], 16)
    ]
    assert last < int(found.split("-")[1].split()[0], 16)
    assert found.endswith(digest), "its memory is the file's"


def test_leftovers_are_swept_at_start_and_living_writers_are_not(blobs: FileBlobStore) -> None:
    (blobs.temporary / "left-by-a-crash").write_bytes(b"half")
    with blobs.create() as writer:
        writer.write(b"x" * 300_000)
        again = FileBlobStore(blobs.root)
        assert len(names(blobs.temporary)) == 1
        assert again.sweep() == 0
        assert writer.commit().size == 300_000


def test_writers_and_a_deleter_race_for_one_content(blobs: FileBlobStore) -> None:
    """Whoever holds a blob finds its content there, whatever the deleter does."""
    lost: list[str] = []
    stop = threading.Event()

    def write() -> None:
        for _ in range(40):
            with blobs.put([b"the same for all"]) as blob:
                for _ in range(3):
                    if not blobs.exists(blob.digest):
                        lost.append(blob.digest)

    def delete() -> None:
        digest = blake3(b"the same for all").hexdigest()
        while not stop.is_set():
            blobs.delete(digest)
            time.sleep(0.0002)

    writers = [threading.Thread(target=write) for _ in range(4)]
    deleter = threading.Thread(target=delete)
    for thread in (*writers, deleter):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    deleter.join()
    assert lost == [] and names(blobs.temporary) == set()


def test_concurrent_commits_share_their_syncs(blobs: FileBlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (syncs.append(fd), time.sleep(0.02), real(fd)))
    barrier = threading.Barrier(30)

    def put(number: int) -> None:
        with blobs.create() as writer:
            writer.write(b"%d" % number)
            barrier.wait()
            writer.commit()

    threads = [threading.Thread(target=put, args=(n,)) for n in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(blobs.digests())) == 30
    assert len(syncs) <= 5, "the directory was synced once for each group"


@pytest.mark.parametrize("size", [0, 1000, 3 << 20])
@pytest.mark.parametrize("announced", [True, False])
def test_a_content_is_looked_at_before_it_gets_its_name(
    blobs: FileBlobStore, size: int, announced: bool
) -> None:
    content = os.urandom(size)
    seen: list[bytes] = []

    def write() -> BlobWriter:
        writer = blobs.create(size if announced else None)
        assert writer.whole == (announced and size <= WHOLE)
        writer.write(content)
        return writer

    def refuse(view: memoryview) -> None:
        seen.append(bytes(view))
        raise BadRequest("not this one")

    with write() as writer, pytest.raises(BadRequest, match="not this one"):
        writer.commit(check=refuse)
    assert seen == [content] and list(blobs.digests()) == [] and names(blobs.temporary) == set()
    with write() as writer, writer.commit(check=lambda view: seen.append(bytes(view))) as blob:
        assert seen == [content, content] and blob.digest == blake3(content).hexdigest()


def test_what_is_kept_is_durable_before_anything_is_deleted(
    blobs: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = blobs.put([b"a report"]).digest
    real, order = os.fdatasync, list[str]()

    def fdatasync(fd: int) -> None:
        time.sleep(0.05)
        real(fd)
        order.append("synced")

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with blobs.store_unsynced(b"a model") as blob:
        assert blobs.read_range(blob.digest, 0) == b"a model", "it is here at once"
        assert order == []
    assert blobs.delete_all([other], lambda found: (order.append("deleting"), found)[1]) == 1
    assert order == ["synced", "deleting"]
    with pytest.raises(ValueError, match="larger"):
        blobs.store_unsynced(bytes(WHOLE + 1))


@pytest.mark.parametrize("sync", ["fdatasync", "fsync"])  # of the content, of the directory with its name
def test_nothing_is_deleted_any_more_when_the_disk_has_failed(
    blobs: FileBlobStore, sync: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = blobs.put([b"a report"]).digest

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, sync, fail)
        blobs.store_unsynced(b"a model").release()
        deadline = time.monotonic() + 60
        while "is not durable" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.001)
    with pytest.raises(Unavailable, match="disk failed"):
        blobs.delete(other)
    assert blobs.exists(other) and "is not durable" in caplog.text
    with pytest.raises(Unavailable, match="disk failed"):
        blobs.check()


@pytest.mark.parametrize("keep", [True, False])
def test_what_a_power_cut_left_under_a_name_is_not_trusted(blobs: FileBlobStore, keep: bool) -> None:
    content = os.urandom(5000)
    digest = blake3(content).hexdigest()
    path = blobs.path(digest)
    for damaged in (bytes(5000), content[:10], b"", content + b"x"):
        path.write_bytes(damaged)
        with blobs.store_unsynced(content) if keep else blobs.put([content]) as blob:
            assert blob.digest == digest and path.read_bytes() == content
        path.unlink()


def test_an_error_of_one_file_is_not_the_others(
    blobs: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing sync refuses its own content, and nothing of it becomes visible."""
    real, bad = os.fdatasync, blake3(b"bad").hexdigest()
    with blobs.create() as good, blobs.create() as broken:
        good.write(b"good")
        broken.write(b"bad")

        def fdatasync(fd: int) -> None:
            if os.pread(fd, 10, 0) == b"bad":
                raise OSError(5, "Input/output error")
            real(fd)

        monkeypatch.setattr(os, "fdatasync", fdatasync)
        with pytest.raises(OSError, match="Input/output"):
            broken.commit()
        assert good.commit().size == 4
    assert not blobs.exists(bad) and names(blobs.temporary) == set()


FULL = """
import os, resource, signal, sys
from pathlib import Path
from grid.storage.blobs.files import FileBlobStore
from grid.storage.blobs.interface import BlobWriter
from syft_ext.errors import Unavailable

root, limit = Path(sys.argv[1]), int(sys.argv[2])
blobs = FileBlobStore(root)
blobs.put([b"before"]).release()
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    blobs.put(os.urandom(1 << 20) for _ in range(40))
except Unavailable as error:
    print(error, error.extra["reason"])
assert not list(blobs.temporary.iterdir()) and len(list(blobs.digests())) == 1
blobs.put([b"after"])
"""


def test_a_file_size_limit_is_a_clear_error(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path), str(3 << 20)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert (done.stdout, done.stderr) == ("the node's disk is full EFBIG\n", "")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    return directory


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tiny_disk: Path) -> None:
    try:
        command = [sys.executable, "-c", FULL, str(tiny_disk), "0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert (done.stdout, done.stderr) == ("the node's disk is full ENOSPC\n", "")
    finally:
        subprocess.run(["umount", str(tiny_disk)], check=True)


def test_a_write_error_closes_the_writer(blobs: FileBlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was cut short must not be committed by a caller that goes on."""

    def write(fd: int, data: memoryview) -> int:
        raise OSError(28, "No space left on device")

    with blobs.create() as writer:
        monkeypatch.setattr(os, "write", write)
        with pytest.raises(Unavailable):
            writer.write(b"x" * 500_000)
        monkeypatch.undo()
        with pytest.raises(ValueError, match="closed"):
            writer.commit()


def test_memory_does_not_grow_with_the_content(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from grid.storage.blobs.files import FileBlobStore
from grid.storage.blobs.interface import BlobWriter
blobs, chunk = FileBlobStore(Path(sys.argv[1])), bytes(1 << 20)
blobs.put([chunk] * 4)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
blob = blobs.put(chunk for _ in range(300))
print(blob.size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=240, check=True
    )
    size, grown = map(int, done.stdout.split())
    assert size == 300 << 20 and grown < 16 << 10, "kB"


def test_content_larger_than_the_address_space_limit_for_data_can_be_mapped(blobs: FileBlobStore) -> None:
    """A private mapping reserves nothing: it may be larger than memory and swap together."""
    digest = "a" * 64
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 4
    with open(blobs.contents / digest, "wb") as file:
        file.truncate(size)
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    view = blobs.map(digest)
    assert len(view) == size and view[size - 1] == 0
