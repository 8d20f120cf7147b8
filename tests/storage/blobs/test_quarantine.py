"""What is deleted waits, comes back when it is asked for, and goes when its time is over."""

from __future__ import annotations

import threading
from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.storage.blobs.files import FileBlobStore
from syft_ext.clock import ManualClock
from syft_ext.errors import Conflict, NotFound
from syft_ext.ids import new_id

GRACE, MOST = 100.0, 1000


def store_in(root: Path, clock: ManualClock, most: int = MOST) -> FileBlobStore:
    store = FileBlobStore(root)
    store.quarantine.clock, store.quarantine.grace, store.quarantine.most = clock, GRACE, most
    return store


def put(store: FileBlobStore, content: bytes) -> str:
    with store.put([content]) as blob:
        return blob.digest


def nobody(digests: Collection[str]) -> Collection[str]:
    return ()


def everything(held: list[str]) -> list[str]:
    return held


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000.0)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> FileBlobStore:
    return store_in(tmp_path, clock)


@pytest.mark.parametrize("way", ["open", "map", "hold", "size", "exists", "stamp"])
def test_it_comes_back_when_it_is_asked_for(store: FileBlobStore, way: str) -> None:
    digest = put(store, b"needed after all")
    assert store.delete(digest) and list(store.digests()) == []
    answer = getattr(store, way)(digest)
    assert answer is not False
    assert list(store.digests()) == [digest] and store.read_range(digest, 0) == b"needed after all"
    assert list(store.quarantine.listed()) == []


def test_it_goes_when_its_grace_is_over(store: FileBlobStore, clock: ManualClock) -> None:
    early = put(store, b"early")
    store.delete(early)
    clock.advance(GRACE / 2)
    late = put(store, b"late")
    store.delete_all([late], everything, unknown=True)
    assert {(each.name, each.why, each.until) for each in store.quarantine.listed()} == {
        (early, "dropped", 1_000.0 + GRACE),
        (late, "unknown", 1_000.0 + GRACE * 1.5),
    }
    assert store.quarantine.purge(nobody) == 0
    clock.advance(GRACE / 2)
    assert store.quarantine.purge(nobody) == 1 and not store.exists(early)
    clock.advance(GRACE / 2)
    assert store.quarantine.purge(lambda digests: digests) == 0, "the database refers to it"
    assert list(store.digests()) == [late]


def test_of_what_was_dropped_only_so_much_waits(store: FileBlobStore, clock: ManualClock) -> None:
    digests = []
    for number in range(5):
        digests.append(put(store, bytes([number]) * 400))
        store.delete(digests[-1])
        clock.advance(1)
    unknown = put(store, b"x" * 5000)
    store.delete_all([unknown], everything, unknown=True)
    assert store.quarantine.purge(nobody) == 3
    assert {each.name for each in store.quarantine.listed()} == {*digests[3:], unknown}


def drop(store: FileBlobStore, owner: str, content: bytes) -> str:
    digest = put(store, content)
    store.delete(digest)
    store.quarantine.count_for(owner, [digest])
    return digest


def test_who_drops_much_pushes_out_their_own(store: FileBlobStore, clock: ManualClock) -> None:
    """Eve fills the quarantine with what they made for it: what ann deleted by mistake is there still."""
    mistaken = [drop(store, "ann", b"a" * 200), drop(store, "ann", b"b" * 100)]
    theirs = []
    for number in range(8):
        clock.advance(1)
        theirs.append(drop(store, "eve", bytes([number]) * 200))
    nobodys = put(store, b"n" * 50)
    store.delete(nobodys)
    assert store.quarantine.purge(nobody) == 5
    assert {each.name for each in store.quarantine.listed()} == {*mistaken, nobodys, *theirs[-3:]}


def test_what_came_back_is_counted_for_nobody(store: FileBlobStore, clock: ManualClock) -> None:
    digest = drop(store, "eve", b"x" * 100)
    assert store.exists(digest) and store.delete(digest)
    store.quarantine.count_for("eve", ["0" * 64])
    clock.advance(1)
    for number in range(2):
        drop(store, "eve", bytes([number]) * 450)
    assert store.quarantine.purge(nobody) == 0, "it came back, and somebody else dropped it"
    drop(store, "eve", b"y" * 100)
    assert store.quarantine.purge(nobody) == 1 and store.quarantine.holds(digest)
    clock.advance(GRACE)
    assert store.quarantine.purge(nobody) == 3
    assert list((store.root / "quarantine" / "owners").iterdir()) == []


