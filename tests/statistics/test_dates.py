"""Statistics of moments are read as dates, and stay counts for whoever computes with them."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_ext.statistics.dates import date_text
from syft_ext.statistics.partial import Lack, Partial
from syft_ext.statistics.result import Analysis

MICROSECONDS = "µs since 1970-01-01 00:00 UTC"
PER_SECOND = {"ns": 1e9, "µs": 1e6, "ms": 1e3, "s": 1.0, "min": 1 / 60, "h": 1 / 3600}


@given(
    st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)),
    st.sampled_from(sorted(PER_SECOND)),
)
def test_a_mean_reads_as_the_moment_that_it_counts(moment: datetime.datetime, part: str) -> None:
    seconds = (moment - datetime.datetime(1970, 1, 1)).total_seconds()
    text = date_text("mean", seconds * PER_SECOND[part], f"{part} since 1970-01-01 00:00 (no time zone)")
    assert text is not None
    assert abs(datetime.datetime.fromisoformat(text) - moment) <= datetime.timedelta(seconds=1)


def test_what_is_no_moment_stays_a_number() -> None:
    assert date_text("mean", 5.0, "d since 1970-01-01") == "1970-01-06"
    assert date_text("std", 2 * 86_400e6, MICROSECONDS) == "2 d"
    for statistic, number, unit in (
        ("count", 5, MICROSECONDS),
        ("variance", 5.0, MICROSECONDS),
        ("mean", float("nan"), MICROSECONDS),
        ("mean", 1e30, MICROSECONDS),
        ("mean", None, MICROSECONDS),
        ("mean", 5.0, "µs since midnight"),
        ("mean", 5.0, "years"),
        ("mean", 5.0, ""),
    ):
        assert date_text(statistic, number, unit) is None


def analysis(**more: object) -> Analysis:
    lacking = Partial(1.7e15, (Lack("south", "t", "it hides it"),))
    return Analysis(
        ["mean"], ["seen"], [], [()], {("mean", "seen"): [lacking]}, {}, [], [("north", "t")],
        measured_in={"seen": MICROSECONDS}, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_table_shows_dates_with_star_and_noise_and_pandas_the_counts() -> None:
    pytest.importorskip("pandas")
    assert "2023-11-14 22:13:20 UTC*" in repr(analysis())
    noisy = analysis(errors={("mean", "seen"): [3 * 86_400e6]})
    assert "2023-11-14 22:13:20 UTC ± 3 d*" in repr(noisy)
    assert "2023-11-14 22:13:20 UTC*" in analysis()._repr_html_()
    assert analysis().to_pandas()["mean"].tolist() == [1.7e15]


def test_an_analysis_without_numbers_by_column_shows_no_empty_table() -> None:
    import numpy as np

    found = Analysis(
        ["correlation"],
        ["a"],
        [],
        [()],
        {},
        {"correlation": np.ones((1, 1))},
        [],
        [("<n>", "t")],
        notes=["why"],
    )
    assert repr(found).splitlines()[:3] == ["Statistics of 1 table at <n>", "why", ""]
    assert "(none)" not in repr(found) + found._repr_html_()
    assert "&lt;n&gt;" in found._repr_html_()
