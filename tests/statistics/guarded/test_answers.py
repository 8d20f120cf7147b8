"""How good the answers of guarded tables are, and how they combine with exact ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import syft_ext as sy
from syft_ext.errors import BadRequest, Forbidden
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.statistics import Begin, Continue, Partials, RankQuery
from syft_ext.statistics.order import key_of
from tests.statistics.local_domain import LocalDomain, local_domains

BOUNDS = {"age": (0.0, 120.0), "region": (0.0, 9.0)}
GUARDED = SitePolicy(min_rows=10, statistics_total=30.0)


def hospital(rows: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    age = np.clip(random.normal(55, 18, rows).round(), 0, 110).astype(np.int64)
    bmi = np.exp(random.normal(3.28, 0.18, rows))
    crp = np.exp(random.normal(1, 1, rows))
    crp[random.random(rows) < 0.08] = np.nan
    smoker = random.random(rows) < 0.3
    sbp = 100 + 0.4 * age + 0.8 * bmi + random.normal(0, 12, rows)
    risk = 1 / (1 + np.exp(-(0.04 * (age - 55) + 0.05 * (bmi - 27) + 0.6 * smoker - 1.2)))
    return {
        "age": age,
        "bmi": bmi,
        "crp": crp,
        "sbp": sbp,
        "smoker": smoker,
        "sex": random.integers(0, 2, rows).astype(np.int8),
        "region": random.choice(10, rows, p=np.array([30, 20, 15, 10, 8, 6, 5, 3, 2, 1]) / 100),
        "dead": (random.random(rows) < risk).astype(np.int64),
    }


def site(
    folder: Path, rows: int, seed: int = 7, policy: SitePolicy = GUARDED
) -> tuple[LocalDomain, dict[str, Any]]:
    table = hospital(rows, seed)
    (domain,) = local_domains(folder, [table], policy=policy, bounds=BOUNDS)
    return domain, table


# -- bounds of utility: a change of the machinery that makes answers worse fails here


@pytest.mark.parametrize(
    ("rows", "mean", "rank", "bins"), [(10_000, 0.03, 0.02, 50), (100_000, 0.005, 0.004, 100)]
)
def test_tables_of_this_size_are_answered_so_well(
    tmp_path: Path, rows: int, mean: float, rank: float, bins: float
) -> None:
    domain, table = site(tmp_path, rows)
    asked = ["count", "mean", "std", "quantile"]
    result = sy.analyze(domain, asked, columns=["age", "bmi"], by="sex", q=(0.05, 0.5, 0.95))
    assert result.groups == [(0,), (1,)], "no group of other values of its type is made of noise"
    for column in ("age", "bmi"):
        for sex in (0, 1):
            values = table[column][table["sex"] == sex].astype(float)
            assert abs(result["count", column][sex] - len(values)) < 5 * domain.replies[0].noise
            assert abs(result["mean", column][sex] - values.mean()) < mean * values.std()
            assert result["std", column][sex] == pytest.approx(values.std(), rel=0.03)
            ordered = np.sort(values)
            for q, value in result["quantile", column][sex].items():
                low, high = (
                    np.searchsorted(ordered, value, side) / len(values) for side in ("left", "right")
                )
                assert low - rank < q < high + rank
    edges = [-0.5, 19.5, 39.5, 59.5, 79.5, 120.5]
    counted = sy.analyze(domain, "histogram", columns="age", by="sex", bins=edges)
    for sex in (0, 1):
        truth = np.histogram(table["age"][table["sex"] == sex], edges)[0]
        got = counted["histogram", "age"][sex].counts
        assert np.abs(np.array(got) - truth).max() < 2 * bins
    regions = sy.analyze(domain, ["count", "mean"], columns="age", by="region")
    large = [region for region in range(10) if (table["region"] == region).sum() > 300]
    for region in large:
        values = table["age"][table["region"] == region]
        off = abs(regions["mean", "age"][region] - values.mean())
        assert off < 2.5 * regions.error("mean", "age")[region] + 0.05


def test_regressions_are_near_those_of_the_rows(tmp_path: Path) -> None:
    domain, table = site(tmp_path, 100_000)
    result = sy.analyze(
        domain, ["correlation", "linear_regression"], columns=["age", "bmi", "smoker"], target="sbp"
    )
    whole = np.stack([table[name].astype(float) for name in ("age", "bmi", "smoker")])
    assert np.abs(result["correlation"] - np.corrcoef(whole)).max() < 0.02
    fit = result["linear_regression"].coefficients
    assert fit["age"] == pytest.approx(0.4, rel=0.05) and fit["bmi"] == pytest.approx(0.8, rel=0.1)
    logistic = sy.analyze(domain, "logistic_regression", columns=["age", "bmi", "smoker"], target="dead")
    found = logistic["logistic_regression"]
    for name, truth in (("age", 0.04), ("bmi", 0.05), ("smoker", 0.6)):
        assert abs(found.coefficients[name] - truth) < 4 * found.standard_errors[name]
    assert found.standard_errors["age"] < 0.004 and found.iterations == 5 and np.isnan(found.r2)
    assert "R²" not in repr(found)
    assert 0 < logistic.error("logistic_regression")["age"] < 2.1 * found.standard_errors["age"]


def test_what_is_said_of_the_noise_holds(tmp_path: Path) -> None:
    """Over many secrets, numbers are off by as much as their errors say."""
    table = hospital(4000, 3)
    scores: dict[str, list[float]] = {}
    for trial in range(25):
        (domain,) = local_domains(
            tmp_path, [table], policy=GUARDED, bounds=BOUNDS, secret=(trial + 1).to_bytes(32, "big")
        )
        asked = ["count", "sum", "mean", "variance", "std", "quantile", "histogram", "missing"]
        result = sy.analyze(domain, asked, columns=["age"], by="sex", q=0.5, bins=[-0.5, 39.5, 59.5, 120.5])
        matrix = sy.analyze(domain, "correlation", columns=["age", "smoker"])
        for sex in (0, 1):
            values = table["age"][table["sex"] == sex].astype(float)
            truth = {
                "count": len(values), "sum": values.sum(), "mean": values.mean(), "variance": values.var(ddof=1),
                "std": values.std(ddof=1), "missing": 0,
            }  # fmt: skip
            for name, true in truth.items():
                error = result.error(name, "age")[sex] / 2
                if name != "missing":
                    scores.setdefault(name, []).append((result[name, "age"][sex] - true) / error)
            off = abs(result["quantile", "age"][sex][0.5] - np.median(values))
            assert off <= result.error("quantile", "age")[sex][0.5] + 1.0
            got = np.array(result["histogram", "age"][sex].counts)
            counted = np.histogram(values, [-0.5, 39.5, 59.5, 120.5])[0]
            scores.setdefault("histogram", []).extend(
                (got - counted) / (result.error("histogram", "age")[sex] / 2)
            )
        true_matrix = np.corrcoef(table["age"], table["smoker"])[0, 1]
        error = matrix.error("correlation")[0, 1] / 2
        scores.setdefault("correlation", []).append((matrix["correlation"][0, 1] - true_matrix) / error)
    for name, found in scores.items():
        spread = np.sqrt(np.mean(np.square(found)))
        assert 0.4 < spread < 1.6, (name, spread)  # bounds cut a little off; deviations are to first order


def test_the_result_says_what_its_numbers_are(tmp_path: Path) -> None:
    domain, _ = site(tmp_path, 10_000)
    result = sy.analyze(domain, ["count", "mean"], columns="age", by="sex")
    (note,) = result.notes
    assert "every count carries noise, ±20 rows (two standard deviations)" in note
    assert "groups of fewer than about 30 rows are kept back" in note and "units of its ledger" in note
    assert "± " in repr(result) and "outer 0.2 %" in note
    assert note in repr(result) and result.units == {"site 0": domain.replies[0].units}
    again = sy.analyze(domain, ["count", "mean"], columns="age", by="sex")
    assert "this took nothing" in again.notes[0] and again.values == result.values
    finer = sy.analyze(domain, ["count", "mean"], columns="age", by="sex", precision=4)
    assert finer.error("count", "age")[0] == pytest.approx(result.error("count", "age")[0] / 2)
    assert finer["count", "age"] != result["count", "age"]
    exact = local_domains(tmp_path, [hospital(50, 1)])[0]
    assert sy.analyze(exact, "mean", columns="age").error("mean", "age") == 0.0
    with pytest.raises(sy.errors.NotFound):
        result.error("std", "age")


def test_small_groups_and_bins_are_kept_back(tmp_path: Path) -> None:
    keys = np.array([0] * 3000 + [1] * 8 + [2] * 900)
    values = np.where(np.arange(len(keys)) < 3000, 10.0, 90.0)
    (domain,) = local_domains(tmp_path, [{"x": values, "g": keys}], policy=GUARDED, bounds={"g": (0, 3)})
    result = sy.analyze(domain, ["count", "histogram"], columns="x", by="g", bins=[0, 50, 100])
    assert set(result["count", "x"]) == {0, 2}
    assert result["histogram", "x"][0].counts[1] is None and result["histogram", "x"][2].counts[1] > 800
    tiny = local_domains(tmp_path, [{"x": np.arange(4.0)}], policy=GUARDED)[0]
    whole = sy.analyze(tiny, ["count", "mean", "quantile"], columns="x", q=0.5)
    assert (whole["count", "x"], whole["mean", "x"], whole["quantile", "x"]) == (None, None, {0.5: None})
    assert "–" in repr(whole)


def test_what_the_value_of_one_row_is_is_refused(tmp_path: Path) -> None:
    domain, _ = site(tmp_path, 500)
    for statistic, q in (("min", 0.01), ("max", 0.99)):
        with pytest.raises(Forbidden, match=f"value of one row; by the site's policy ask quantile {q}"):
            sy.analyze(domain, statistic, columns="age")
    assert not domain.replies and not domain.ledger.made


def test_keys_without_bounds_are_those_that_noise_lets_see(tmp_path: Path) -> None:
    """Of whole numbers without a schema, the values in occupied powers of two; too many to name are refused."""
    random = np.random.default_rng(2)
    table = {
        "x": random.normal(size=5000),
        "g": random.integers(1, 4, 5000),
        "far": random.integers(0, 1 << 40, 5000),
    }
    (domain,) = local_domains(tmp_path, [table], policy=GUARDED)
    assert sy.analyze(domain, "count", columns="x", by="g").groups == [(1,), (2,), (3,)]
    with pytest.raises(BadRequest, match="too many values to group by"):
        sy.analyze(domain, "count", columns="x", by="far")


def test_ranks_add_up_to_the_count(tmp_path: Path) -> None:
    """Whatever ranges are asked, to the ends of all doubles: what the search for quantiles rests on."""
    domain, _ = site(tmp_path, 5000)
    begun = domain.call(Begin(object_id=domain.id, statistics=["quantile", "count"], columns=["age", "bmi"]))
    assert isinstance(begun, Partials)
    for column in ("age", "bmi"):
        count = begun.columns[["age", "bmi"].index(column)].count[0]
        queries = [
            RankQuery(column=column, start=-(1 << 63), shift=52, bins=4096),
            RankQuery(column=column, start=-(1 << 63), shift=64, bins=1),
            RankQuery(column=column, start=key_of(0.0) - (1 << 63), shift=51, bins=4096),
            RankQuery(column=column, start=(1 << 63) - 1, shift=0, bins=1),
        ]
        ranks = domain.call(Continue(analysis_id=begun.analysis_id, ranks=queries)).ranks
        assert [sum(each.counts) for each in ranks] == [count, count, count, 0]
        assert all(number > 0 for each in ranks for number in each.counts)


# -- with other sites


def test_exact_and_guarded_sites_together(tmp_path: Path) -> None:
    tables = [hospital(20_000, 1), hospital(9000, 2), hospital(20_000, 3)]
    sites = local_domains(tmp_path, tables, bounds=BOUNDS)
    sites[0].policy = sites[2].policy = GUARDED
    asked = ["count", "missing", "sum", "mean", "std", "quantile", "histogram"]
    result = sy.analyze(sites, asked, columns=["age", "crp"], by="sex", q=(0.1, 0.5, 0.9))
    pooled = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    for column in ("age", "crp"):
        for sex in (0, 1):
            values = pooled[column][pooled["sex"] == sex].astype(float)
            values = values[~np.isnan(values)]
            assert abs(result["count", column][sex] - len(values)) < 80
            assert result["mean", column][sex] == pytest.approx(values.mean(), rel=0.05)
            ordered = np.sort(values)
            for q, value in result["quantile", column][sex].items():
                low, high = (
                    np.searchsorted(ordered, value, side) / len(values) for side in ("left", "right")
                )
                assert low - 0.01 < q < high + 0.01
            assert sum(result["histogram", column][sex].at_least) == pytest.approx(len(values), abs=200)
    assert [note.split(":")[0] for note in result.notes] == ["site 0", "site 2", "crp"]
    assert "missing values" in result.notes[2] and not result.lacks
    assert result.error("count", "age")[0] == pytest.approx(2 * np.sqrt(200))
    fit = sy.analyze(sites, ["correlation", "linear_regression"], columns=["age", "bmi"], target="sbp")
    assert fit["linear_regression"].coefficients["age"] == pytest.approx(0.4, rel=0.15)
    logistic = sy.analyze(sites, "logistic_regression", columns=["age", "smoker"], target="dead")
    assert logistic["logistic_regression"].coefficients["age"] == pytest.approx(0.04, rel=0.25)


def test_a_site_that_keeps_a_column_back_is_not_asked_for_its_ranks(tmp_path: Path) -> None:
    many = hospital(4000, 1)
    rare = {**hospital(4000, 2), "crp": np.where(np.arange(4000) < 12, 1.0, np.nan)}
    kept_back = 0
    for trial in range(20):
        secret = (trial + 1).to_bytes(32, "big")
        sites = local_domains(tmp_path, [many, rare], bounds=BOUNDS, secret=secret)
        sites[1].policy = GUARDED
        result = sy.analyze(sites, "quantile", columns=["crp", "age"], by="sex", q=0.5)
        (told,) = (each.count for each in sites[1].replies[0].columns if each.name == "crp")
        for sex in (0, 1):
            if told[sex] is None:  # else its noise was more than two standard deviations
                kept_back += 1
                values = many["crp"][many["sex"] == sex]
                assert result["quantile", "crp"][sex][0.5] == np.nanmedian(values)
    assert kept_back >= 32


def test_counts_that_are_read_off_a_tree_say_their_own_noise(tmp_path: Path) -> None:
    """Where quantiles alone are asked for, no count is measured by itself: the sum of a tree has more noise."""
    table = hospital(4000, 1)
    errors = []
    for trial in range(40):
        secret = (trial + 1).to_bytes(32, "big")
        (domain,) = local_domains(tmp_path, [table], policy=GUARDED, bounds=BOUNDS, secret=secret)
        sy.analyze(domain, "quantile", columns="crp", by="sex", q=0.5)
        (column,) = domain.replies[0].columns
        for sex in (0, 1):
            true = np.count_nonzero((table["sex"] == sex) & ~np.isnan(table["crp"]))
            errors.append((column.count[sex] - true) / column.noise["count"][sex])
        assert domain.replies[0].noise == column.noise["count"][0] > 20
    assert abs(np.mean(errors)) < 0.5 and 0.6 < np.std(errors) < 1.4


def test_too_little_for_a_regression_is_said(tmp_path: Path) -> None:
    domain, _ = site(tmp_path, 200)
    with pytest.raises(Forbidden, match=r"too few (complete )?rows"):
        sy.analyze(domain, "linear_regression", columns=["age", "bmi", "smoker"], target="sbp")
