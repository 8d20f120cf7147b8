"""The strongest attacker: has every number that was ever measured, and knows what each is made of.

What a measurement is made of is learnt by giving its vector one row of each kind: nothing is assumed of how
it works, so a kind that is added later is covered, too. The best linear estimate (generalised least
squares) must be as far off as what was charged says, and no farther: noise that is less than stated is
found, and so is noise that is more.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import syft_ext as sy
from grid.privacy.budget.ledger import PARTS
from grid.statistics.guarded.measurement import Measurement
from grid.statistics.guarded.release import Release
from grid.statistics.guarded.vectors import Vector
from syft_ext.errors import GridError
from syft_ext.messages.policy import SitePolicy
from tests.statistics.guarded.attacker import World
from tests.statistics.local_domain import LocalDomain, LocalLedger

K = 10
WORLD = World({"a": 2, "b": 3, "c": 4, "d": 2})
NAMES = sorted(WORLD.columns)


class Watched:
    """All that releases make, with the vectors as they were before they saw a row."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[Measurement, Vector, float, NDArray[Any]]] = []
        make = Release._make

        def watched(release: Release, missing: Any, precision: int, read: Any) -> None:
            untouched: list[Vector] = []

            def reading(vectors: Sequence[Vector]) -> Any:
                untouched.extend(copy.deepcopy(list(vectors)))
                return read(vectors)

            before = len(release.fresh)
            make(release, missing, precision, reading)
            for (measurement, _), vector, made in zip(
                missing.values(), untouched, release.fresh[before:], strict=True
            ):
                deviation = release.deviation(measurement, precision)
                self.seen.append((measurement, vector, deviation, made.numbers))

        monkeypatch.setattr(Release, "_make", watched)

    def system(self, world: World) -> tuple[NDArray[Any], NDArray[Any]]:
        """Equations and numbers, each in units of its noise."""
        rows, answers = [], []
        for _, vector, deviation, numbers in self.seen:
            columns = [_of_one(vector, world, kind) for kind in world.kinds]
            rows.append(np.array(columns, dtype=np.float64).T / deviation)
            answers.append(numbers / deviation)
        return np.concatenate(rows), np.concatenate(answers)


def _of_one(vector: Vector, world: World, kind: tuple[int, ...]) -> NDArray[Any]:
    """The vector of a table of one row."""
    mine, value = copy.deepcopy(vector), dict(zip(world.columns, kind, strict=True))
    keys = [np.array([value[key.name]]) for key in mine.grouping.keys]
    mine.add([np.array([value[column.name]]) for column in mine.columns], mine.grouping.codes(keys))
    return mine.result()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


KINDS = ["count", "missing", "sum", "mean", "std", "quantile", "histogram", "correlation", "linear_regression",
         "logistic_regression"]  # fmt: skip


def ask(domain: LocalDomain, kind: str, by: Sequence[str], columns: Sequence[str], edge: float) -> None:
    """One analysis of this kind, if the site answers it."""
    options: dict[str, Any] = {"by": list(by) or None}
    if kind == "histogram":
        options["bins"] = [edge - 1.0, edge, edge + 2.0]
    if kind in ("correlation", "linear_regression", "logistic_regression"):
        options = {} if kind == "correlation" else {"target": "a"}
        columns = [name for name in columns if name != "a"] or ["d"]
        if kind == "correlation":
            columns = sorted({*columns, "c"})
    with suppress(GridError):
        sy.analyze(domain, kind, columns=list(columns), **options)


