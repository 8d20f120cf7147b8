"""Uploads are checked while they stream: every wrong one gets its own error, whatever the chunks are."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grid.aggregation.tensor_stream import TensorStream
from syft_ext.errors import InvalidTensors, TooLarge
from syft_ext.tensors import Layout, read_layout
from tests.federated.models import encode

MODEL: dict[str, NDArray[Any]] = {
    "a": np.linspace(-1, 1, 21, dtype=np.float32).reshape(7, 3),
    "n": np.arange(3, dtype=np.int64),
    "h": np.ones(5, np.float16),
    "d": np.ones((), np.float64),
}
FILE = encode(MODEL)
LAYOUT = read_layout(FILE)


def _chunks(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    position, turn = 0, 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        yield data[position : position + size]
        position, turn = position + size, turn + 1


def _read(data: bytes, sizes: list[int], expected: Layout | None = LAYOUT, limit: int = 1 << 20) -> Layout:
    stream = TensorStream(expected, limit)
    for chunk in _chunks(data, sizes):
        stream.feed(chunk)
    return stream.finish()


_SIZES = st.lists(st.integers(1, 400), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(_SIZES)
def test_a_right_file_passes_in_any_chunks(sizes: list[int]) -> None:
    assert _read(FILE, sizes).same_tensors(LAYOUT)
    later = TensorStream(LAYOUT, 10_000, values=False)
    for chunk in _chunks(FILE, sizes):
        later.feed(chunk)
    assert later.finish().same_tensors(LAYOUT)
    later.check(memoryview(FILE))


@settings(max_examples=60, deadline=None)
@given(_SIZES, st.integers(0, 20), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_value_that_is_not_finite_is_found_in_any_chunks(sizes: list[int], at: int, bad: float) -> None:
    values = MODEL["a"].copy()
    values.reshape(-1)[at] = bad
    with pytest.raises(InvalidTensors, match="finite"):
        _read(encode({**MODEL, "a": values}), sizes)
    later = TensorStream(LAYOUT, 10_000, values=False)
    content = encode({**MODEL, "a": values})
    for chunk in _chunks(content, sizes):
        later.feed(chunk)
    later.finish()
    with pytest.raises(InvalidTensors, match="finite"):
        later.check(memoryview(content))


@settings(max_examples=60, deadline=None)
@given(_SIZES, st.integers(0, len(FILE) - 1))
def test_a_truncated_file_is_refused(sizes: list[int], length: int) -> None:
    with pytest.raises(InvalidTensors, match="truncated"):
        _read(FILE[:length], sizes)


@settings(max_examples=60, deadline=None)
@given(_SIZES, st.binary(min_size=8, max_size=300))
def test_garbage_is_refused_with_one_of_our_errors(sizes: list[int], data: bytes) -> None:
    with pytest.raises((InvalidTensors, TooLarge)):
        _read(data, sizes)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"a": np.ones((3, 7), np.float32)}, "'a'"),
        ({"a": np.ones((7, 3), np.float64)}, "'a'"),
        ({"z": np.ones(1, np.float32)}, "'z' is not in the model"),
        ({"n": None}, "'n' is missing"),
    ],
)
def test_wrong_tensors_are_named(change: dict[str, object], match: str) -> None:
    tensors = {name: value for name, value in {**MODEL, **change}.items() if value is not None}
    with pytest.raises(InvalidTensors, match=match):
        _read(encode(tensors), [100])  # type: ignore[arg-type]


def test_too_much_is_refused_early() -> None:
    with pytest.raises(InvalidTensors, match="more bytes"):
        _read(FILE + b"\0", [50])
    with pytest.raises(TooLarge):
        _read(FILE, [50], limit=len(FILE) - 1)
    with pytest.raises(TooLarge):
        TensorStream(LAYOUT, 1 << 40).feed(struct.pack("<Q", 1 << 30))
    with pytest.raises(TooLarge):
        TensorStream(LAYOUT, 1 << 40).feed(struct.pack("<Q", 1 << 20))


def test_any_model_is_welcome_where_none_is_expected_but_no_bool() -> None:
    assert _read(FILE, [64], expected=None).same_tensors(LAYOUT)
    header = b'{"m":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}'
    with pytest.raises(InvalidTensors, match="bool"):
        _read(struct.pack("<Q", len(header)) + header + b"\1", [9], expected=None)
