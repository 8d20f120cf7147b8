"""Clipping holds to the last unit, and is one function of the vector, whatever its parts."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from syft_ext.confidential.kernel.clipping import MOST_BOUND, Clip

Values = NDArray[Any]


def clipped(clip: Clip, values: Values, cuts: tuple[int, ...] = ()) -> Values:
    """Through all three sweeps, part by part."""
    parts = np.split(values, cuts)
    shift = clip.shift(max(clip.largest(part) for part in parts))
    factor = clip.factor(sum(clip.squares(part, shift) for part in parts))
    total = np.zeros(len(values), np.int64)
    start = 0
    for part in parts:
        clip.add(total[start : start + len(part)], part, shift, factor)
        start += len(part)
    return total


def said(clip: Clip, values: list[float]) -> list[int]:
    """What the module's docstring says, in fractions."""
    exact = [Fraction(value) for value in values]
    top = max((abs(value) for value in exact), default=Fraction(0))
    e = 0
    while top * Fraction(2) ** (clip.bits - e) >= 1 << 24:
        e += 1
    places = [int(value * Fraction(2) ** (clip.bits - e)) for value in exact]
    root = math.isqrt(sum(place * place for place in places)) + 1
    factor = 1.0 if root <= clip.bound else math.nextafter(clip.bound / root, 0.0)
    return [int(place * factor) for place in places]


def squared(places: Values) -> int:
    return sum(place * place for place in places.tolist())


BOUNDS = st.integers(1, MOST_BOUND)
BITS = st.integers(0, 64)
FLOATS = st.sampled_from([32, 64])


@st.composite
def vectors(draw: st.DrawFn) -> Values:
    """Of any floats there are, or of powers of two up to 2^127 and their neighbours."""
    width: Any = draw(FLOATS)
    dtype = np.float32 if width == 32 else np.float64
    any_float = st.floats(allow_nan=False, allow_infinity=False, width=width)
    powers = st.builds(
        lambda sign, exponent, step: float(
            np.nextafter(dtype(sign * 2.0**exponent), dtype(step), dtype=dtype)
        ),
        st.sampled_from([1, -1]),
        st.integers(-60, 127),
        st.sampled_from([-math.inf, 0.0, math.inf]),
    ).filter(math.isfinite)
    return draw(arrays(dtype, st.integers(1, 30), elements=st.one_of(any_float, powers)))


@settings(max_examples=120, deadline=None)
@given(bound=BOUNDS, bits=BITS, values=vectors(), data=st.data())
def test_it_is_what_it_says_and_never_longer_than_the_bound(
    bound: int, bits: int, values: Values, data: st.DataObject
) -> None:
    clip = Clip(bound, bits)
    cuts = tuple(sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=3))))
    found = clipped(clip, values, cuts)
    assert squared(found) <= bound**2
    assert found.tolist() == said(clip, values.tolist())


@settings(max_examples=120, deadline=None)
@given(bound=BOUNDS, seed=st.integers(0, 1 << 32), size=st.integers(1, 60))
def test_vectors_a_hair_longer_than_the_bound_are_not(bound: int, seed: int, size: int) -> None:
    """Where a rounding would matter."""
    random = np.random.default_rng(seed)
    values = random.normal(size=size)
    values *= bound / np.linalg.norm(values) * (1 + random.uniform(-1, 4) * 2.0**-22)
    found = clipped(Clip(bound, 0), values)
    assert squared(found) <= bound**2
    assert found.tolist() == said(Clip(bound, 0), values.tolist())


@pytest.mark.parametrize("bound", [1, 2**20, 2**24 - 1, 2**24])
@pytest.mark.parametrize(
    "values",
    [
        [2.0**32],
        [2.0**32, 0.0, -1.0],
        [2.0**25] * 8192,
        [3e38] * 9000,
        [3.4028234663852886e38, -3.4028234663852886e38],
        [1e-45] * 10 + [2.0**127],
        [2.0**24 - 1] * 70_000,
        [0.0] * 10,
    ],
    ids=["2^32", "2^32 and small", "2^25 x 8192", "3e38 x 9000", "largest", "spread", "full", "zeros"],
)
@pytest.mark.parametrize("bits", [0, 20, 64])
def test_nothing_wraps_around(values: list[float], bits: int, bound: int) -> None:
    clip = Clip(bound, bits)
    found = clipped(clip, np.array(values, np.float32))
    assert squared(found) <= bound**2
    assert (found * np.sign(values) >= 0).all(), "and no sign is lost"
    if max(values) and len(values) < 100:
        assert found.tolist() == said(clip, np.array(values, np.float32).tolist())


def test_adversarial_vectors_of_all_scales() -> None:
    """Of the scales of floats, of few and many numbers, on all grids."""
    random = np.random.default_rng(3)
    for trial in range(2000):
        clip = Clip(int(random.integers(1, MOST_BOUND + 1)), int(random.integers(0, 40)))
        size = int(random.choice([1, 2, 3, 7, 50]))
        if trial % 5:
            values: Values = random.normal(size=size) * 10.0 ** random.integers(-12, 37)
        else:
            values = 2.0 ** random.integers(-20, 127, size)
        assert squared(clipped(clip, values.astype(np.float32))) <= clip.bound**2


def test_half_precision_and_parts_longer_than_a_block() -> None:
    random = np.random.default_rng(4)
    values = random.normal(size=150_000).astype(np.float16)
    clip = Clip(1 << 20, 12)
    found = clipped(clip, values, (1, 65_536, 65_540, 140_000))
    assert (found == clipped(clip, values)).all()
    assert 0.99 * clip.bound**2 < squared(found) <= clip.bound**2


def test_short_vectors_keep_their_numbers() -> None:
    values = np.array([0.5, -0.25, 2.0**-10, -(2.0**-11), 0.0], np.float32)
    assert clipped(Clip(1 << 20, 10), values).tolist() == [512, -256, 1, 0, 0]


def test_what_is_not_finite_is_found_and_has_no_grid() -> None:
    clip = Clip(8, 0)
    for bad in (math.nan, math.inf, -math.inf):
        for place in range(3):
            values = np.zeros(3, np.float32)
            values[place] = bad
            assert clip.largest(values) == math.inf
    with pytest.raises(ValueError, match="finite"):
        clip.shift(math.inf)
    assert clip.largest(np.array([-3.0, 2.0], np.float32)) == 3.0
    assert clip.largest(np.zeros(0, np.float32)) == 0.0


def test_sums_are_added_to_as_whole_numbers() -> None:
    """A double would lose the last places of a total like this."""
    total = np.array([2**61 + 1, -(2**61) - 1], np.int64)
    Clip(10, 0).add(total, np.array([3.0, -3.0], np.float32), 0, 1.0)
    assert total.tolist() == [2**61 + 4, -(2**61) - 4]


@pytest.mark.parametrize(("bound", "bits"), [(0, 1), (MOST_BOUND + 1, 1), (1, -1), (1, 65)])
def test_other_bounds_and_grids_are_refused(bound: int, bits: int) -> None:
    with pytest.raises(ValueError, match="grid units"):
        Clip(bound, bits)
