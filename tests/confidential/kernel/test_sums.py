"""The sum of a manifest's updates: a function of what the manifest names, whatever the operator hands out."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.confidential.kernel.aggregate import HeldBlob, Sums, Sweep
from syft_ext.confidential.kernel.clipping import Clip
from syft_ext.confidential.kernel.numbers import UpdateReader
from syft_ext.confidential.kernel.reports import report_layout
from syft_ext.confidential.rounds import ReportLayout, ReportTensor
from syft_ext.errors import Conflict, ContentCorrupt, ContentDamaged, InvalidTensors, SealBroken
from syft_ext.tensors import read_layout, tensor_header

SEED = bytes(range(32))


def layout_of(*tensors: tuple[str, tuple[int, ...]]) -> ReportLayout:
    return ReportLayout(
        tensors=tuple(
            ReportTensor(name=f"t{n}", dtype=dtype, shape=shape)  # type: ignore[arg-type]
            for n, (dtype, shape) in enumerate(tensors)
        )
    )


LAYOUT = layout_of(("F32", (3, 5)), ("F16", (3,)), ("F64", ()), ("BF16", (2, 2)))
READER = UpdateReader(LAYOUT)
CLIP = Clip(1 << 20, 16)


def encoded(values: list[float]) -> bytes:
    """An update of LAYOUT, each number rounded to its dtype."""
    array = np.array(values, np.float64)
    single = array[19:].astype(np.float32).view(np.uint32)
    return b"".join(
        (
            array[:15].astype("<f4").tobytes(),
            array[15:18].astype("<f2").tobytes(),
            array[18:19].astype("<f8").tobytes(),
            (single >> 16).astype("<u2").tobytes(),
        )
    )


def pieces(data: bytes, size: int = 1 << 20) -> Sweep:
    def sweep() -> Iterator[memoryview]:
        for start in range(0, len(data), size):
            yield memoryview(data)[start : start + size]

    return sweep


def broken(data: bytes) -> Sweep:
    def sweep() -> Iterator[memoryview]:
        yield memoryview(data)
        raise SealBroken("x")

    return sweep


def summed(*contents: bytes | Sweep, sigma: Fraction = Fraction(0), clip: Clip = CLIP) -> Any:
    sums = Sums(READER, clip, len(contents), sigma)
    for content in contents:
        sums.add(content if callable(content) else pieces(content), READER.length)
    return sums.finish(SEED)


UPDATES = [encoded(np.random.default_rng(n).normal(size=READER.size).tolist()) for n in range(5)]
ZEROS = bytes(READER.length)


def with_number(value: float, place: int) -> bytes:
    values = np.random.default_rng(9).normal(size=READER.size)
    values[place] = value
    with np.errstate(all="ignore"):
        return encoded(values.tolist())


# -- reading


@settings(max_examples=100, deadline=None)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_pieces_may_end_anywhere(sizes: list[int]) -> None:
    data, room = UPDATES[0], bytearray(40)

    def parts() -> Iterator[memoryview]:
        start, n = 0, 0
        while start < len(data):
            size = min(sizes[n % len(sizes)], len(data) - start)
            room[:size] = data[start : start + size]
            yield memoryview(room)[:size]
            room[:] = b"\xff" * 40  # as a chunk is opened over the one before
            start, n = start + size, n + 1

    whole = np.concatenate([part.astype(np.float64) for part in READER.numbers(iter([memoryview(data)]))])
    assert (np.concatenate([part.astype(np.float64) for part in READER.numbers(parts())]) == whole).all()
    assert len(whole) == READER.size


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: b"", lambda d: d * 2])
def test_another_length_is_no_update(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ValueError, match="than its layout"):
        list(READER.numbers(pieces(change(UPDATES[0]))()))


def test_parameters_leave_and_nothing_else_of_a_model() -> None:
    metadata = {"grid.kinds": '{"statistic": ["mean"], "constant": ["mask"]}'}
    entries = [
        ("w", "F32", (2, 2)),
        ("mean", "F32", (2,)),
        ("steps", "I64", ()),
        ("mask", "F32", (2,)),
        ("none", "F32", (0, 3)),
        ("b", "F16", (3,)),
    ]
    report = report_layout(read_layout(tensor_header(entries, metadata)))
    assert [(t.name, t.dtype, t.shape) for t in report.tensors] == [("w", "F32", (2, 2)), ("b", "F16", (3,))]
    assert UpdateReader(report).length == 4 * 4 + 3 * 2
    with pytest.raises(InvalidTensors, match="no parameters"):
        report_layout(read_layout(tensor_header([("steps", "I64", ())])))


# -- summing


def test_the_sum_is_that_of_the_clipped_updates() -> None:
    expected = sum(summed(update) for update in UPDATES)
    assert (summed(*UPDATES) == expected).all() and expected.any()
    assert (summed(*reversed(UPDATES)) == expected).all(), "no order"
    small = [pieces(update, 7) for update in UPDATES]
    assert (summed(*small) == expected).all(), "no sizes of pieces"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 14, 16, 18, 22])
def test_a_number_that_is_not_finite_counts_as_a_vector_of_zeros(value: float, place: int) -> None:
    bad = with_number(value, place)
    assert (summed(UPDATES[0], bad, UPDATES[1]) == summed(UPDATES[0], ZEROS, UPDATES[1])).all()
    sums = Sums(READER, CLIP, 1, Fraction(0))
    assert sums.add(pieces(bad), READER.length), "and nobody is told"


def test_an_update_of_another_length_counts_as_zeros_and_has_opened() -> None:
    sums = Sums(READER, CLIP, 2, Fraction(0))
    assert sums.add(pieces(UPDATES[0] + b"\0"), READER.length + 1)
    assert sums.add(pieces(b"\1"), 1)
    assert not sums.finish(SEED).any()


def test_what_does_not_open_counts_as_zeros_and_is_said() -> None:
    sums = Sums(READER, CLIP, 3, Fraction(0))
    assert sums.add(pieces(UPDATES[0]), READER.length)
    assert not sums.add(broken(UPDATES[1]), READER.length)
    assert not sums.add(broken(b""), READER.length + 5)
    assert (sums.finish(SEED) == summed(UPDATES[0])).all()


def test_a_huge_update_moves_the_sum_by_the_bound_at_most() -> None:
    for value in (1e6, 3e38):
        huge = encoded([value] * 15 + [6e4] * 3 + [1e300] + [1e38] * 4)
        moved = summed(*UPDATES, huge) - summed(*UPDATES)
        assert sum(int(each) ** 2 for each in moved) <= CLIP.bound**2


def test_the_same_sum_has_the_same_noise_and_noise_is_added_once() -> None:
    sigma = Fraction(5 * CLIP.bound, 2)
    first = summed(*UPDATES, sigma=sigma)
    assert (first == summed(*[pieces(update, 11) for update in UPDATES], sigma=sigma)).all()
    noise = summed(ZEROS, sigma=sigma)
    assert (first == summed(*UPDATES) + noise).all() and noise.all()


def test_sums_that_could_wrap_around_are_refused_before_any_is_made() -> None:
    with pytest.raises(Conflict, match="64 bits"):
        Sums(READER, Clip(1 << 24, 0), 1 << 38, Fraction(0))
    with pytest.raises(Conflict, match="64 bits"):
        Sums(READER, CLIP, 1, Fraction(1 << 56))
    sums = Sums(READER, CLIP, 1, Fraction(0))
    sums.add(pieces(ZEROS), READER.length)
    with pytest.raises(ValueError, match="more updates"):
        sums.add(pieces(ZEROS), READER.length)


def test_memory_does_not_grow_with_updates() -> None:
    reader = UpdateReader(layout_of(("F32", (100_000,))))

    def update(n: int) -> Sweep:
        def sweep() -> Iterator[memoryview]:
            values = np.random.default_rng(n).normal(size=100_000).astype(np.float32)
            yield memoryview(values.tobytes())

        return sweep

    def peak(count: int) -> int:
        tracemalloc.start()
        sums = Sums(reader, CLIP, count, Fraction(0))
        for n in range(count):
            sums.add(update(n), reader.length)
        sums.finish(SEED)
        _, found = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return found

    peak(1)
    assert peak(12) < peak(2) * 1.1


# -- what the operator hands out


class Disk:
    """An operator's, who may change it whenever they like."""

    def __init__(self, data: bytes) -> None:
        self.data, self.reads = data, 0

    def read(self, offset: int, length: int) -> memoryview:
        self.reads += 1
        return memoryview(self.data)[offset : offset + length]


