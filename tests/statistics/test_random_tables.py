"""A seeded slice of the 1,000 tables of :mod:`tests.statistics.random_tables`."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("statsmodels")

from tests.statistics.random_tables import check


@pytest.mark.parametrize("first", range(0, 16, 4))
def test_random_tables_agree_with_pandas_scipy_and_statsmodels(first: int, tmp_path: Path) -> None:
    assert sum(check(seed, tmp_path) for seed in range(first, first + 4)) > 500
