"""What one row, or one person, moves: never more than what a measurement is charged for."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import syft_ext as sy
from grid.statistics.guarded import measurement as m
from grid.statistics.guarded import release, vectors
from grid.statistics.guarded.measurement import Measurement
from grid.statistics.guarded.release import Release
from grid.statistics.guarded.schema import Person
from grid.statistics.guarded.vectors import Grouping, read_vectors
from grid.statistics.sweep import Opened
from syft_ext.errors import GridError
from syft_ext.messages.policy import SitePolicy
from tests.statistics.local_domain import LocalDomain, local_domains

BOUNDS = {"age": (0.0, 120.0), "sex": (0.0, 1.0), "region": (0.0, 9.0)}
ALL = {"rows", "log", "count", "sum", "square", "cells", "comoments", "gradient", "hessian"}


def rows(seed: int, many: int = 900) -> dict[str, Any]:
    """With outliers, gaps, infinities and values beyond the bounds that the owner gave."""
    random = np.random.default_rng(seed)
    bmi = random.lognormal(3.3, 0.2, many)
    bmi[:6] = [1e9, -1e9, np.inf, -np.inf, np.nan, 1e-300]
    crp = random.lognormal(1.0, 1.0, many)
    crp[random.random(many) < 0.1] = np.nan
    age = random.integers(0, 121, many)
    age[:3] = [500, -40, 120]
    return {
        "age": age,
        "sex": random.integers(0, 2, many),
        "region": random.integers(0, 12, many),  # two more than the schema knows
        "bmi": bmi,
        "crp": crp,
        "wide": random.integers(-(1 << 50), 1 << 50, many),
        "ill": (random.random(many) < 0.4).astype(np.int64) + (np.arange(many) == 7) * 5,
        "who": np.arange(many) // 3,
    }


def ask_everything(domain: LocalDomain) -> None:
    for statistics, options in (
        (["count", "missing", "sum", "std", "quantile"], {"columns": ["age", "bmi", "crp", "wide"]}),
        (["mean", "std", "quantile"], {"columns": ["age", "bmi", "crp"], "by": ["sex", "region"]}),
        (["correlation"], {"columns": ["age", "bmi", "crp", "wide"]}),
        (["linear_regression"], {"columns": ["age", "sex"], "target": "bmi"}),
        (["logistic_regression"], {"columns": ["age", "sex", "crp"], "target": "ill"}),
    ):
        sy.analyze(domain, statistics, **options)  # type: ignore[arg-type]


class Audit:
    """Remembers each measurement, with the vector before it saw a row, and what it was of these rows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: dict[str, tuple[Measurement, Any]] = {}
        make = Release._make

        def watched(self_: Release, missing: Any, precision: int, read: Any) -> None:
            def reading(vectors: Any) -> Any:
                for (measurement, question), vector in zip(missing.values(), vectors, strict=True):
                    self.seen[question] = (measurement, copy.deepcopy(vector))
                return read(vectors)

            make(self_, missing, precision, reading)

        monkeypatch.setattr(Release, "_make", watched)

    def worst(self, table: dict[str, Any], without: np.ndarray[Any, Any]) -> dict[str, float]:
        """Of each kind: the square of what leaving these rows out moves, by what it is charged for."""
        found: dict[str, float] = {}
        for measurement, vector in self.seen.values():
            results = []
            for kept in (np.ones(len(table["age"]), dtype=bool), ~without):
                mine = copy.deepcopy(vector)
                keys = [table[key.name][kept] for key in mine.grouping.keys]
                mine.add([table[column.name][kept] for column in mine.columns], mine.grouping.codes(keys))
                results.append(mine.result().astype(object))
            moved = sum(int(each) ** 2 for each in results[0] - results[1])
            share = moved / float(measurement.units * measurement.variance)
            kind = str(measurement.key["kind"])
            found[kind] = max(found.get(kind, 0.0), share)
        return found


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> Audit:
    return Audit(monkeypatch)


@pytest.mark.parametrize("seed", range(3))
def test_no_row_moves_a_vector_by_more_than_is_charged(tmp_path: Path, audit: Audit, seed: int) -> None:
    table = rows(seed)
    policy = SitePolicy(min_rows=2, statistics_total=1000.0)
    (domain,) = local_domains(tmp_path, [table], policy=policy, bounds=BOUNDS)
    ask_everything(domain)
    assert {str(measurement.key["kind"]) for measurement, _ in audit.seen.values()} == ALL
    worst: dict[str, float] = {}
    random = np.random.default_rng(seed)
    for row in [*range(8), *random.integers(0, len(table["age"]), 12).tolist()]:
        without = np.arange(len(table["age"])) == row
        for kind, share in audit.worst(table, without).items():
            worst[kind] = max(worst.get(kind, 0.0), share)
    assert all(share <= 1.0 + 1e-12 for share in worst.values()), worst
    # A bound that is never approached would be noise for nothing.
    assert all(worst[kind] > 0.5 for kind in ("rows", "log", "count", "sum", "square", "cells", "comoments"))


