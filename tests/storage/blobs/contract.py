"""What every store of contents has to do. A test class for one derives from :class:`StoreContract`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from blake3 import blake3

from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.references import collect, record, sweep
from grid.storage.objects.store import DiskObjectStore
from grid.storage.objects.uploads import Uploads
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock
from syft_ext.errors import BadRequest, Conflict, NotFound
from syft_ext.ids import new_id
from syft_ext.store import StorableObject
from syft_ext.tensors import decode_tensors, encode_tensors
from syft_ext.transport import PayloadReader

MEGABYTES = bytes(range(256)) * (10 << 10)  # 2.5 MiB: not small, and several parts


class StoreContract:
    """The fixture ``store`` is an empty store; ``again`` opens the same one, as another process would."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        return self.make(tmp_path / "store")

    @pytest.fixture
    def again(self, tmp_path: Path, store: BlobStore) -> BlobStore:
        return self.make(tmp_path / "store")

    def make(self, root: Path) -> BlobStore:
        raise NotImplementedError

    def delete(self, store: BlobStore, *digests: str) -> int:
        return store.delete_all(digests, lambda held: held)

    # -- writing and reading

    @pytest.mark.parametrize("content", [b"", b"x", b"y" * 300_000, MEGABYTES], ids=len)
    @pytest.mark.parametrize("announced", [None, 3, 4 << 20])
    def test_what_is_written_is_what_is_read(
        self, store: BlobStore, again: BlobStore, content: bytes, announced: int | None
    ) -> None:
        with store.create(announced) as writer:
            seen = [bytes(piece) for piece in writer.receive(PayloadReader.of(content))]
            assert writer.size == len(content) and b"".join(seen) == content
            blob = writer.commit(blake3(content).hexdigest())
        with blob:
            assert (blob.digest, blob.size) == (blake3(content).hexdigest(), len(content))
        for each in (store, again):
            assert each.exists(blob.digest) and each.size(blob.digest) == len(content)
            assert list(each.digests()) == [blob.digest]
            assert bytes(each.map(blob.digest)) == bytes(each.map(blob.digest, hold=True)) == content
            with each.open(blob.digest) as reader, reader.file() as file:
                assert reader.size == len(content)
                assert file.fileno() >= 0 and file.read() == content
                assert reader.read() == content and reader.read(1, 3) == content[1:3]
                assert reader.read(len(content) - 1 if content else 0, len(content) + 10) == content[-1:]

    def test_ranges(self, store: BlobStore) -> None:
        digest = store.put([b"01234", b"56789"]).digest
        assert store.read_range(digest, 2, 5) == b"234" and store.read_range(digest, 7) == b"789"
        for start, stop in ((-1, 2), (3, 2), (0, 11), (11, None)):
            with pytest.raises(BadRequest):
                store.read_range(digest, start, stop)

    def test_what_is_not_as_it_should_be_leaves_nothing(self, store: BlobStore) -> None:
        def refuse(content: memoryview) -> None:
            assert bytes(content) == b"abc"
            raise BadRequest("not this")

        with pytest.raises(BadRequest, match="digest"):
            store.put([b"abc"], digest="a" * 64)
        for size in (3, None):
            with pytest.raises(BadRequest, match="not this"), store.create(size) as writer:
                writer.write(b"abc")
                writer.commit(check=refuse)
        with pytest.raises(ZeroDivisionError), store.create() as writer:
            writer.write(MEGABYTES)
            raise ZeroDivisionError
        with pytest.raises(ValueError, match="closed"):
            writer.write(b"x")
        with pytest.raises(ValueError, match="closed"):
            writer.commit()
        assert list(store.digests()) == [] and store.sweep() == 0

    def test_equal_contents_are_one(self, store: BlobStore, again: BlobStore) -> None:
        first, second = store.put([b"abc"]), again.put([b"a", b"bc"])
        assert first.digest == second.digest and list(store.digests()) == [first.digest]

    @pytest.mark.parametrize("digest", ["../../etc/passwd", "", "a" * 63, "A" * 64, "a" * 63 + "\n"])
    def test_what_is_no_digest_names_nothing(self, store: BlobStore, digest: str) -> None:
        for call in (store.open, store.map, store.size, store.exists, store.delete, store.hold):
            with pytest.raises(BadRequest):
                call(digest)

    def test_what_is_missing_is_not_found(self, store: BlobStore) -> None:
        for call in (store.open, store.map, store.size, store.hold, lambda d: store.open(d, hold=True)):
            with pytest.raises(NotFound):
                call("a" * 64)
        assert not store.exists("a" * 64) and not store.delete("a" * 64)

    def test_a_map_is_private_and_outlives_deletion(self, store: BlobStore) -> None:
        content = encode_tensors({"w": torch.zeros(1000)})
        digest = store.put([content]).digest
        tensor = decode_tensors(store.map(digest))["w"]
        tensor += 1
        assert bytes(store.map(digest)) == content
        again = decode_tensors(store.map(digest, hold=True))["w"]
        del tensor
        view = store.map(digest)
        assert store.delete(digest) or again is not None
        assert bytes(view) == content and again.sum() == 0

    # -- identity

    def test_the_identity_is_put_once(self, store: BlobStore, again: BlobStore) -> None:
        assert store.identity() is None
        first, second = new_id(), new_id()
        assert store.identity(first) == first
        assert again.identity(second) == again.identity() == first
        assert list(store.digests()) == []

    def test_of_many_that_propose_one_wins(self, tmp_path: Path) -> None:
        said: list[str | None] = []

        def propose() -> None:
            said.append(self.make(tmp_path / "store").identity(new_id()))

        threads = [threading.Thread(target=propose) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(said) == 8 and len(set(said)) == 1

    # -- how far its database had come

    def test_what_was_reached_moves_forward_only(self, store: BlobStore, again: BlobStore) -> None:
        ours, other = new_id(), new_id()
        assert store.reached() is None
        assert store.reached(ours, 3) == again.reached() == (ours, 3)
        assert again.reached(ours, 2) == again.reached(ours, 3) == (ours, 3)
        assert again.reached(ours, 40) == store.reached() == (ours, 40)
        assert store.reached(other, 50) == store.reached() == (ours, 40), "another database's note stays"
        assert store.reached(other, 0, anew=True) == again.reached() == (other, 0)
        assert again.reached(ours, 99) == (other, 0) and again.reached(other, 1) == store.reached() == (
            other,
            1,
        )
        assert list(store.digests()) == [] and store.sweep() == 0 and store.reached() == (other, 1)

    def test_of_many_that_move_it_the_furthest_stays(self, tmp_path: Path) -> None:
        ours = new_id()
        said: list[int] = []

        def move(first: int) -> None:
            each = self.make(tmp_path / "store")
            for epoch in range(first, 40, 4):
                stays = each.reached(ours, epoch)
                assert stays is not None and stays[0] == ours
                said.append(stays[1] - epoch)

        threads = [threading.Thread(target=move, args=(first,)) for first in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(said) == 39 and min(said) >= 0
        assert self.make(tmp_path / "store").reached() == (ours, 39)

    # -- holding and deleting

    def test_what_is_held_is_not_deleted(self, store: BlobStore, again: BlobStore) -> None:
        blob = store.put([b"abc"])
        asked: list[list[str]] = []

        def confirm(held: list[str]) -> list[str]:
            asked.append(held)
            return held

        assert again.delete_all([blob.digest], confirm) == 0
        with again.hold(blob.digest):
            blob.release()
            assert store.delete_all([blob.digest], confirm) == 0
        with store.open(blob.digest, hold=True) as reader:
            assert again.delete_all([blob.digest], confirm) == 0
            assert reader.read() == b"abc"
        assert all(found == [] for found in asked), "what is held is not even asked about"
        assert not store.delete(blob.digest, confirm=lambda: False)
        assert store.delete_all([blob.digest, "0" * 64], confirm) == 1 and asked[-1] == [blob.digest]
        assert not again.exists(blob.digest)

    def test_garbage_holds_nothing(self, store: BlobStore) -> None:
        digest = store.put([b"abc"]).digest
        store.open(digest, hold=True)
        assert store.delete(digest)

    def test_who_reads_goes_on_when_others_delete(self, store: BlobStore, again: BlobStore) -> None:
        digest = store.put([MEGABYTES]).digest
        with store.open(digest) as reader:
            assert reader.read(0, 100) == MEGABYTES[:100]
            again.delete(digest)  # now, or when the reader is done
            assert reader.read(1 << 20) == MEGABYTES[1 << 20 :]
            with reader.file() as file:
                assert file.read() == MEGABYTES

    def test_only_the_confirmed_are_deleted(self, store: BlobStore) -> None:
        one, two, three = (store.put([text]).digest for text in (b"1", b"2", b"3"))
        assert store.delete_all([one, two, three], lambda held: {two, "f" * 64}, recycle=True) == 1
        assert set(store.digests()) == {one, three}

    def test_a_refused_confirmation_deletes_nothing(self, store: BlobStore) -> None:
        digest = store.put([b"1"]).digest

        def fail(held: list[str]) -> list[str]:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            store.delete_all([digest], fail)
        assert bytes(store.map(digest)) == b"1" and store.delete(digest)

    def test_writers_readers_and_deleters_race(self, store: BlobStore, again: BlobStore) -> None:
        """Whoever holds a content finds it there, whatever the others do."""
        wrong: list[Any] = []
        stop = threading.Event()
        digest = blake3(b"the same for all").hexdigest()

        def write() -> None:
            for _ in range(25):
                with store.put([b"the same for all"]) as blob:
                    for _ in range(3):
                        if not again.exists(blob.digest):
                            wrong.append("a held content went")

        def read() -> None:
            while not stop.is_set():
                try:
                    with again.open(digest, hold=True) as reader:
                        if reader.read() != b"the same for all":
                            wrong.append("something else was read")
                except NotFound:
                    pass

        def delete() -> None:
            while not stop.is_set():
                store.delete(digest)
                time.sleep(0.0005)

        writers = [threading.Thread(target=write) for _ in range(3)]
        others = [threading.Thread(target=work) for work in (read, read, delete)]
        for thread in (*writers, *others):
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        for thread in others:
            thread.join()
        assert wrong == []

    def test_check_and_sweep_of_a_store_that_is_well(self, store: BlobStore) -> None:
        digest = store.put([b"abc"]).digest
        with store.create() as writer:
            writer.write(MEGABYTES)
            store.check()
            assert store.sweep() == 0, "the writer lives"
            other = writer.commit().digest
        assert set(store.digests()) == {digest, other}

    # -- what only some can do

    def test_capabilities_are_declared(self, store: BlobStore) -> None:
        if store.unsynced is not None:
            blob = store.unsynced.store_unsynced(b"abc")
            assert store.unsynced.unsynced_limit >= 3 and bytes(store.map(blob.digest)) == b"abc"
        with store.create(3) as writer:
            writer.write(b"123")
            digest = writer.commit(remember=True).digest
        assert store.cache.recent(digest) in (None, b"123")
        store.cache.forget([digest, "0" * 64])
        assert store.cache.recent(digest) is None
        store.cache.drop_page_cache([digest, "0" * 64])
        store.cache.trim(everything=True)
        assert bytes(store.map(digest)) == b"123"

    # -- contents in parts

    def test_a_content_in_parts(self, store: BlobStore, again: BlobStore) -> None:
        name = new_id()
        with store.partials.open(name) as partial:
            partial.append(memoryview(MEGABYTES)[: 1 << 20])
            with pytest.raises(Conflict):
                again.partials.open(name)
        assert again.partials.size(name) == 1 << 20
        with again.partials.open(name) as partial:
            assert partial.size == 1 << 20
            partial.append(memoryview(MEGABYTES)[1 << 20 :])
            with pytest.raises(BadRequest):
                partial.finish("a" * 64)
        digest = blake3(MEGABYTES).hexdigest()
        with store.partials.open(name) as partial:
            with partial.finish(digest) as blob:
                assert (blob.digest, blob.size) == (digest, len(MEGABYTES))
                assert not again.delete(digest)
            store.partials.discard(name)
        assert store.partials.size(name) == 0 and bytes(again.map(digest)) == MEGABYTES

    def test_discarded_and_forgotten_parts(self, store: BlobStore) -> None:
        gone, kept, left, open_one = (new_id() for _ in range(4))
        for name in (gone, kept, left):
            with store.partials.open(name) as partial:
                partial.append(memoryview(b"abc"))
        with store.partials.open(gone) as partial:
            store.partials.discard(gone)
            with pytest.raises(NotFound):
                partial.finish()
        with store.partials.open(open_one) as partial:
            partial.append(memoryview(b"abc"))
            assert store.partials.sweep(lambda name: name == kept) == 1
        assert [store.partials.size(name) for name in (gone, kept, left, open_one)] == [0, 3, 0, 3]
        assert list(store.digests()) == []
        for bad in ("../x", "", "A" * 32):
            with pytest.raises(BadRequest):
                store.partials.open(bad)

    # -- what the node builds on it

    def test_references_uploads_and_objects(self, store: BlobStore, database: Database) -> None:
        objects, uploads = DiskObjectStore(database, store), Uploads(database, store, ManualClock())
        obj = StorableObject(id=new_id(), kind="bytes", data=b"abc")
        objects.put(obj)
        upload = uploads.begin(len(MEGABYTES), owner="alice")
        assert uploads.append(upload, 0, [MEGABYTES[:1000]]) == 1000
        assert uploads.append(upload, 1000, _pieces(MEGABYTES[1000:])) == len(MEGABYTES)
        with uploads.finish(upload) as blob, database.transaction() as session:
            record(session, blob)
        assert sweep(database, store) == 0
        uploads.abort(upload)
        lost = store.put([b"nobody refers to it"]).digest
        assert sweep(database, store) == 1 and not store.exists(lost)
        found = objects.get_object(obj.id)
        assert found is not None and bytes(found.data) == b"abc"
        with objects.open(obj.id) as file:
            assert file.read() == b"abc"
        assert collect(database, store, [objects.digest(obj.id)]) == 0, "a row refers to it"
        del objects[obj.id]
        assert list(store.digests()) == []


def _pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]
