"""What has no value has none: constants, columns that follow from one another, empty groups, separation.

Rounding is told from numbers by a tolerance that is relative to the size of the values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import syft_ext as sy
from syft_ext.messages.policy import SitePolicy
from tests.statistics.local_domain import local_domains

SPREAD = ["mean", "std", "variance"]


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-1e300, 1e300),
    st.lists(st.integers(1, 50), min_size=1, max_size=4),
    st.integers(1, 9),
)
@example(value=7.339695861940735e250, sizes=[6], chunk=6)  # the square of the mean's rounding is infinite
@example(value=7.339695861940735e250, sizes=[5, 12], chunk=6)
def test_a_constant_never_varies(tmp_path_factory: Any, value: float, sizes: list[int], chunk: int) -> None:
    """Property: whatever its value, number and division into sites and stretches; in groups, too."""
    from grid.statistics import reading, regressions

    folder = tmp_path_factory.getbasetemp() / "constant"
    random = np.random.default_rng(sum(sizes))
    parts = [
        {"c": np.full(size, value), "x": random.normal(size=size), "g": np.arange(size) % 2} for size in sizes
    ]
    with pytest.MonkeyPatch.context() as patch:
        for module in (reading, regressions):
            patch.setattr(module, "CHUNK_ROWS", chunk)
        tables = local_domains(folder, parts)
        result = sy.analyze(tables, [*SPREAD, "quantile", "histogram", "min", "max"], columns="c", ddof=0)
        assert result["mean", "c"] == result["min", "c"] == result["quantile", "c"][0.5] == value
        assert result["std", "c"] == result["variance", "c"] == 0.0
        assert any("c does not vary" in note for note in result.notes)
        assert sum(result["histogram", "c"].counts) == sum(sizes)
        groups = sy.analyze(tables, "std", columns="c", by="g", ddof=0)
        assert set(groups["std", "c"].values()) == {0.0}
        whole = sy.analyze(tables, ["covariance", "correlation"], columns=["c", "x"], ddof=0)
        assert whole["covariance"][0].tolist() == [0.0, 0.0] and np.isnan(whole["correlation"][0]).all()
        assert any("c does not vary" in note for note in whole.notes)
        fit = sy.analyze(tables, "linear_regression", columns="c", target="x")
        assert np.isnan(list(fit["linear_regression"].coefficients.values())).all()
        assert fit["linear_regression"].note and fit["linear_regression"].note in " ".join(fit.notes)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 1 << 20),
    st.sampled_from([-40, -7, 3, 60]),
    st.lists(st.integers(3, 40), min_size=1, max_size=3),
)
def test_results_scale_with_the_unit(tmp_path_factory: Any, seed: int, power: int, sizes: list[int]) -> None:
    """Property: in another unit (by a power of two) numbers are the same to the last digit, scaled."""
    folder = tmp_path_factory.getbasetemp() / "scale"
    random = np.random.default_rng(seed)
    factor = 2.0**power
    parts = [{"x": random.normal(2, 1, size), "y": random.gamma(2, 1, size)} for size in sizes]
    scaled = [{name: values * factor for name, values in part.items()} for part in parts]
    asked = [*SPREAD, "sum", "quantile", "covariance", "correlation", "linear_regression"]
    one, other = (
        sy.analyze(local_domains(folder, each), asked, columns=["x"], target="y") for each in (parts, scaled)
    )
    for statistic, degree in (("mean", 1), ("sum", 1), ("std", 1), ("variance", 2)):
        assert other[statistic, "x"] == one[statistic, "x"] * factor**degree
    assert other["covariance"].tolist() == (one["covariance"] * factor**2).tolist()
    assert other["correlation"].tolist() == one["correlation"].tolist()
    slope = one["linear_regression"].coefficients["x"]
    assert other["linear_regression"].coefficients["x"] == pytest.approx(slope, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 20), st.sampled_from([1e6, 1e9, -1e12]), st.integers(1, 3))
def test_large_offsets_lose_no_digits(tmp_path_factory: Any, seed: int, offset: float, sites: int) -> None:
    """Property: what is subtracted exactly changes neither deviations nor correlations nor slopes."""
    folder = tmp_path_factory.getbasetemp() / "offset"
    random = np.random.default_rng(seed)
    parts = []
    for _ in range(sites):
        x = offset + np.round(random.normal(size=20) * 1024) / 4096
        parts.append({"x": x, "near": x - offset, "y": random.normal(size=20)})
    tables = local_domains(folder, parts)
    result = sy.analyze(tables, SPREAD, columns=["x", "near"])
    assert result["std", "x"] == pytest.approx(result["std", "near"], rel=1e-12)
    far, near = (
        sy.analyze(tables, ["correlation", "linear_regression"], columns=[name], target="y")[
            "linear_regression"
        ]
        for name in ("x", "near")
    )
    assert far.coefficients["x"] == pytest.approx(near.coefficients["near"], rel=1e-9)
    assert far.standard_errors["x"] == pytest.approx(near.standard_errors["near"], rel=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize(
    "make",
    [
        lambda a, b: 2 * a,
        lambda a, b: a + b,
        lambda a, b: a - b / 3 + 1,
        lambda a, b: a * (1 + 1e-15),
        lambda a, b: -a + 1000,
    ],
)
def test_columns_that_follow_from_one_another(tmp_path: Path, dtype: str, make: Any) -> None:
    """To the rounding of their type; never coefficients beyond all measure."""
    random = np.random.default_rng(4)
    parts = []
    for rows in (60, 41):
        a, b = random.normal(5, 1, rows).astype(dtype), random.normal(0, 1, rows).astype(dtype)
        y = a.astype(float) + random.normal(size=rows)
        parts.append({"a": a, "b": b, "c": make(a, b).astype(dtype), "y": y, "ill": (y > 5).astype(int)})
    tables = local_domains(tmp_path, parts)
    for statistic, target in (("linear_regression", "y"), ("logistic_regression", "ill")):
        fit = sy.analyze(tables, statistic, columns=["a", "b", "c"], target=target)[statistic]
        assert np.isnan([*fit.coefficients.values(), *fit.standard_errors.values(), fit.r2]).all()
        assert "follow from one another" in fit.note and "a" in fit.note.split(":")[1]
        assert "–" in repr(fit) or "nan" in repr(fit)


def test_a_small_real_difference_is_no_rounding(tmp_path: Path) -> None:
    """One step of the last digit, at one row of many, is told from none."""
    for value in (1.0, 1.999, 0.1, 1e9 + 0.1, -3e-7):
        values = np.full(1000, value)
        values[3] = np.nextafter(value, np.inf)
        (table,) = local_domains(tmp_path, [{"x": values}])
        result = sy.analyze(table, ["std", "histogram"], columns="x")
        assert 0 < result["std", "x"] == pytest.approx(float(np.std(values - value, ddof=1)), rel=0.1)
        assert sum(result["histogram", "x"].counts) == 1000


def test_empty_groups_and_single_rows(tmp_path: Path) -> None:
    rows = {"x": np.array([1.0, np.nan, 3.0, 4.0, 4.0]), "g": np.array([0, 1, 2, 3, 3]), "y": np.arange(5.0)}
    (table,) = local_domains(tmp_path, [rows])
    result = sy.analyze(table, ["count", *SPREAD, "min", "quantile"], columns="x", by="g")
    assert np.isnan([result[each, "x"][1] for each in (*SPREAD, "min")]).all()
    assert np.isnan(result["quantile", "x"][1][0.5]) and result["count", "x"][1] == 0
    assert result["mean", "x"][0] == 1 and np.isnan(result["std", "x"][0])
    text = " ".join(result.notes)
    assert "x has no values in 1" in text and "no more values than ddof = 1 in 0; 2" in text
    assert "x does not vary in 3" in text
    (one,) = local_domains(tmp_path, [{"x": np.array([1.0]), "y": np.array([2.0]), "ill": np.array([1])}])
    whole = sy.analyze(one, ["covariance", "correlation", "linear_regression"], columns="x", target="y")
    assert np.isnan(whole["covariance"]).all() and np.isnan(whole["correlation"]).all()
    assert "too few" in whole["linear_regression"].note and "too few" in repr(whole)
    fit = sy.analyze(one, "logistic_regression", columns="x", target="ill")["logistic_regression"]
    assert np.isnan(fit.coefficients["x"]) and "too few" in fit.note


@pytest.mark.parametrize(
    ("name", "x", "z"),
    [
        ("wholly", np.arange(40.0), np.arange(40) > 19),
        ("with a gap", np.r_[np.arange(20.0), np.arange(20.0) + 1e6], np.arange(40) > 19),
        ("but for one value", np.r_[np.arange(20.0), 19.0 + np.arange(20.0)], np.arange(40) > 19),
        (
            "by a rare value",
            (np.arange(40) < 5).astype(float),
            (np.arange(40) < 5) | (np.arange(40) % 2 == 0),
        ),
    ],
)
def test_separation_is_noted(tmp_path: Path, name: str, x: Any, z: Any) -> None:
    parts = [{"x": x[::2], "z": z[::2].astype(int)}, {"x": x[1::2], "z": z[1::2].astype(int)}]
    result = sy.analyze(local_domains(tmp_path, parts), "logistic_regression", columns="x", target="z")
    fit = result["logistic_regression"]
    assert np.isnan(list(fit.coefficients.values())).all(), name
    assert (
        "separation" in fit.note and "separation" in " ".join(result.notes) and "separation" in repr(result)
    )


def test_targets_without_a_regression(tmp_path: Path) -> None:
    x = np.arange(30.0)
    rows = {"x": x, "same": x * 0 + 7, "exact": 3 * x + 1, "none": np.zeros(30, dtype=int)}
    (table,) = local_domains(tmp_path, [rows])
    flat = sy.analyze(table, "linear_regression", columns="x", target="same")["linear_regression"]
    assert flat.coefficients["x"] == 0 and np.isnan(flat.r2) and "does not vary" in flat.note
    exact = sy.analyze(table, "linear_regression", columns="x", target="exact")["linear_regression"]
    assert exact.coefficients["x"] == pytest.approx(3) and exact.standard_errors["x"] == 0 and exact.r2 == 1
    assert "exactly" in exact.note
    fit = sy.analyze(table, "logistic_regression", columns="x", target="none")["logistic_regression"]
    assert np.isnan(fit.coefficients["x"]) and "always 0" in fit.note


def test_a_guarded_constant_has_no_correlation_of_noise(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    rows = {"c": np.full(5000, 3.0), "x": random.normal(size=5000)}
    tables = local_domains(
        tmp_path, [rows], policy=SitePolicy(min_rows=10), bounds={"c": (0.0, 10.0), "x": (-4.0, 4.0)}
    )
    result = sy.analyze(tables, ["covariance", "correlation"], columns=["c", "x"])
    if not np.isnan(result["correlation"][0, 1]):  # a constant within bounds that were measured
        assert abs(result["correlation"][0, 1]) < 0.5
    else:
        assert any("c varies by no more than the noise" in note for note in result.notes)


def test_values_whose_squares_no_double_holds(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    (table,) = local_domains(
        tmp_path, [{"big": random.normal(size=30) * 1e200, "small": random.normal(size=30) * 1e-160}]
    )
    result = sy.analyze(table, ["covariance", "correlation"], columns=["big", "small"])
    assert np.isnan(result["correlation"]).all()
    assert any("big" in note and "beyond what doubles hold" in note for note in result.notes)
    assert any("small" in note for note in result.notes)


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e300, 1e300), st.integers(1, 200), st.integers(0, 20))
def test_a_histogram_of_nearly_equal_values_counts_all(
    tmp_path_factory: Any, value: float, bins: int, steps: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "nearly"
    high = value
    for _ in range(steps):
        high = float(np.nextafter(high, np.inf))
    assume(np.isfinite(high - value))
    (table,) = local_domains(folder, [{"x": np.array([value, high, value])}])
    found = sy.analyze(table, "histogram", columns="x", bins=bins)["histogram", "x"]
    assert sum(found.counts) == 3 and (found.below, found.above) == (0, 0)


def test_what_varies_beyond_doubles_is_not_taken_for_a_constant(tmp_path: Path) -> None:
    """Squares of the values, and of what rounding left of their mean, are infinite: that is said, never 0."""
    random = np.random.default_rng(1)
    parts = [{"c": random.normal(size=40) * 1e200, "g": np.arange(40) % 2} for _ in range(2)]
    tables = local_domains(tmp_path, parts)
    result = sy.analyze(tables, SPREAD, columns="c")
    assert not np.isfinite(result["std", "c"]) and not any("does not vary" in note for note in result.notes)
    groups = sy.analyze(tables, "std", columns="c", by="g")
    assert not np.isfinite(list(groups["std", "c"].values())).any()
