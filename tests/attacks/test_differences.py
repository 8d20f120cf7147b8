"""Attacks by subtraction, on a deployed Domain that demands ten rows behind every number.

Each is made twice: without the policy it gives cells of one to nine people away, which shows that it works; with
it, they are off by more than they are large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from syft_ext.errors import Forbidden, GridError
from syft_ext.messages.datasets import Asset, Column, CreateDataset, UpdateAsset
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.messages.statistics import Begin, Bins, Continue, Logistic, RankQuery
from syft_ext.statistics.order import key_of
from tests.compute.lab import Person

from .site import OWNER, Site

ROWS, K = 400, 10
RANDOM = np.random.default_rng(3)
AGE = np.clip(RANDOM.normal(55, 18, ROWS).round(), 0, 99).astype(int)
HIV = RANDOM.integers(0, 2, ROWS)
TRUTH = np.stack([np.bincount(AGE[ill == HIV], minlength=101) for ill in (0, 1)])
#: Ages of which one to nine people have a diagnosis: those that nobody is to be told of.
SMALL = (TRUTH > 0) & (TRUTH < K)
SMALL[:, 0] = SMALL[:, 99:] = False

Cells = np.ndarray[Any, Any]


class Cohort:
    """Ann's cohort, of which Eve may have statistics."""

    def __init__(self, site: Site, name: str) -> None:
        self.owner, self.ann, self.eve = (
            Person(site.domain.url, email) for email in (OWNER, "ann@x.org", "eve@x.org")
        )
        self.columns = [Column(name="age", low=0.0, high=120.0), Column(name="hiv", low=0.0, high=1.0)]
        self.table = self.put(AGE, HIV)
        asset = Asset(name="cohort", object_id=self.table, columns=self.columns)
        self.dataset = self.ann.call(CreateDataset(name=name, assets=[asset]))

    def put(self, age: Cells, hiv: Cells) -> str:
        table = self.ann.put({"age": torch.from_numpy(age), "hiv": torch.from_numpy(hiv)}, "tensors")
        self.ann.share(table, analysts=[self.eve.id])
        return table

    def begin(self, *statistics: Any, **fields: Any) -> Any:
        message = {"object_id": self.table, "columns": ["age"], **fields}
        return self.eve.call(Begin(statistics=list(statistics), **message))


def in_one_analysis(cohort: Cohort) -> Cells:
    """99 overlapping histograms, in one question."""
    bins = [Bins(column="age", edges=[-1.0, float(cut), 121.0]) for cut in range(1, 101)]
    reply = cohort.begin("histogram", by=["hiv"], histograms=bins)
    below = np.array([[row[1] for row in each.counts] for each in reply.histograms], dtype=float).T
    return np.concatenate([np.full((2, 1), np.nan), np.diff(below, axis=1), np.full((2, 1), np.nan)], axis=1)


def in_many_analyses(cohort: Cohort) -> Cells:
    """The same, one by one, with another lower edge every time."""
    found = np.full((2, 101), np.nan)
    for age in range(1, 100):
        sums = []
        for upper in (age, age + 1):
            bins = [Bins(column="age", edges=[-1.0 - age / 7, float(upper)])]
            reply = cohort.begin("histogram", by=["hiv"], histograms=bins)
            sums.append([row[1] for row in reply.histograms[0].counts])
        # The last bin holds its upper edge.
        found[:, age + 1] = np.array(sums[1], dtype=float) - np.array(sums[0], dtype=float)
    return found


def by_ranks(cohort: Cohort) -> Cells:
    """Ranges between neighbouring doubles, which are asked to find quantiles."""
    begun = cohort.begin("quantile", by=["hiv"])
    found = np.full((2, 101), np.nan)
    for ill in (0, 1):
        queries = [
            RankQuery(column="age", start=key_of(age) - (1 << 63), shift=0, bins=1, group=ill)
            for age in range(1, 100)
        ]
        ranks = cohort.eve.call(Continue(analysis_id=begun.analysis_id, ranks=queries)).ranks
        found[ill, 1:100] = [sum(each.counts) for each in ranks]
    return found


def by_steep_regressions(cohort: Cohort) -> Cells:
    """A gradient where every row is certain counts those beyond a threshold; both values of the target at once."""
    found = np.full((2, 101), np.nan)
    begun = cohort.begin("logistic_regression", target="hiv")
    counts = []
    for threshold in range(1, 60):
        if threshold % 50 == 49:
            begun = cohort.begin("logistic_regression", target="hiv")
        point = Logistic(coefficients=[0.0, 40.0], center=[threshold - 0.5], scale=[1.0])
        reply = cohort.eve.call(Continue(analysis_id=begun.analysis_id, logistic=point))
        counts.append(reply.logistic.gradient[0])
    # Σ (y − [age ≥ threshold]): the difference of two is how many are of one age.
    single = np.diff(counts)
    for place, number in enumerate(single):
        found[:, place + 1] = number - TRUTH[::-1, place + 1]  # whoever knows one diagnosis finds the other
    return found