def estimate(watched: Watched, counts: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Per kind of row: how far off the best estimate is, its standard deviation, and whether it is determined."""
    matrix, answers = watched.system(WORLD)
    information = matrix.T @ matrix
    inverse = np.linalg.pinv(information, rcond=1e-10, hermitian=True)
    seen = np.abs(inverse @ information - np.eye(len(counts))).max(axis=1) < 1e-4
    return inverse @ (matrix.T @ answers) - np.array(counts), np.sqrt(np.diag(inverse)), seen


def people(seed: int) -> list[int]:
    random = np.random.default_rng(seed)
    counts: list[int] = random.multinomial(900, random.dirichlet(np.full(len(WORLD.kinds), 0.6))).tolist()
    return counts


def test_what_was_charged_is_what_can_be_learnt(tmp_path: Path, watched: Watched) -> None:
    """All users' analyses of all kinds, until nothing more is answered; over six tables and secrets."""
    scores: list[float] = []
    least, right, small = math.inf, 0, 0
    for seed in range(6):
        watched.seen.clear()
        counts, ledger = people(seed), LocalLedger()
        policy = SitePolicy(min_rows=K)
        domain = WORLD.site(tmp_path, counts, policy, ledger=ledger, secret=(seed + 1).to_bytes(32, "big"))
        random = np.random.default_rng(seed)
        for _ in range(70):
            by = random.choice(NAMES, random.integers(0, 4), replace=False).tolist()
            columns = random.choice(NAMES, random.integers(1, 3), replace=False).tolist()
            ask(domain, str(random.choice(KINDS)), by, columns, float(random.choice([0.0, 0.5, 1.0])))
        off, deviation, seen = estimate(watched, counts)
        floor = 1 / math.sqrt(2 * ledger.spent / PARTS)
        assert (deviation[seen] > 0.999 * floor).all(), (
            "nobody knows a count better than what was spent allows"
        )
        few = [kind for kind, count in enumerate(counts) if 0 < count < K and seen[kind]]
        scores += (off / deviation)[seen].tolist()
        least = min(least, *deviation[few], math.inf)
        right += sum(round(float(off[kind])) == 0 for kind in few)
        small += len(few)
    assert small > 40 and least > 1.5
    assert right / small < 0.3
    assert 0.85 < math.sqrt(np.mean(np.square(scores))) < 1.15, "the noise is as large as it is said to be"


def test_without_noise_the_same_attacker_knows_everything(
    tmp_path: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same measurements, with noise taken away by the test: so the attack can succeed."""
    from syft_ext.privacy import noise

    monkeypatch.setattr(noise.Draws, "add", lambda self, values: None)
    counts = people(1)
    domain = WORLD.site(tmp_path, counts, SitePolicy(min_rows=K))
    for by in (
        ("a", "b"),
        ("b", "c"),
        ("c", "d"),
        ("a", "d"),
        ("a", "b", "c"),
        ("b", "c", "d"),
        ("a", "c", "d"),
    ):
        for column in NAMES:
            ask(domain, "mean", by, [column], 0.0)
            ask(domain, "quantile", by, [column], 0.0)
    off, _, seen = estimate(watched, counts)
    assert seen.sum() > 40 and np.abs(off[seen]).max() < 1e-6


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(KINDS),
            st.lists(st.sampled_from(NAMES), max_size=3, unique=True),
            st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True),
            st.sampled_from([0.0, 0.5, 1.0]),
        ),
        max_size=25,
    ),
    st.integers(0, 5),
)
def test_no_sequence_of_questions_beats_the_ledger(
    tmp_path_factory: pytest.TempPathFactory,
    watched: Watched,
    sequence: list[tuple[str, list[str], list[str], float]],
    seed: int,
) -> None:
    watched.seen.clear()
    counts, ledger = people(seed), LocalLedger()
    folder = tmp_path_factory.mktemp("table")
    domain = WORLD.site(folder, counts, SitePolicy(min_rows=K), ledger=ledger)
    for kind, by, columns, edge in sequence:
        ask(domain, kind, by, columns, edge)
    if not watched.seen:
        return
    assert len({made[1] for made in ledger.made}) == len(ledger.made), "nothing is measured twice"
    _, deviation, seen = estimate(watched, counts)
    floor = 1 / math.sqrt(2 * ledger.spent / PARTS)
    assert (deviation[seen] > 0.999 * floor).all()


def test_of_two_worlds(tmp_path: Path) -> None:
    """Is one row in the table? Who knows all others and all noisy numbers is right as often as ρ says at most."""
    counts = people(4)
    kind = counts.index(max(counts))
    more = [count + (place == kind) for place, count in enumerate(counts)]
    statistics = []
    for present in (counts, more):
        found = []
        for trial in range(400):
            ledger = LocalLedger()
            secret = (trial + 1).to_bytes(32, "big")
            domain = WORLD.site(tmp_path, present, SitePolicy(min_rows=K), ledger=ledger, secret=secret)
            for column in ("a", "b"):
                ask(domain, "count", ["c", "d"], [column], 0.0)
            # The row is once in each of three vectors of equal noise: their sum over its cells is what tells most.
            value = dict(zip(WORLD.columns, WORLD.kinds[kind], strict=True))
            group = value["c"] * WORLD.columns["d"] + value["d"]
            found.append(
                sum(int(numbers[group] if len(numbers) > 1 else numbers[0]) for *_, numbers in ledger.made)
            )
        statistics.append(np.array(found))
        rho = ledger.spent / PARTS
    cut = (statistics[0].mean() + statistics[1].mean()) / 2
    right = (np.mean(statistics[0] < cut) + np.mean(statistics[1] >= cut)) / 2
    bound = 0.5 * (1 + math.erf(math.sqrt(2 * rho) / 2 / math.sqrt(2)))
    assert 0.5 < bound < 0.58
    assert right < bound + 4 * 0.5 / math.sqrt(800)
