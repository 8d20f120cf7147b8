"""Bounds hold up to the precision in which they were told."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from syft_ext.sources.rule.bounds import beyond

FINITE = st.floats(-1e30, 1e30)


@given(st.lists(FINITE, min_size=1, max_size=30), st.booleans(), st.booleans())
def test_what_bounds_were_made_of_is_within_them(values: list[float], kept: bool, told: bool) -> None:
    """Property: whether the rows, the bounds or both were rounded to single precision on their way."""
    double = np.array(values)
    single = double.astype(np.float32)
    source = single if told else double
    rows = single.astype(np.float64) if kept else double
    low, high = float(source.min()), float(source.max())
    if any(bound.is_integer() for bound in (low, high)) and kept != told:
        low, high = low - abs(low) * 1e-6 - 1, high + abs(high) * 1e-6 + 1
    assert not beyond(rows, low, high).any()
    assert not beyond(rows.astype(np.float32), low, high).any()


@given(FINITE, st.floats(1e-6, 1e6))
def test_what_is_further_out_is_beyond(bound: float, share: float) -> None:
    out = abs(bound) * share + 1e-30
    assert beyond(np.array([bound + out, bound - out]), bound, None).tolist() == [False, True]
    assert beyond(np.array([bound + out, bound - out]), None, bound).tolist() == [True, False]


def test_whole_bounds_hold_exactly() -> None:
    second = 1_700_000_000.0
    assert beyond(np.array([second, second + 1, np.nan, np.inf]), None, second).tolist() == [
        False,
        True,
        False,
        True,
    ]
    assert beyond(np.array([2**53, 2**53 + 1]), None, float(2**53)).tolist() == [False, True]


def test_a_bound_told_in_single_precision_takes_the_row_it_was_told_of() -> None:
    """The smallest of a published column, 0.00089480000315, and the file's own 0.0008948."""
    assert not beyond(np.array([0.0008948]), float(np.float32(0.0008948)), 1.5).any()
