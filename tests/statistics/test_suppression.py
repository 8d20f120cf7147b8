"""What a minimum of rows keeps back does not follow from what is answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import syft_ext as sy
from grid.privacy.mechanisms.suppression import hidden_cells
from syft_ext.errors import BadRequest, Forbidden
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.statistics import Bins, Continue, Logistic, RankQuery
from tests.statistics.local_domain import LocalDomain, local_domains

Cells = tuple[int | None, ...]


def compositions(cells: int, total: int) -> Iterator[tuple[int, ...]]:
    """All ways to divide a total among cells."""
    if cells == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in compositions(cells - 1, total - first):
            yield (first, *rest)


def answer(counts: tuple[int, ...], minimum: int) -> Cells:
    hidden = hidden_cells(np.array(counts), minimum)
    return tuple(None if secret else count for count, secret in zip(counts, hidden, strict=True))


@pytest.mark.parametrize("minimum", [2, 3, 4])
def test_nobody_who_knows_the_rule_and_the_total_can_tell_a_small_count(minimum: int) -> None:
    """An attacker tries every table: more than one gives this answer, and they disagree on each small cell."""
    for cells in range(1, 5):
        for total in range(minimum, 15):
            tables: dict[Cells, list[tuple[int, ...]]] = defaultdict(list)
            for counts in compositions(cells, total):
                tables[answer(counts, minimum)].append(counts)
            for seen, possible in tables.items():
                assert all(count is None or count == 0 or count >= minimum for count in seen)
                hidden = [place for place, count in enumerate(seen) if count is None]
                assert not hidden or sum(possible[0][place] for place in hidden) >= minimum
                for place in hidden:
                    values = {counts[place] for counts in possible}
                    assert len(values) > 1 or min(values) >= minimum, (seen, possible)


def test_counts_that_are_large_enough_are_all_shown() -> None:
    assert not hidden_cells(np.array([50, 40, 60]), 10).any()
    assert not hidden_cells(np.array([50, 0, 60, 0]), 10).any()
    assert not hidden_cells(np.array([1, 2]), 1).any()


def test_one_small_group_hides_a_second_one() -> None:
    assert hidden_cells(np.array([50, 3, 60, 40]), 10).tolist() == [False, True, False, True]
    assert hidden_cells(np.array([50, 3, 4, 40]), 10).tolist() == [False, True, True, True]


def total_of_hidden(reply: Any, whole: int) -> int:
    return whole - sum(count for count in reply.columns[0].count if count is not None)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=2, max_size=6),
    st.integers(2, 12),
    st.integers(0, 1 << 20),
)
def test_groups_of_an_answer(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], minimum: int, seed: int
) -> None:
    """Every number that is answered stands for enough rows, and so does what the total leaves over."""
    if sum(sizes) < minimum:
        return
    random = np.random.default_rng(seed)
    keys = np.repeat(np.arange(len(sizes)), sizes)
    values = random.normal(size=len(keys))
    values[random.random(len(keys)) < 0.2] = np.nan
    folder = tmp_path_factory.mktemp("groups")
    (domain,) = local_domains(folder, [{"x": values, "g": keys}], policy=SitePolicy(min_rows=minimum))
    result = sy.analyze(domain, ["count", "missing", "mean", "std", "histogram"], by="g", columns="x",
                        range=(-1, 1), bins=4)  # fmt: skip
    (reply,) = domain.replies
    whole = int((~np.isnan(values)).sum())
    left_over = total_of_hidden(reply, whole)
    assert left_over == 0 or left_over >= minimum or whole < minimum  # then nobody is told the whole
    for (key,), count, mean, m2 in zip(
        reply.groups, reply.columns[0].count, reply.columns[0].mean, reply.columns[0].m2, strict=True
    ):
        assert sizes[key] >= minimum
        assert (count is None) == (mean is None) == (m2 is None)
        assert count is None or count == 0 or count >= minimum
    for row, count in zip(reply.histograms[0].counts, reply.columns[0].count, strict=True):
        assert count is not None or set(row) == {None}  # else their sum would tell
        assert all(cell is None or cell == 0 or cell >= minimum for cell in row)
    shown = {key for (key,) in reply.groups}
    occupied = {key for key, size in enumerate(sizes) if size}
    assert reply.suppressed or shown == occupied
    assert bool(result.notes) == reply.suppressed


@pytest.fixture
def guarded(tmp_path: Path) -> LocalDomain:
    """A table of 100 rows at a site that wants five behind every number; seven of them are complete."""
    random = np.random.default_rng(0)
    rare = np.full(100, np.nan)
    rare[:7] = random.normal(size=7)
    few = np.full(100, np.nan)
    few[:4] = 1.0
    rows = {"x": random.normal(size=100), "rare": rare, "few": few, "z": random.integers(0, 2, 100)}
    (domain,) = local_domains(tmp_path, [rows], policy=SitePolicy(min_rows=5))
    return domain


@pytest.mark.parametrize("statistic", ["min", "max", "quantile"])
def test_values_of_single_rows_are_refused(guarded: LocalDomain, statistic: str) -> None:
    with pytest.raises(Forbidden, match="value of one"):
        sy.analyze(guarded, statistic, columns="x")


def test_a_column_with_hardly_a_value_is_kept_back(guarded: LocalDomain) -> None:
    result = sy.analyze(guarded, ["count", "mean", "sum", "missing"], columns=["x", "few"])
    assert result["count", "x"] == 100
    assert {result[name, "few"] for name in ("count", "mean", "sum", "missing")} == {None}
    assert "–" in repr(result) and "fewer than 5 rows" in repr(result)


def test_a_histogram_needs_a_range_and_is_settled_at_the_beginning(guarded: LocalDomain) -> None:
    with pytest.raises(BadRequest, match="range"):
        sy.analyze(guarded, "histogram", columns="x")
    sy.analyze(guarded, "histogram", columns="x", range=(-3, 3))
    (reply,) = guarded.replies
    assert not reply.columns[0].min
    with pytest.raises(BadRequest, match="settled"):
        guarded.call(Continue(analysis_id=reply.analysis_id, histograms=[Bins(column="x", low=-1, high=1)]))
    with pytest.raises(BadRequest, match="not begun for a quantile"):
        guarded.call(Continue(analysis_id=reply.analysis_id, ranks=[RankQuery(column="x", start=0, shift=4)]))


def test_regressions_need_more_rows_than_columns(guarded: LocalDomain) -> None:
    sy.analyze(guarded, "covariance", columns=["x", "rare"])
    with pytest.raises(Forbidden, match="at least 5 rows"):
        sy.analyze(guarded, "covariance", columns=["x", "few"])
    guarded.policy = SitePolicy(min_rows=2)
    with pytest.raises(Forbidden, match="more complete rows"):
        sy.analyze(guarded, "linear_regression", columns=["x", "few", "z"], target="rare")


def test_a_likelihood_of_few_rows_is_refused(guarded: LocalDomain) -> None:
    with pytest.raises(Forbidden):
        sy.analyze(guarded, "logistic_regression", columns="few", target="z")
    sy.analyze(guarded, "logistic_regression", columns="x", target="z")
    begun = guarded.replies[-1].analysis_id or guarded.replies[-2].analysis_id
    sure = Logistic(coefficients=[0.0, 1e6], center=[0.2], scale=[1.0])
    with pytest.raises(Forbidden, match="at least 5 rows"):  # would count the rows above 0.2
        guarded.call(Continue(analysis_id=begun, logistic=sure))
    with pytest.raises(BadRequest, match="finite"):
        point = Logistic(coefficients=[0.0, float("inf")], center=[0.0], scale=[1.0])
        guarded.call(Continue(analysis_id=begun, logistic=point))


def test_a_table_of_too_few_rows_is_refused(tmp_path: Path) -> None:
    (domain,) = local_domains(tmp_path, [{"x": np.arange(3.0)}], policy=SitePolicy(min_rows=4))
    with pytest.raises(Forbidden, match="at least 4 rows"):
        sy.analyze(domain, "count")


def test_other_sites_still_count_where_one_keeps_back(tmp_path: Path) -> None:
    keys = np.array([0] * 30 + [1] * 2 + [2] * 20)
    tables = local_domains(tmp_path, [{"x": np.arange(52.0), "g": keys}] * 2)
    tables[0].policy = SitePolicy(min_rows=5)
    result = sy.analyze(tables, "count", columns="x", by="g")
    assert result["count", "x"] == {0: 60, 1: 2, 2: 20}
    assert result.notes == ["site 0 keeps back what stands for fewer than 5 rows"]


def test_the_histogram_of_a_group_that_is_hidden_for_another_one(tmp_path: Path) -> None:
    """Its bins would add up to the very count that hides the small group's."""
    values = np.full(60, np.nan)
    values[:3] = values[20:35] = values[40:] = 0.5
    (domain,) = local_domains(
        tmp_path, [{"x": values, "g": np.repeat(np.arange(3), 20)}], policy=SitePolicy(min_rows=5)
    )
    result = sy.analyze(domain, ["count", "histogram"], by="g", columns="x", range=(0, 1), bins=1)
    assert result["count", "x"] == {0: None, 1: None, 2: 20}
    assert {key: found.counts for key, found in result["histogram", "x"].items()} == {
        0: [None],
        1: [None],
        2: [20],
    }
    assert (domain.replies[0].histograms[0].counts[1]) == [None, None, None]