BLOB = bytes(np.random.default_rng(1).integers(0, 256, 1000, np.uint8))
STRETCHES = [(start, min(300, 1000 - start)) for start in range(0, 1000, 300)]


def held(disk: Disk, keep: int = 0, length: int = 1000) -> HeldBlob:
    return HeldBlob(disk.read, blake3(BLOB).digest(), length, keep)


def read_all(blob: HeldBlob) -> bytes:
    return b"".join(bytes(blob.take(*stretch)) for stretch in STRETCHES)


@pytest.mark.parametrize("keep", [0, 999, 1000])
def test_a_blob_is_read_again_as_it_was(keep: int) -> None:
    disk = Disk(BLOB)
    blob = held(disk, keep)
    assert read_all(blob) == BLOB
    blob.settle()
    assert read_all(blob) == BLOB and bytes(blob.take(*STRETCHES[2])) == BLOB[600:900]
    assert disk.reads == (4 if keep == 1000 else 9), "what is short is asked for once"


@pytest.mark.parametrize("place", [0, 299, 300, 999])
def test_a_blob_that_was_damaged_ends_the_job(place: int) -> None:
    damaged = bytearray(BLOB)
    damaged[place] ^= 1
    blob = held(Disk(bytes(damaged)))
    read_all(blob)
    with pytest.raises(ContentCorrupt):
        blob.settle()


@pytest.mark.parametrize("place", [0, 299, 300, 999])
def test_a_blob_that_is_another_the_second_time_ends_the_job(place: int) -> None:
    disk = Disk(BLOB)
    blob = held(disk)
    read_all(blob)
    blob.settle()
    other = bytearray(BLOB)
    other[place] ^= 1
    disk.data = bytes(other)
    with pytest.raises(ContentCorrupt):
        read_all(blob)


def test_too_few_and_too_many_bytes_end_the_job() -> None:
    with pytest.raises(ContentCorrupt):
        read_all(held(Disk(BLOB[:-1])))
    blob = held(Disk(BLOB))
    blob.take(0, 300)
    with pytest.raises(ContentDamaged):
        blob.settle()
    with pytest.raises(ValueError, match="one order"):
        blob.take(301, 1)
    with pytest.raises(ValueError, match="beyond"):
        blob.take(300, 701)


def test_after_it_is_settled_only_what_was_read_is_read() -> None:
    blob = held(Disk(BLOB))
    read_all(blob)
    blob.settle()
    with pytest.raises(ValueError, match="one order"):
        blob.take(0, 299)
