"""Noise for the site's epsilon: its distribution, what it is added to, and what cannot be had with it."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import syft_ext as sy
from grid.privacy.mechanisms.discrete_laplace import laplace
from grid.statistics import private
from grid.statistics.private import ClippedSums, cost
from syft_ext.errors import BadRequest, Forbidden
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.statistics import Begin, Bins
from tests.statistics.local_domain import LocalDomain, local_domains

BOUNDS = {"age": (0.0, 100.0), "sex": (0.0, 1.0), "region": (1.0, 3.0)}


@pytest.mark.parametrize(("sensitivity", "epsilon"), [(1, 1.0), (1, 0.3), (7, 2.0)])
def test_the_noise_has_the_distribution_that_it_should(sensitivity: int, epsilon: float) -> None:
    """P(x) = (1 − p)/(1 + p) p^|x| with p = exp(−ε/Δ): each frequency within five standard errors."""
    draws = 20_000
    counted = Counter(laplace(sensitivity, epsilon) for _ in range(draws))
    p = math.exp(-epsilon / sensitivity)
    for x in range(-6, 7):
        expected = (1 - p) / (1 + p) * p ** abs(x)
        assert abs(counted[x] / draws - expected) < 5 * math.sqrt(expected / draws)


def test_noise_on_sums_is_of_their_scale() -> None:
    draws = [laplace(1 << 24, 0.5) / (1 << 24) for _ in range(4000)]
    assert np.mean(np.abs(draws)) == pytest.approx(2.0, rel=0.1)  # the mean size is Δ/ε


@pytest.fixture
def table(tmp_path: Path) -> LocalDomain:
    random = np.random.default_rng(3)
    age = random.normal(50, 10, 5000)
    age[:100] = np.nan
    rows = {"age": age, "sex": random.integers(0, 2, 5000), "region": random.integers(1, 4, 5000),
            "free": age}  # fmt: skip
    (domain,) = local_domains(tmp_path, [rows], policy=SitePolicy(statistics_epsilon=1.0), bounds=BOUNDS)
    return domain


def test_answers_are_near_the_truth_and_not_the_truth(table: LocalDomain) -> None:
    asked = ["count", "missing", "sum", "mean", "histogram"]
    results = [sy.analyze(table, asked, columns="age", bins=4) for _ in range(8)]
    for name, truth, off in (
        ("count", 4900, 25),
        ("missing", 100, 25),
        ("mean", 50.0, 1.0),
        ("sum", 245e3, 4e3),
    ):
        found = [result[name, "age"] for result in results]
        assert all(abs(number - truth) < off for number in found), name
        assert len(set(found)) > 1, name
    histogram = results[0]["histogram", "age"]
    assert histogram.edges == [0, 25, 50, 75, 100]  # the owner's bounds
    assert sum(histogram.counts) == pytest.approx(4900, abs=100)
    assert results[0].epsilon == {"site 0": 4.0}
    assert "ε 4 spent" in repr(results[0])


def test_groups_are_those_that_the_schema_allows(table: LocalDomain) -> None:
    table.bounds["region"] = (0.0, 5.0)
    result = sy.analyze(table, ["count", "mean"], columns="age", by=["sex", "region"])
    assert result.groups == [(sex, region) for sex in range(2) for region in range(6)]
    assert abs(result["count", "age"][0, 5]) < 40  # nobody lives there
    assert result.epsilon == {"site 0": 2.0}  # one row is in one group


def test_small_noisy_counts_are_kept_back(table: LocalDomain) -> None:
    table.bounds["region"] = (0.0, 3.0)
    table.policy = SitePolicy(statistics_epsilon=5.0, min_rows=200)
    result = sy.analyze(table, ["count", "mean"], columns="age", by="region")
    assert result["count", "age"][0] is None and result["mean", "age"][0] is None
    assert result["count", "age"][2] > 200


@pytest.mark.parametrize(
    "statistic", ["min", "max", "std", "variance", "quantile", "covariance", "correlation"]
)
def test_statistics_without_a_mechanism_are_refused(table: LocalDomain, statistic: str) -> None:
    with pytest.raises(Forbidden, match="no mechanism"):
        sy.analyze(table, statistic, columns="age")
    assert not table.replies


def test_columns_without_bounds_are_refused(table: LocalDomain) -> None:
    with pytest.raises(BadRequest, match=r"'free'.*low and high"):
        sy.analyze(table, "mean", columns="free")
    del table.bounds["region"]
    with pytest.raises(BadRequest, match="'region'"):
        sy.analyze(table, "mean", columns="age", by="region")


def test_one_row_moves_a_clipped_sum_by_no_more_than_its_sensitivity() -> None:
    """Also where floating-point sums would lose the row altogether, or count it twice."""
    values = np.array([1e300, -1e300, 17.123456789, 100.0, 0.0, np.inf])
    for index in range(len(values)):
        sums = []
        for rows in (values, np.delete(values, index)):
            clipped = ClippedSums((0.0, 100.0), 1)
            clipped.add(clipped.clip(rows), None)
            sums.append((int(clipped.count[0]), int(clipped._steps[0])))
        assert sums[0][0] - sums[1][0] == 1
        assert abs(sums[0][1] - sums[1][1]) <= private._GRID


def test_what_an_analysis_costs() -> None:
    def price(statistics: list[str], columns: int = 1, by: int = 0, histograms: int = 0) -> float:
        names = [f"c{index}" for index in range(columns)]
        bins = [Bins(column=name) for name in names[:histograms]]
        message = Begin(
            object_id="0" * 32, statistics=statistics, columns=names, by=["g"] * by, histograms=bins
        )
        return cost(message, 0.5)

    assert price(["count"]) == 0.5
    assert price(["mean"]) == price(["count", "sum", "mean"]) == 1.0  # noisy count and noisy sum
    assert price(["count", "missing"], columns=3) == 3.0
    assert price(["histogram"], columns=2, histograms=2) == 1.0
    assert price(["mean"], by=1) == price(["mean"])