def test_the_worst_row_reaches_the_bounds(tmp_path: Path, audit: Audit) -> None:
    """Every value at a bound: the squares are then all that is charged for."""
    many = 900
    table = rows(1, many)
    policy = SitePolicy(min_rows=2, statistics_total=1000.0)
    (domain,) = local_domains(tmp_path, [table], policy=policy, bounds=BOUNDS)
    ask_everything(domain)
    extreme = {name: np.append(values, values.max()) for name, values in table.items()}
    extreme["bmi"][-1] = extreme["crp"][-1] = 1e300
    extreme["wide"][-1], extreme["age"][-1] = 1 << 60, 10_000
    worst = audit.worst(extreme, np.arange(many + 1) == many)
    assert worst["comoments"] == pytest.approx(1.0) and worst["sum"] == worst["square"] == 1.0
    assert all(share <= 1.0 for share in worst.values())


def test_a_person_moves_no_more_than_their_rows(tmp_path: Path) -> None:
    """The first rows of each person count: whoever leaves takes theirs along and nobody else's."""
    random = np.random.default_rng(5)
    people = random.integers(0, 60, 500)
    people[:100] = 7  # one person has more rows than count
    table = {"who": people, "x": random.integers(0, 10, 500)}
    most = 4
    found = {}
    for person in (None, 7, 3, 11):
        kept = np.ones(500, dtype=bool) if person is None else people != person
        (domain,) = local_domains(
            tmp_path,
            [{name: values[kept] for name, values in table.items()}],
            policy=SitePolicy(min_rows=5),
            bounds={"x": (0, 9)},
            person=("who", most),
        )
        with Opened(domain._blobs, domain._digest, "tensors") as opened:
            column = opened.table.columns["x"]
            wanted = [
                m.rows(column),
                m.counts(Grouping(), column),
                m.cells(Grouping(), column, np.arange(11) - 0.5),
            ]
            who = Person(opened.table.columns["who"], most)
            found[person] = read_vectors(opened, [each.vector() for each in wanted], who)
    sizes = np.minimum(np.bincount(people, minlength=60), most)
    assert found[None][0][0] == sizes.sum()
    for person in (7, 3, 11):
        for whole, without in zip(found[None], found[person], strict=True):
            moved = whole - without
            assert (moved >= 0).all() and moved.max() <= most
        assert (found[None][0] - found[person][0])[0] == sizes[person]


