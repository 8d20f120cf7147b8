"""The grid: whole numbers whose norm holds exactly, whatever comes."""

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

from syft_ext.errors import InvalidTensors
from syft_ext.privacy.grid import Grid

Values = NDArray[Any]


def clipped(grid: Grid, values: Values, cuts: list[int] | None = None) -> Values:
    def parts() -> list[Values]:
        return np.split(values, cuts or [])

    magnitude = grid.measure(parts)
    return np.concatenate([grid.clip(part, magnitude) for part in parts()])


def squared(places: Values) -> int:
    return sum(place * place for place in places.tolist())


FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(max_examples=400, deadline=None)
@given(
    norm=st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False),
    values=arrays(np.float64, st.integers(0, 40), elements=FINITE),
)
def test_no_vector_has_more_than_the_bound_to_the_last_digit(norm: float, values: Values) -> None:
    grid = Grid(norm)
    assert squared(clipped(grid, values)) <= grid.bound**2
    assert grid.bound * Fraction(2) ** grid.exponent <= Fraction(norm) and grid.bound >= 1 << 23


def test_no_vector_near_the_bound_has_more() -> None:
    """Where a rounding would matter: norms a little above the bound, of every length."""
    random = np.random.default_rng(5)
    for trial in range(3000):
        grid = Grid(float(random.uniform(0.5, 1.0)))
        values = random.normal(size=int(random.integers(1, 60)))
        if trial % 3 == 0:
            values = np.sign(values)
        length = float(np.linalg.norm(values))
        values *= grid.bound * 2.0**grid.exponent / length * (1 + random.uniform(-1, 3) * 2.0**-23)
        found = squared(clipped(grid, values))
        assert found <= grid.bound**2
        assert found >= (grid.bound - 2 * math.sqrt(len(values)) - 2) ** 2, (
            "no more is lost than the rounding"
        )


def test_large_vectors_cannot_wrap_around() -> None:
    grid = Grid(1.0)
    for values in (
        np.full(8192, 2.0**40),
        np.full(1 << 20, 3e38),
        np.array([1e308, -1e308, 5e-324]),
        np.array([2.0**39] * 4 + [0.0] * 5000),
    ):
        places = clipped(grid, values)
        assert 0.9 * grid.bound**2 < squared(places) <= grid.bound**2
        assert (np.sign(places) == np.sign(np.where(np.abs(values) < 1, 0, values))).all()


def test_a_direction_is_kept_and_small_vectors_are_left_alone() -> None:
    random = np.random.default_rng(1)
    grid = Grid(2.0)
    for scale in (1e-3, 0.1, 1.0, 50.0, 1e30):
        values = random.normal(size=3000) * scale
        length = float(np.linalg.norm(values))
        wanted = values * min(1.0, 2.0 / length)
        found = grid.restore(clipped(grid, values))
        assert np.abs(found - wanted).max() <= 2.0 * 2.0**-22
    exact = np.array([0.5, -0.25, 3 * 2.0**-21, 0.0])
    np.testing.assert_array_equal(grid.restore(clipped(grid, exact)), exact)


def test_parts_and_order_make_no_difference() -> None:
    random = np.random.default_rng(2)
    for scale in (0.001, 1.0, 1e6):
        values = (random.normal(size=5000) * scale).astype(np.float32)
        whole = clipped(Grid(1.0), values)
        np.testing.assert_array_equal(clipped(Grid(1.0), values, [0, 1, 1024, 4097]), whole)
        order = random.permutation(5000)
        np.testing.assert_array_equal(clipped(Grid(1.0), values[order]), whole[order])
    mixed = np.concatenate([np.full(1000, 1e20), random.normal(size=1000)])
    np.testing.assert_array_equal(clipped(Grid(1.0), mixed, [1000]), clipped(Grid(1.0), mixed))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(wrong: float) -> None:
    for values in (np.array([0.0, wrong]), np.array([wrong, 1e300])):
        with pytest.raises(InvalidTensors, match="not finite"):
            Grid(1.0).measure(lambda values=values: [np.ones(3), values])


def test_a_norm_is_positive_and_finite() -> None:
    for norm in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="norm"):
            Grid(norm)


def test_nothing_is_a_vector_too() -> None:
    grid = Grid(1.0)
    assert grid.measure(list).squares == 0
    assert clipped(grid, np.zeros(0)).dtype == np.int64


def test_a_coarser_grid_clips_to_the_same_norm() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=3000)
    fine = Grid(0.7)
    for coarser in (0, 1, 7, 23):
        grid = Grid(0.7, fine.exponent + coarser)
        assert grid.bound == int(0.7 / 2.0**grid.exponent)
        places = grid.clip(values, grid.measure(lambda: [values]))
        assert int(places @ places) <= grid.bound**2
    for wrong in (fine.exponent - 1, 0):
        with pytest.raises(ValueError, match="step"):
            Grid(0.7, wrong)
