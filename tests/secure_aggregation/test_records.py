"""What a participant keeps: it survives its process, is one process's at a time, and is never older than what
was said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syft_ext.errors import BadRequest, Conflict
from syft_ext.federated.formats.sum_records import SumRecords
from syft_ext.secure_aggregation.client import Record


def record(cycle: int = 1, **values: Any) -> Record:
    return Record(b"r" * 32, cycle, "a", b"s" * 32, **values)


def opened(cycle: int = 1) -> SumRecords:
    return SumRecords("node", "training", "key", cycle=cycle)


def the_file(folder: Path) -> Path:
    (found,) = (path for path in (folder / "secure-aggregation").iterdir() if not path.suffix)
    return found


def test_the_latest_is_there_for_the_next_process_and_earlier_cycles_are_over(own_folder: Path) -> None:
    first = opened()
    assert first.record() is None and first.vector() == b""
    for survivors in (b"", b"1" * 32, b"2" * 32):
        first.keep(record(survivors=survivors))
    first.keep_vector(memoryview(b"words"))
    with pytest.raises(Conflict, match="another process"):
        opened()
    first.close()
    second = opened()
    found = second.record()
    assert found is not None and found.survivors == b"2" * 32 and second.vector() == b"words"
    second.note(record(cycle=3))
    second.close()
    for cycle, is_there in ((2, True), (3, True), (4, False)):
        later = opened(cycle)
        assert (later.record() is not None) is is_there
        later.close()


def test_words_go_with_the_secrets(own_folder: Path) -> None:
    records = opened()
    records.keep_vector(memoryview(b"words"))
    records.note(Record(b"r" * 32, 1, "a", b"", roster=b"k" * 32))
    assert records.vector() == b""
    records.close()


@pytest.mark.parametrize("place", [0, 40, 8192, 8192 + 50])
def test_a_damaged_record_ends_the_cycle_and_not_the_training(own_folder: Path, place: int) -> None:
    records = opened()
    for roster in (b"", b"k" * 32):
        records.keep(record(roster=roster))
    records.close()
    data = bytearray(the_file(own_folder).read_bytes())
    data[place] ^= 1
    the_file(own_folder).write_bytes(data)
    again = opened()
    found = again.record()
    assert found is not None and not found.root and found.roster, "what was said last may not be known"
    again.close()
    later = opened(2)
    assert later.record() is None
    later.close()


def test_where_both_are_damaged_nothing_more_is_said(own_folder: Path) -> None:
    records = opened()
    records.keep(record())
    records.close()
    the_file(own_folder).write_bytes(b"x" * 16384)
    again = opened()
    with pytest.raises(BadRequest, match="damaged"):
        again.record()
    again.close()