def test_the_noise_of_persons_is_as_much_larger(tmp_path: Path) -> None:
    table = {"who": np.arange(6000) // 3, "x": np.random.default_rng(1).normal(50, 9, 6000)}
    plain, persons = (
        local_domains(tmp_path, [table], policy=SitePolicy(min_rows=10), person=person)[0]
        for person in (None, ("who", 3))
    )
    for domain, noise in ((plain, 10.0), (persons, 30.0)):
        result = sy.analyze(domain, ["count", "mean"], columns="x")
        assert domain.replies[0].noise == noise
        assert abs(result["count", "x"] - 6000) < 5 * noise
        assert result.error("count", "x") == 2 * noise
    few = local_domains(tmp_path, [table], policy=SitePolicy(min_rows=10), person=("who", 1))[0]
    assert abs(sy.analyze(few, "count", columns="x")["count", "x"] - 2000) < 60, "one row of each"


def test_everything_that_is_told_is_a_function_of_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the rows taken away, all is answered again, at other edges too; a replica says the same."""
    table = rows(2)
    policy = SitePolicy(min_rows=5, statistics_total=100.0)
    domain, replica = (
        local_domains(tmp_path / name, [table], policy=policy, bounds=BOUNDS)[0] for name in ("one", "two")
    )
    question: Any = (["count", "mean", "std", "quantile"], {"columns": ["age", "bmi"], "by": "sex"})
    first = sy.analyze(domain, question[0], **question[1])
    spent = domain.ledger.spent

    def gone(*_: Any, **__: Any) -> Any:
        raise AssertionError("the rows were read")

    with monkeypatch.context() as patch:
        patch.setattr(vectors, "stretches", gone)
        again = sy.analyze(domain, question[0], **question[1])
        for edges in (np.linspace(0, 120, 400), np.linspace(15, 50, 7)):
            sy.analyze(domain, "histogram", columns="age", by="sex", bins=edges.tolist())
        with pytest.raises(AssertionError, match="rows were read"):
            sy.analyze(domain, "mean", columns="crp")
    assert again.values == first.values and domain.ledger.spent == spent
    assert sy.analyze(replica, question[0], **question[1]).values == first.values
    other = local_domains(tmp_path / "two", [table], policy=policy, bounds=BOUNDS, secret=bytes(32))[0]
    assert sy.analyze(other, question[0], **question[1]).values != first.values


def test_errors_and_shapes_are_those_of_a_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tables that differ by one row, under the same noise: the same refusals, groups, flags and prices.

    The test makes the noise equal, by leaving content and bounds out of its key. What then differs is what a row
    does directly, which must be within the numbers, and never in what is refused or listed.
    """
    key = release.derive_key

    def same(secret: bytes, purpose: str, content: bytes, question: bytes) -> bytes:
        said = json.loads(question)
        kept = {name: said[name] for name in ("kind", "column", "columns", "by") if name in said}
        return key(secret, purpose, json.dumps(kept).encode())

    monkeypatch.setattr(release, "derive_key", same)
    random = np.random.default_rng(6)
    many = 45
    base = {
        "x": random.normal(0, 1, many),
        "g": random.integers(0, 5, many),
        "t": (np.arange(many) == 3).astype(float) * 2,  # no target of 0 and 1
        "rare": np.where(np.arange(many) < 9, 1.0, np.nan),
    }
    extra = {"x": [1e12], "g": [900_000], "t": [17.0], "rare": [np.inf]}
    both = [
        base,
        {name: np.append(values, extra[name]).astype(values.dtype) for name, values in base.items()},
    ]
    outcomes: list[list[Any]] = []
    for table in both:
        (domain,) = local_domains(tmp_path, [table], policy=SitePolicy(min_rows=10, statistics_total=50.0))
        domain.bounds = {"g": (0, 4)}
        found: list[Any] = []
        for statistics, options in (
            (["count"], {"columns": ["x", "rare"]}),
            (["mean", "std"], {"columns": ["x"], "by": "g"}),
            (["quantile"], {"columns": ["rare"]}),
            (["histogram"], {"columns": ["x"], "range": (-1, 1)}),
            (["min"], {"columns": ["x"]}),
            (["linear_regression"], {"columns": ["x"], "target": "rare"}),
            (["logistic_regression"], {"columns": ["x"], "target": "t"}),
            (["correlation"], {"columns": ["x", "rare"]}),
        ):
            try:
                analysis = sy.analyze(domain, statistics, **options)  # type: ignore[arg-type]
                found.append((len(domain.replies[-1].columns), analysis.notes != []))
            except GridError as error:
                found.append((type(error), error.detail))
        outcomes.append([*found, sorted(made[2] for made in domain.ledger.made)])
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("value", [0.0, 1e300, -1e300, 5e-324, float("inf")])
def test_columns_of_one_value_and_of_the_largest(tmp_path: Path, audit: Audit, value: float) -> None:
    """Where bounds fall together, or lie as far apart as doubles do, sums stay whole and bounded."""
    many = 600
    values = np.where(np.arange(many) % 2 == 0, value, -value)
    table = {"x": values, "y": np.full(many, value), "age": np.arange(many) % 90}
    policy = SitePolicy(min_rows=5, statistics_total=200.0)
    for bounds in ({}, {"x": (-1.7e308, 1.7e308)}):
        (domain,) = local_domains(tmp_path, [table], policy=policy, bounds=bounds)
        for name in ("x", "y"):
            sy.analyze(domain, ["count", "mean", "std", "quantile"], columns=name)
        try:
            sy.analyze(domain, "correlation", columns=["x", "y", "age"])
        except GridError as error:
            assert "noise" in error.detail or "too far apart" in error.detail
    worst = audit.worst(table, np.arange(many) == 3)
    assert all(share <= 1.0 for share in worst.values()), worst


def test_more_noise_than_numbers_carry_is_refused(tmp_path: Path) -> None:
    table = {"x": np.arange(50.0), "y": np.arange(50.0) ** 2}
    (domain,) = local_domains(tmp_path, [table], policy=SitePolicy(min_rows=1 << 40))
    assert sy.analyze(domain, "count", columns="x")["count", "x"] is None
    with pytest.raises(GridError, match="noise"):
        sy.analyze(domain, "correlation", columns=["x", "y"])


def test_keys_of_which_nothing_is_seen(tmp_path: Path) -> None:
    table = {"x": np.arange(20.0), "g": np.arange(20)}
    (domain,) = local_domains(tmp_path, [table], policy=SitePolicy(min_rows=50))
    assert sy.analyze(domain, ["count", "quantile"], columns="x", by="g").groups == []