def test_what_a_training_has_used_up_does_not_wait(store: FileBlobStore) -> None:
    digest = put(store, b"a report")
    assert store.delete_all([digest], everything, recycle=True) == 1
    with pytest.raises(NotFound):
        store.open(digest)


def test_a_second_copy_does_no_harm(store: FileBlobStore, clock: ManualClock) -> None:
    digest = put(store, b"twice")
    store.delete(digest)
    assert put(store, b"twice") == digest and store.delete(digest)
    clock.advance(GRACE)
    assert put(store, b"twice") == digest
    assert store.quarantine.purge(nobody) == 1 and store.read_range(digest, 0) == b"twice"


def test_uploads_that_nobody_knows_come_back(store: FileBlobStore, clock: ManualClock) -> None:
    name = new_id()
    with store.partials.open(name) as partial:
        partial.append(memoryview(b"half of"))
    assert store.partials.sweep(lambda each: False) == 1
    assert not (store.root / "uploads" / name).exists()
    assert store.partials.size(name) == 7
    store.partials.sweep(lambda each: False)
    with store.partials.open(name) as partial:
        partial.append(memoryview(b" it"))
        with partial.finish() as blob:
            assert store.read_range(blob.digest, 0) == b"half of it"


def test_while_a_backup_is_made_nothing_goes_for_good(tmp_path: Path, clock: ManualClock) -> None:
    """Whichever process deletes, and also where nothing waits otherwise; and two backups take turns."""
    store, other = store_in(tmp_path, clock), store_in(tmp_path, clock)
    other.quarantine.grace = 0.0
    report, dropped = put(store, b"report"), put(store, b"dropped")
    with store.quarantine.keeping():
        other.delete_all([report], everything, recycle=True)
        other.delete(dropped)
        clock.advance(GRACE * 2)
        assert other.quarantine.purge(nobody) == 0
        with pytest.raises(Conflict), other.quarantine.keeping():
            pass
        assert store.read_range(report, 0) == b"report" and store.read_range(dropped, 0) == b"dropped"
    for digest in (report, dropped):
        assert other.delete(digest) and not other.exists(digest)


def test_who_keeps_waits_for_those_who_are_just_removing(store: FileBlobStore) -> None:
    digest, asked, kept = put(store, b"x"), threading.Event(), threading.Event()
    go = threading.Event()

    def confirm(held: list[str]) -> list[str]:
        asked.set()
        assert go.wait(60)
        return held

    def keep() -> None:
        with store.quarantine.keeping():
            kept.set()

    removing = threading.Thread(target=lambda: store.delete_all([digest], confirm))
    removing.start()
    assert asked.wait(60)
    keeping = threading.Thread(target=keep)
    keeping.start()
    assert not kept.wait(0.05)
    go.set()
    removing.join(60)
    keeping.join(60)
    assert kept.is_set()


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from("pdurs"), st.integers(0, 3)), max_size=20))
def test_what_is_referred_to_is_never_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Put, dropped, found unknown, read again, purged: in any order, on the word of databases that are wrong
    for less than the grace."""
    clock = ManualClock(1_000.0)
    store = store_in(tmp_path_factory.mktemp("store"), clock, most=1 << 20)
    contents = [bytes([number]) * (number + 1) for number in range(4)]
    there: dict[int, str] = {}
    deleted: dict[int, float] = {}
    for step, number in steps:
        if step == "p":
            there[number] = put(store, contents[number])
            deleted.pop(number, None)
        elif step in "du" and number in there:
            store.delete_all([there[number]], everything, unknown=step == "u")
            # What waits already waits no longer for being named again.
            deleted.setdefault(number, clock.now())
        elif step == "r" and number in there:
            if clock.now() - deleted.get(number, clock.now()) < GRACE:
                assert store.read_range(there[number], 0) == contents[number]
                deleted.pop(number, None)
        elif step == "s":
            clock.advance(GRACE / 4)  # a number that is exact: three thirds may be less than the whole
            store.quarantine.purge(nobody)
    for number, digest in there.items():
        if clock.now() - deleted.get(number, clock.now()) < GRACE:
            assert store.read_range(digest, 0) == contents[number]
