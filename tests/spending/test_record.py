"""The record of what was spent: signed, in any order, and never taken for whole when it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.spending import record as module
from grid.spending.record import SpentRecord
from grid.storage.blobs.files import FileBlobStore
from syft_ext.identity import Identity

DATABASE = "d" * 32


@pytest.fixture
def store(tmp_path: Path) -> FileBlobStore:
    return FileBlobStore(tmp_path)


@pytest.fixture
def record(store: FileBlobStore) -> SpentRecord:
    return SpentRecord(store.marks, Identity.generate())


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(6)))
def test_lines_may_come_in_any_order(tmp_path_factory: pytest.TempPathFactory, order: list[int]) -> None:
    """Transactions that commit together write theirs as they come; the least that is left counts."""
    record = SpentRecord(FileBlobStore(tmp_path_factory.mktemp("store")).marks, Identity.generate())
    for left in order:
        record.add([("grant", "g", {"uses_left": left}), ("budget", "u", {"spent": 10 - left})])
    record.add([("grant", "g", {"revoked_at": 5.0})])
    spent = record.read()
    assert spent.of("grant") == {"g": {"uses_left": 0, "revoked_at": 5.0}}
    assert spent.of("budget") == {"u": {"spent": 10}}


def test_epochs_say_what_is_covered(record: SpentRecord) -> None:
    assert not record.read().covers(DATABASE, 0, 0)
    for epoch in (3, 4, 5):
        record.begin(DATABASE, epoch)
    spent = record.read()
    assert spent.covers(DATABASE, 3, 5) and spent.covers(DATABASE, 4, 4)
    assert not spent.covers(DATABASE, 2, 5), "it was begun later"
    assert not spent.covers(DATABASE, 3, 6), "it ends before"
    assert not spent.covers("e" * 32, 3, 5), "it is another database's"


def test_an_epoch_that_it_does_not_know_begins_it_anew(record: SpentRecord) -> None:
    """It was itself put back to what it was before: what was spent in between is in nobody's record."""
    record.begin(DATABASE, 1)
    record.add([("grant", "g", {"uses_left": 3})])
    record.begin(DATABASE, 4)
    spent = record.read()
    assert not spent.covers(DATABASE, 1, 4) and spent.covers(DATABASE, 4, 4)
    assert spent.of("grant") == {"g": {"uses_left": 3}}


def _cut(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1][:-5], *lines[2:]]


def _forge(lines: list[bytes]) -> list[bytes]:
    return [line.replace(b'"uses_left":1', b'"uses_left":9') for line in lines]


def _foreign(lines: list[bytes]) -> list[bytes]:
    other = SpentRecord.__new__(SpentRecord)
    other._key = b"\1" * 32
    return [*lines, other._line("grant", "g", {"uses_left": 9})]


@pytest.mark.parametrize("damage", [_cut, _forge, _foreign, lambda lines: [*lines, b"\xff\x00"]])
def test_what_nobody_can_read_is_not_taken_for_whole(
    record: SpentRecord, store: FileBlobStore, damage: Callable[[list[bytes]], list[bytes]]
) -> None:
    record.begin(DATABASE, 1)
    record.add([("grant", "g", {"uses_left": 1})])
    assert record.read().covers(DATABASE, 1, 1)
    lines = store.marks.lines()
    assert lines is not None
    store.marks.rewrite(lambda _: damage(lines))
    assert not record.read().covers(DATABASE, 1, 1)


def test_half_a_line_of_a_killed_process(record: SpentRecord, store: FileBlobStore, tmp_path: Path) -> None:
    record.begin(DATABASE, 1)
    with (tmp_path / "store.spent").open("ab") as file:
        file.write(b'{"facts"')
    record.add([("grant", "g", {"uses_left": 1})])
    spent = record.read()
    assert spent.broken == 1 and spent.of("grant") == {"g": {"uses_left": 1}}


def test_it_does_not_grow_for_ever(
    record: SpentRecord, store: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COMPACT", 3_000)
    record.begin(DATABASE, 1)
    for left in range(60, 0, -1):
        record.add([("grant", "g", {"uses_left": left})])
    record.begin(DATABASE, 2)
    lines = store.marks.lines()
    assert lines is not None and len(lines) == 3
    assert record.read().covers(DATABASE, 1, 2) and record.read().of("grant") == {"g": {"uses_left": 1}}
