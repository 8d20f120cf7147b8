"""The tensor file: what goes in comes out, without copies; whatever contradicts itself is refused."""

from __future__ import annotations

import contextlib
import json
import struct
import subprocess
import sys
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.errors import GridError, InvalidTensors, TooLarge
from syft_ext.plans.tracing.lower import const_of
from syft_ext.tensors import (
    DTYPES,
    KINDS,
    decode_tensors,
    encode_tensors,
    iter_tensors,
    kinds_metadata,
    read_layout,
)

DTYPE = st.sampled_from([getattr(torch, name) for name, _ in DTYPES.values()])
SHAPE = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@st.composite
def tensor(draw: st.DrawFn) -> torch.Tensor:
    dtype, shape = draw(DTYPE), draw(SHAPE)
    values = torch.randint(0, 2 if dtype is torch.bool else 100, shape)
    return values.to(dtype)


@settings(max_examples=60)
@given(st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda s: s != "__metadata__"), tensor()))
def test_round_trip_keeps_order_dtype_shape_and_values(tensors: dict[str, torch.Tensor]) -> None:
    again = decode_tensors(encode_tensors(tensors))
    assert list(again) == list(tensors)
    for name, value in tensors.items():
        assert again[name].dtype == value.dtype
        assert torch.equal(again[name], value)


@settings(max_examples=60)
@given(tensor(), st.randoms(use_true_random=False))
def test_whatever_its_strides_a_tensor_is_sent_as_its_values(value: torch.Tensor, random: Any) -> None:
    base = value
    for dim in range(base.dim()):  # slices, single elements of strided memory, transposes, expanded ones
        step = random.choice((1, 2, 3))
        base = base.narrow(dim, 0, random.randint(0, base.shape[dim])).transpose(dim, 0)
        base = base[::step] if base.shape[0] else base
    if random.random() < 0.3 and base.numel():
        base = base.reshape(-1)[-1].expand(1, random.randint(1, 3))
    again = decode_tensors(encode_tensors({"w": base}))["w"]
    assert torch.equal(again, base) and again.dtype == base.dtype
    assert const_of(base).raw == const_of(base.clone(memory_format=torch.contiguous_format)).raw


def test_a_single_element_of_strided_memory_is_sent() -> None:
    columns = torch.arange(8.0).reshape(4, 2)
    for value in (columns[1:2, 0], columns[:1, :1].t(), columns.t()[:1, 3:]):
        assert torch.equal(decode_tensors(encode_tensors({"w": value}))["w"], value)


def test_a_file_declares_what_its_tensors_are() -> None:
    tensors = {"w": torch.zeros(2), "mean": torch.zeros(2), "seen": torch.tensor(3)}
    plain = read_layout(encode_tensors(tensors))
    assert [spec.kind for spec in plain.specs] == ["parameter", "parameter", "counter"]
    declared = read_layout(encode_tensors(tensors, kinds_metadata({"mean": "statistic", "w": "parameter"})))
    assert [spec.kind for spec in declared.specs] == ["parameter", "statistic", "counter"]


@pytest.mark.parametrize(
    "kinds",
    ["[", "[]", '{"weight": ["w"]}', '{"statistic": "w"}', '{"statistic": ["v"]}', '{"statistic": [1]}',
     '{"statistic": ["w"], "counter": ["w"]}', '{"statistic": [], "statistic": ["w"]}', '{"parameter": ["n"]}'],
)  # fmt: skip
def test_declared_kinds_that_mean_nothing_are_refused(kinds: str) -> None:
    tensors = {"w": torch.zeros(2), "n": torch.tensor(3)}
    with pytest.raises(InvalidTensors):
        read_layout(encode_tensors(tensors, {KINDS: kinds}))


def test_other_readers_and_writers_of_the_format_agree() -> None:
    tensors = {"w": torch.randn(3, 4), "n": torch.arange(5)}
    theirs = safetensors.torch.load(encode_tensors(tensors))
    ours = decode_tensors(safetensors.torch.save(tensors))
    for name, value in tensors.items():
        assert torch.equal(theirs[name], value)
        assert torch.equal(ours[name], value)


def test_decoding_makes_no_copy() -> None:
    data = bytearray(encode_tensors({"w": torch.zeros(8)}))
    view = decode_tensors(data)["w"]
    data[-4:] = struct.pack("<f", 7.0)
    assert view[-1] == 7.0


def test_reading_what_cannot_be_written_makes_no_copy_and_asks_nothing_of_warnings() -> None:
    """Their filters are the whole process's: what sets and resets them beside other threads that do the same shows
    the warning after all, and leaves the wrong filters behind."""
    code = """
import sys, warnings
import numpy
import torch
from syft_ext.tensors import decode_tensors, encode_tensors
half, truth = torch.ones(3, dtype=torch.bfloat16), torch.tensor([True])
data = encode_tensors({"w": torch.arange(4.0), "b": half, "t": truth})
del warnings.catch_warnings
warnings.simplefilter("error")
view = decode_tensors(data)
assert view["w"].tolist() == [0, 1, 2, 3] and view["b"].tolist() == [1, 1, 1] and view["t"].tolist() == [True]
first = numpy.frombuffer(data, numpy.uint8).__array_interface__["data"][0]
assert all(first < each.data_ptr() < first + len(data) for each in view.values())
counted = sys.getrefcount(data)
view.clear()
assert sys.getrefcount(data) < counted, "the views hold the bytes, and nothing else does"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_encoding_streams_views_of_the_tensors_own_memory() -> None:
    value = torch.zeros(4)
    pieces = list(iter_tensors({"w": value}))
    value[0] = 1.0
    assert bytes(pieces[1][:4]) == struct.pack("<f", 1.0)


def _file(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _entry(dtype: str = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        _file(b"not json"),
        _file(b"[" * 100_000),
        _file([]),
        _file({"w": _entry()}),  # no data
        _file({"w": _entry()}, b"\0" * 5),
        _file({"w": _entry("F31")}, b"\0" * 4),
        _file({"w": _entry(shape=[2])}, b"\0" * 4),
        _file({"w": _entry(shape=[-1])}, b"\0" * 4),
        _file({"w": _entry(shape=[True])}, b"\0" * 4),
        _file({"w": _entry(shape=[1 << 62, 1 << 62])}, b"\0" * 4),
        _file({"w": _entry(shape=None)}, b"\0" * 4),
        _file({"w": _entry(offsets=[4, 8])}, b"\0" * 8),
        _file({"w": _entry(), "v": _entry()}, b"\0" * 4),
        _file({"w": _entry("BOOL", [1], [0, 1])}, b"\x02"),
        _file({"w": 3}, b""),
        _file(b'{"w":1,"w":2}'),
        _file({"__metadata__": {"a": 1}}),
    ],
)
def test_what_contradicts_itself_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidTensors):
        decode_tensors(data)


def test_a_header_that_claims_gigabytes_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        read_layout(struct.pack("<Q", 1 << 40))


@settings(max_examples=100)
@given(st.data())
def test_any_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    good = bytearray(encode_tensors({"w": torch.randn(2, 2), "flag": torch.tensor([True])}))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(GridError):
        decode_tensors(good[: data.draw(st.integers(0, len(good)))])


def test_reading_layouts_does_not_import_torch() -> None:
    code = "import sys, syft_ext.tensors, syft_ext.messages.envelope, syft_ext.transport\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
