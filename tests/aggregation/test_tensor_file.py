"""Stored tensor files: what a header says of them, and how much of a mapped one stays in memory."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.aggregation.numbers import first_beyond
from grid.aggregation.tensor_file import BLOCK, WINDOW, WORTH_RELEASING, TensorFile, elements
from syft_ext.errors import InvalidTensors
from tests.federated.models import encode

MODEL = {"a": np.zeros((2, 3), np.float32), "b": np.ones(4, np.float32), "n": np.arange(2)}


def _resident(path: Path) -> int:
    """Bytes of the file that this process holds in memory through its maps."""
    found, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if "-" in name and ":" not in name:
            ours = line.endswith(str(path))
        elif ours and name == "Rss:":
            found += int(rest[0]) << 10
    return found


def test_a_file_is_as_long_as_its_header_says() -> None:
    for wrong in (encode(MODEL) + b"\0", encode(MODEL)[:-1]):
        with pytest.raises(InvalidTensors, match="bytes, the header says"):
            TensorFile(wrong)


def test_every_byte_belongs_to_a_tensor() -> None:
    file = TensorFile(encode(MODEL))
    names = [file.name_at(offset) for offset in range(file.layout.data_size)]
    assert {name: names.count(name) for name in MODEL} == {"a": 24, "b": 16, "n": 16}
    for spec in file.layout.specs:
        assert names[spec.start : spec.stop] == [spec.name] * (spec.stop - spec.start)


def test_what_was_read_of_a_large_map_is_given_back_and_stays_what_it_is(tmp_path: Path) -> None:
    values = np.arange(6 * WINDOW, dtype=np.float32)
    path = tmp_path / "model"
    path.write_bytes(encode({"first": values[:7], "large": values}))
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        file = TensorFile(content)
        assert file.window == WINDOW and len(content) >= WORTH_RELEASING
        (run,) = file.runs
        total = 0.0
        for start in range(0, elements(run), WINDOW):
            stop = min(start + WINDOW, elements(run))
            total += float(file.numbers(run, start, stop).sum(dtype=np.float64))
            file.release(run, start, stop)
        assert total == values.sum(dtype=np.float64) + 21
        assert _resident(path) < 4 * WINDOW, "a quarter of the file at most"
        assert float(file.numbers(run, 7, 8)[0]) == 0.0 and float(file.numbers(run, 8, 9)[0]) == 1.0
        file.view.release()
        del file


def test_a_small_one_goes_with_its_map() -> None:
    file = TensorFile(encode(MODEL))
    assert file.window == BLOCK
    before = bytes(file.view)
    file.release(file.runs[0], 0, 3)
    assert bytes(file.view) == before


@given(
    st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1, max_size=20),
    st.sampled_from((0.5, 1000.0, float(np.finfo(np.float32).max))),
)
def test_the_first_number_beyond_is_found(numbers: list[float], largest: float) -> None:
    raw = np.array(numbers, np.float32).view(np.uint8)
    beyond = [place for place, number in enumerate(numbers) if not -largest <= number <= largest]
    assert first_beyond(raw, "F32", largest) == (beyond[0] if beyond else None)