@pytest.fixture(scope="module")
def cohort(site: Site) -> Cohort:
    return Cohort(site, "a cohort to subtract")


@pytest.fixture
def guarded(cohort: Cohort) -> Iterator[None]:
    """The site demands ten rows; what was set before is set again."""
    cohort.owner.call(SetPolicy(policy=SitePolicy(min_rows=K)))
    yield
    cohort.owner.call(SetPolicy(policy=SitePolicy()))


def exact_cells(found: Cells) -> float:
    """The share of small cells that rounding gives away."""
    seen = SMALL & ~np.isnan(found)
    return float((np.rint(found) == TRUTH)[seen].mean()) if seen.any() else 0.0


ATTACKS = [in_one_analysis, in_many_analyses, by_ranks]


@pytest.mark.parametrize("attack", [*ATTACKS, by_steep_regressions])
def test_it_works_on_exact_answers(cohort: Cohort, attack: Callable[[Cohort], Cells]) -> None:
    assert exact_cells(attack(cohort)) > 0.95


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("attack", ATTACKS)
def test_it_finds_nothing_where_ten_rows_are_demanded(
    cohort: Cohort, attack: Callable[[Cohort], Cells]
) -> None:
    found = attack(cohort)
    assert exact_cells(found) < 0.3, "less than by saying the most frequent count every time"
    seen = SMALL & ~np.isnan(found)
    assert not seen.any() or np.sqrt(np.mean((found - TRUTH)[seen] ** 2)) > 2


@pytest.mark.usefixtures("guarded")
def test_steep_points_are_refused(cohort: Cohort) -> None:
    """400 rows are too few for a regression there; and no point is answered at which rows are certain."""
    with pytest.raises(GridError):
        by_steep_regressions(cohort)


@pytest.mark.usefixtures("guarded")
def test_asking_again_is_no_second_draw(cohort: Cohort) -> None:
    """However a question is written: keys in another order, columns together or apart, another user."""
    one = cohort.begin("mean", "count", columns=["age", "hiv"], by=["hiv"])
    two = cohort.begin("count", "mean", columns=["age"], by=["hiv"])
    assert one.columns[0].mean == two.columns[0].mean and two.units == 0
    again = cohort.ann.call(
        Begin(object_id=cohort.table, statistics=["mean", "missing"], columns=["hiv", "age"], by=["hiv"])
    )
    assert again.columns[1].mean == one.columns[0].mean and again.units == 0


def test_a_row_more_is_not_the_difference_of_two_versions(cohort: Cohort) -> None:
    """Ann adds one patient; exact counts before and after say who."""
    newer = cohort.put(np.append(AGE, 97), np.append(HIV, 1))

    def difference() -> Any:
        counts = []
        for table in (cohort.table, newer):
            bins = [Bins(column="age", low=0.0, high=100.0, count=100)]
            reply = cohort.begin("histogram", by=["hiv"], histograms=bins, object_id=table)
            counts.append(np.array([row[1:-1] for row in reply.histograms[0].counts], dtype=float))
        return counts[1] - counts[0]

    assert np.argwhere(difference()).tolist() == [[1, 97]]
    cohort.ann.call(UpdateAsset(dataset_id=cohort.dataset.id, asset="cohort", object_id=newer))
    cohort.owner.call(SetPolicy(policy=SitePolicy(min_rows=K)))
    try:
        seen = difference()
        assert np.argwhere(np.nan_to_num(seen)).tolist() != [[1, 97]]
    finally:
        cohort.owner.call(SetPolicy(policy=SitePolicy()))


@pytest.mark.usefixtures("guarded")
def test_the_ledger_ends_whoever_asks(cohort: Cohort) -> None:
    """Ann and Eve together: what is new is refused when nothing is left; what was told is told again."""
    first = cohort.begin("mean", by=["hiv"])
    refused = None
    for precision in range(1, 100):
        who = cohort.ann if precision % 2 else cohort.eve
        try:
            who.call(
                Begin(
                    object_id=cohort.table,
                    statistics=["std"],
                    columns=["age"],
                    by=["hiv"],
                    precision=precision,
                )
            )
        except Forbidden as error:
            refused = error
            break
    assert refused is not None and "told what its owner lets out" in refused.detail
    assert cohort.begin("mean", by=["hiv"]).columns == first.columns
