"""An attacker who knows nothing of how answers are made, over random sequences of all kinds of questions.

They collect the answers to all users, and solve them by elimination, least squares and linear programs
(:mod:`tests.statistics.guarded.attacker`). Against exact answers they find every count; so they can.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grid.privacy.budget.ledger import PARTS
from syft_ext.messages.policy import SitePolicy
from tests.statistics.guarded.attacker import Asked, Attacker, World, until_refused
from tests.statistics.local_domain import LocalLedger, local_domains

K = 10
WORLD = World({"a": 2, "b": 3, "c": 4, "d": 2})
NAMES = sorted(WORLD.columns)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worlds")


@pytest.fixture(scope="module")
def known(folder: Path) -> Attacker:
    """Has learnt what questions are made of; each test takes its equations with it."""
    return Attacker(WORLD, folder)


def fresh(known: Attacker) -> Attacker:
    attacker = Attacker.__new__(Attacker)
    attacker.__dict__.update(known.__dict__)
    attacker._rows, attacker._answers = [], []
    return attacker


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    """Of any kind, with overlapping keys, nested edges and columns of 0 and 1."""
    by = tuple(draw(st.lists(st.sampled_from(NAMES), max_size=3, unique=True)))
    columns = tuple(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True)))
    kind = draw(st.sampled_from(["count", "mean", "sum", "variance", "histogram", "quantile", "missing"]))
    if kind == "histogram":
        low = draw(st.sampled_from([-0.5, 0.5, 1.0]))
        return Asked(("count", "histogram"), columns, by, (low, low + 1.0, low + 2.5))
    if kind == "quantile":
        return Asked(("count", "quantile"), columns, by)
    statistics = {"mean": ("count", "mean"), "variance": ("count", "mean", "variance")}.get(kind, (kind,))
    return Asked(statistics, columns, by)


def table(seed: int) -> list[int]:
    """900 people of 48 kinds, most of them rare."""
    random = np.random.default_rng(seed)
    counts: list[int] = random.multinomial(900, random.dirichlet(np.full(len(WORLD.kinds), 0.6))).tolist()
    return counts


BY = [by for size in range(5) for by in itertools.combinations(NAMES, size)]
EVERY_MARGIN = [Asked(("count", "mean", "variance"), (column,), by) for column in NAMES for by in BY]


def small_of(counts: list[int]) -> list[int]:
    return [kind for kind, count in enumerate(counts) if 0 < count < K]


def test_against_exact_answers_the_attack_succeeds(known: Attacker, folder: Path) -> None:
    """All three ways: else what follows would show nothing."""
    counts = table(1)
    attacker = fresh(known)
    domain = WORLD.site(folder, counts, SitePolicy())
    assert until_refused(domain, EVERY_MARGIN, attacker) == len(EVERY_MARGIN)
    small = small_of(counts)
    assert len(small) > 15
    found = attacker.eliminated()
    assert {kind: found.get(kind) for kind in small} == {kind: counts[kind] for kind in small}
    estimate, seen = attacker.least_squares()
    assert seen.all() and np.abs(estimate - counts).max() < 1e-6
    for kind in small[:3]:
        interval = attacker.interval(kind, 1e-3)
        assert interval is not None and max(abs(end - counts[kind]) for end in interval) < 0.1


@pytest.mark.parametrize("edges", [False, True])
def test_who_subtracts_histograms_finds_nothing(tmp_path: Path, edges: bool) -> None:
    """99 overlapping histograms of age by a diagnosis gave 105 exact cells of 1 to 9 patients."""
    random = np.random.default_rng(3)
    age = np.clip(random.normal(55, 18, 400).round(), 0, 99).astype(int)
    ill = random.integers(0, 2, 400)
    truth = np.stack([np.bincount(age[ill == sex], minlength=100) for sex in (0, 1)])

    def attack(policy: SitePolicy) -> tuple[float, float, int]:
        """The share of small cells that rounding finds, the rms error, and what the ledger was charged for."""
        (domain,) = local_domains(
            tmp_path,
            [{"age": age, "ill": ill}],
            policy=policy,
            bounds={"age": (0, 120), "ill": (0, 1)},
            secret=b"another secret of 32 bytes here!",
        )
        below = []
        for cut in range(1, 101):
            bins = [0.0, float(cut)] if edges else [-1.0, cut - 0.5, 121.0]
            analysis = Asked(("histogram",), ("age",), ("ill",), tuple(bins)).ask(domain)
            cells = [analysis.values["histogram", "age"][at].counts[0] for at in range(2)]
            below.append([np.nan if cell is None else cell for cell in cells])
        got = np.diff(np.array(below).T, axis=1)
        true = np.pad(truth, ((0, 0), (0, 1)))[:, 2:101] if edges else truth[:, 1:100]
        small = (true > 0) & (true < K) & ~np.isnan(got)
        right = float((np.rint(got) == true)[small].mean())
        return right, float(np.sqrt(np.nanmean((got - true)[small] ** 2))), len(domain.ledger.made)

    control = attack(SitePolicy())
    assert control[0] > 0.95, "exact answers give the cells away"
    right, error, measured = attack(SitePolicy(min_rows=K))
    assert right < 0.3 and error > 2.5
    assert measured == 2, "the rows and one histogram: all 100 are functions of it"


def test_the_mean_of_ones_is_not_their_number(tmp_path: Path) -> None:
    """One honest question: count times the mean of a column of 0 and 1 was the exact number of ones."""
    random = np.random.default_rng(0)
    region, ill = random.integers(0, 20, 3000), (random.random(3000) < 0.02).astype(float)
    truth = np.bincount(region, weights=ill, minlength=20)

    def found(policy: SitePolicy) -> Any:
        (domain,) = local_domains(
            tmp_path, [{"ill": ill, "g": region}], policy=policy, bounds={"g": (0, 19), "ill": (0, 1)}
        )
        analysis = Asked(("count", "mean"), ("ill",), ("g",)).ask(domain)
        count, mean = analysis["count", "ill"], analysis["mean", "ill"]
        return np.array([count.get(g, 0) * mean.get(g, np.nan) for g in range(20)])

    assert np.array_equal(np.rint(found(SitePolicy())), truth)
    got = found(SitePolicy(min_rows=K))
    seen = ~np.isnan(got)
    assert seen.sum() > 15 and np.sqrt(np.mean((got - truth)[seen] ** 2)) > 2
    assert (np.rint(got) == truth)[seen].mean() < 0.3


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(questions(), min_size=5, max_size=40), st.integers(0, 1 << 20))
def test_random_sequences_of_all_users(known: Attacker, folder: Path, asked: list[Asked], seed: int) -> None:
    """Whatever is asked, until the ledger is empty: no count is determined, and none is known better than ρ
    allows.

    Elimination takes answers as exact, and so finds whole numbers that are wrong as often as any guess is. Least
    squares, with all equations, misses by at least 1/√(2ρ) for what was spent.
    """
    counts = table(seed % 7)
    ledger = LocalLedger()
    secret = seed.to_bytes(32, "big")
    policy = SitePolicy(min_rows=K)
    domain = WORLD.site(folder, counts, policy, ledger=ledger, secret=secret)
    attacker = fresh(known)
    until_refused(domain, asked, attacker)
    if not attacker._rows:
        return
    estimate, seen = attacker.least_squares()
    small = [kind for kind in small_of(counts) if seen[kind]]
    exact = sum(abs(estimate[kind] - counts[kind]) < 1e-3 for kind in small)
    assert exact <= 1 + len(small) // 10, "nothing is determined"
    found = attacker.eliminated()
    right = sum(found.get(kind) == counts[kind] for kind in small_of(counts))
    assert right <= 3 + len(small_of(counts)) // 4
    assert ledger.spent <= round(0.5396 * PARTS)


def emptied(known: Attacker, folder: Path, seed: int) -> tuple[list[int], Attacker, LocalLedger]:
    """A ledger emptied by margins in a random order; what its attacker learnt."""
    counts, ledger = table(seed), LocalLedger()
    secret = (1000 + seed).to_bytes(32, "big")
    domain = WORLD.site(folder, counts, SitePolicy(min_rows=K), ledger=ledger, secret=secret)
    attacker = fresh(known)
    order = np.random.default_rng(seed).permutation(len(EVERY_MARGIN))
    until_refused(domain, [EVERY_MARGIN[place] for place in order], attacker)
    return counts, attacker, ledger


def test_all_margins_of_all_users_together(known: Attacker, folder: Path) -> None:
    """The best estimate from all answers, in units of the least spread that the ledger allows, and its hits."""
    misses: list[float] = []
    hits: list[bool] = []
    for seed in range(6):
        counts, attacker, ledger = emptied(known, folder, seed)
        estimate, seen = attacker.least_squares()
        floor = 1 / math.sqrt(2 * ledger.spent / PARTS)
        small = [kind for kind in small_of(counts) if seen[kind]]
        misses += [(estimate[kind] - counts[kind]) / floor for kind in small]
        hits += [round(float(estimate[kind])) == counts[kind] for kind in small]
    assert len(misses) > 60
    assert np.sqrt(np.mean(np.square(misses))) > 1.0
    assert np.mean(hits) < 0.35


def test_linear_programs_leave_wide_intervals(tmp_path: Path) -> None:
    """With all that is told of 48 kinds of rows, and noise taken to be within four standard deviations."""
    counts, ledger = table(3), LocalLedger()
    domain = WORLD.site(tmp_path, counts, SitePolicy(min_rows=K), ledger=ledger)
    attacker = Attacker(WORLD, tmp_path)
    until_refused(domain, [Asked(("count",), (column,), by) for column in "ab" for by in BY], attacker)
    widths = [
        interval[1] - interval[0]
        for kind in small_of(counts)[:5]
        if (interval := attacker.interval(kind, 4 * K)) is not None
    ]
    assert widths and min(widths) > 10


def test_versions_pool_their_ledger_and_not_their_noise(known: Attacker, folder: Path) -> None:
    """Two versions that differ by a row differ in exact answers by that row; here by noise of either."""
    counts = table(2)
    kind = counts.index(max(counts))
    more = [count + (place == kind) for place, count in enumerate(counts)]
    question = Asked(("count",), ("a",), ("b", "c"))

    def difference(policy: SitePolicy) -> Any:
        ledger = LocalLedger()
        both = [WORLD.site(folder, each, policy, ledger=ledger) for each in (counts, more)]
        answers = []
        for domain in both:
            attacker = fresh(known)
            attacker.learn(question, question.ask(domain))
            answers.append(attacker.system[1])
        return None if len(answers[0]) != len(answers[1]) else answers[1] - answers[0]

    exact = difference(SitePolicy())
    assert np.abs(exact).sum() == 1
    noisy = difference(SitePolicy(min_rows=K))
    assert noisy is None or np.count_nonzero(noisy) > 2
