"""Attacks on noise: whoever knows the mechanism, but not the node's secret, tries to take it off.

One bit of one person decides whether a plan's results, or a participant's report, are all zeros or all ones. The
attackers look at what floating-point noise gives away (least significant bits, spacing, order of summation), and
at releases that share a key. The former are tried on noise of floats first, where they must succeed: an attack
that never works shows nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from blake3 import blake3
from numpy.typing import NDArray

from grid.aggregation.base import Contribution
from grid.aggregation.clipped import ClippedMean
from grid.aggregation.numbers import narrow, wide_dtype, widen
from grid.aggregation.tensor_file import TensorFile
from grid.governance.plans.release import release
from grid.privacy.mechanisms.registry import vector_mechanism
from syft_ext.errors import InvalidPlan, InvalidTensors
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.plans import make_plan
from tests.accounts.people import House
from tests.federated.models import encode
from tests.governance.conftest import _warm_processes, sandbox, sqlite_house
from tests.governance.plan_story import ROWS, PlanStory

__all__ = ["_warm_processes", "sandbox", "sqlite_house"]

Values = NDArray[Any]
SECRET = b"a secret of this node, 32 bytes."
SIZE = 4096
CLIP = 1.0


def question(number: int) -> bytes:
    """The key of one plan on one person's data."""
    return blake3(number.to_bytes(4, "big"), key=SECRET).digest()


def released(values: Values, sigma: float, key: bytes, dtype: str = "f64") -> Values:
    """What a plan's result looks like to who asked."""
    policy = SitePolicy(clip_norm=CLIP, noise_multiplier=sigma)
    code = dtype.upper()
    raw = np.ascontiguousarray(narrow(values.astype(wide_dtype(code)), code)).view(np.uint8)
    ((_, _, out),) = release(policy, [(dtype, (len(values),), raw)], key)
    return widen(out, code).astype(np.float64)


def float_noise(values: Values, sigma: float, key: bytes) -> Values:
    """What is attacked in vain otherwise: as a float64 sampler does it."""
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "big")))
    norm = float(np.sqrt(values @ values))
    return values * min(1.0, CLIP / norm if norm else 1.0) + CLIP * sigma * generator.standard_normal(
        len(values)
    )


# -- attackers: from a release to a guess of the bit, None: they cannot tell


def spacing_of_small_numbers(found: Values) -> int | None:
    """All numbers are a constant c plus noise, or noise alone. Where c + noise is small, the noise was near −c,
    and its last bit as coarse as that of c (I. Mironov 2012)."""
    c = CLIP / math.sqrt(len(found))
    small = found[np.abs(found) < c / 4]
    if not len(small):
        return None
    spacing = 2.0 ** (math.floor(math.log2(c * 0.75)) - 52)
    return 0 if np.mod(small, spacing).any() else 1


def last_bits_of_mantissas(found: Values) -> int | None:
    """Noise alone has all its 53 bits; of a sum with something larger, small results end in zeros."""
    mantissas, exponents = np.frexp(found[found != 0])
    low = exponents < math.frexp(CLIP / math.sqrt(len(found)))[1] - 2
    if low.sum() < 5:
        return None
    endings = (np.abs(mantissas[low]) * 2.0**53).astype(np.int64) & 3
    return 0 if endings.any() else 1


def is_a_sum_with_c(found: Values) -> int | None:
    """Taking c off again must give a number whose sum with c rounds to what is seen, and 0 + noise need not."""
    c = CLIP / math.sqrt(len(found))
    rounded = (found - c) + c
    return 1 if (rounded == found).all() else 0


ATTACKERS = [spacing_of_small_numbers, last_bits_of_mantissas, is_a_sum_with_c]


def advantage(
    attacker: Callable[[Values], int | None], give: Callable[[Values, int], Values], rounds: int
) -> float:
    """How much more often it says "one" where the bit is one than where it is zero: 1 is certainty."""
    said = [
        sum(attacker(give(np.full(SIZE, float(bit)), 2 * number + bit)) == 1 for number in range(rounds))
        for bit in (0, 1)
    ]
    return (said[1] - said[0]) / rounds


@pytest.mark.parametrize("attacker", ATTACKERS)
def test_the_attacks_take_off_noise_of_floats(attacker: Callable[[Values], int | None]) -> None:
    sigma = 0.01 if attacker is is_a_sum_with_c else 0.5

    def give(values: Values, number: int) -> Values:
        return float_noise(values, sigma, question(number))

    assert advantage(attacker, give, 40) > 0.9


@pytest.mark.parametrize("attacker", ATTACKERS)
@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16"])
@pytest.mark.parametrize("sigma", [0.01, 0.5, 50.0])
def test_the_attacks_do_not_take_off_exact_noise(
    attacker: Callable[[Values], int | None], sigma: float, dtype: str
) -> None:
    def give(values: Values, number: int) -> Values:
        return released(values, sigma, question(number), dtype)

    # Four standard errors of the difference of two frequencies of coins.
    assert abs(advantage(attacker, give, 40)) <= 4 * math.sqrt(0.5 / 40)


def test_what_leaves_lies_on_one_grid_and_all_of_it_is_used() -> None:
    """From the last bit on, the places are as even in one world as in the other."""
    for bit in (0, 1):
        found = np.concatenate([released(np.full(SIZE, float(bit)), 0.5, question(n)) for n in range(8)])
        places = found * 2.0**23
        assert (places == np.rint(places)).all()
        for position in range(10):
            ones = int(((places.astype(np.int64) >> position) & 1).sum())
            assert abs(ones - len(places) / 2) < 5 * math.sqrt(len(places)) / 2


def test_two_releases_that_share_a_key_do_not_subtract() -> None:
    """One question whose results differ: by a row, by the last bit, by a rounding, by their order."""
    first = np.random.default_rng(1).normal(size=SIZE)
    first /= 2 * np.linalg.norm(first)
    last_bit = first.copy()
    last_bit[7] += 2.0**-20
    for other in (first + 2.0**-8, last_bit, first[::-1], -first, np.zeros(SIZE)):
        gap = released(other, 1.0, question(0)) - released(first, 1.0, question(0)) - (other - first)
        assert gap.std() == pytest.approx(math.sqrt(2), rel=0.1), "both carry noise of their own"
    np.testing.assert_array_equal(released(first, 1.0, question(0)), released(first, 1.0, question(0)))


def test_two_rules_do_not_share_noise() -> None:
    """The owner changes the policy a little: the noise of before must not be a multiple of that of now."""
    values = np.zeros(SIZE)
    raw = values.view(np.uint8)
    rules = [(1.0, 1.0), (1.0, 1.5), (2.0, 1.0), (1.0 + 2.0**-40, 1.0), (2.0, 0.5)]
    noises = []
    for clip, sigma in rules:
        policy = SitePolicy(clip_norm=clip, noise_multiplier=sigma)
        ((_, _, out),) = release(policy, [("f64", (SIZE,), raw)], question(0))
        noises.append(out.view(np.float64) / (clip * sigma))
    correlations = np.corrcoef(noises) - np.eye(len(rules))
    assert np.abs(correlations).max() < 5 / math.sqrt(SIZE)


def test_two_shapes_do_not_share_noise() -> None:
    policy = SitePolicy(clip_norm=1.0, noise_multiplier=1.0)
    one = np.zeros(SIZE, np.float32).view(np.uint8)
    half = np.zeros(SIZE // 2, np.float32).view(np.uint8)
    whole = release(policy, [("f32", (SIZE,), one)], question(0))
    halves = release(policy, [("f32", (SIZE // 2,), half)] * 2, question(0))
    apart = np.concatenate([raw.view(np.float32) for _, _, raw in halves])
    assert np.abs(np.corrcoef(whole[0][2].view(np.float32), apart)[0, 1]) < 5 / math.sqrt(SIZE)


@pytest.mark.parametrize("odd", [math.nan, math.inf, 1e308, 1e-320])
def test_no_number_gets_through_by_being_odd(odd: float) -> None:
    """A plan that returns NaN where the bit is one: neither an error nor the results tell."""
    values = np.zeros(SIZE)
    values[0] = odd
    found = released(values, 1.0, question(1))
    assert np.isfinite(found).all() and np.abs(found).max() < 16
    if math.isfinite(odd):
        assert found.std() == pytest.approx(1.0, rel=0.1)


# -- trainings


def mean_of(reports: list[Values], key: Callable[[bytes], bytes] | None, groups: int = 1) -> Values:
    """The mean as a cycle makes it, added up in so many parts."""
    base = TensorFile(encode({"w": np.zeros(SIZE, np.float32)}))
    parts = [ClippedMean(base, vector_mechanism(CLIP, 1.0), key) for _ in range(groups)]
    for number, report in enumerate(reports):
        parts[number % groups].accumulate(Contribution(TensorFile(encode({"w": report})), 1.0))
    for other in parts[1:]:
        parts[0].merge(other)
    return parts[0].finish().values[0].astype(np.float64)


def round_key(content: bytes) -> bytes:
    return blake3(content, key=SECRET).digest()


@pytest.fixture(scope="module")
def reports() -> list[Values]:
    random = np.random.default_rng(3)
    scales = (1e-4, 1.0, 300.0, 0.01, 1e-8, 5.0)
    return [(random.normal(size=SIZE) * scale).astype(np.float32) for scale in scales]


def test_the_order_of_a_sum_is_not_to_be_seen(reports: list[Values]) -> None:
    """Sums of floats differ by their order: who reports when, or on which replica, would show in the last bits."""
    wanted = mean_of(reports, round_key)
    assert (sum(reports) != sum(reversed(reports))).any(), "in floats the order shows"
    for order in ([5, 4, 3, 2, 1, 0], [2, 0, 4, 1, 5, 3]):
        for groups in (1, 2, 5):
            found = mean_of([reports[i] for i in order], round_key, groups)
            np.testing.assert_array_equal(found, wanted)


def test_a_sum_without_one_of_them_has_other_noise(reports: list[Values]) -> None:
    """The round is made again from an older database, with one participant less or more, or another report."""
    whole = mean_of(reports, round_key) * len(reports)
    variants = [
        reports[1:],
        reports[:-1],
        [*reports, reports[0]],
        [np.zeros(SIZE, np.float32), *reports[1:]],
        [
            np.nextafter(reports[0], np.float32(1)),
            *reports[1:],
        ],  # the same on the grid, and yet another report
        [*reports, np.zeros(SIZE, np.float32)],  # the same sum, of more
    ]
    for variant in variants:
        gap = mean_of(variant, round_key) * len(variant) - whole
        assert gap.std() > 0.95 * math.sqrt(2), "noise of the one is left, and of the other"


def test_no_report_counts_for_more_than_its_bound_to_the_last_digit() -> None:
    """Between two worlds the sum moves by at most the bound: in whole steps, whatever was reported."""
    random = np.random.default_rng(4)
    mechanism = vector_mechanism(CLIP, 1.0)
    base = TensorFile(encode({"w": np.zeros(SIZE, np.float32)}))
    for scale in (1e-3, 1 / math.sqrt(SIZE), 1.0, 1e10, 3e38):
        mean = ClippedMean(base, mechanism)
        report = (random.uniform(-1, 1, SIZE) * scale).astype(np.float32)
        mean.accumulate(Contribution(TensorFile(encode({"w": report})), 1.0))
        (total,) = mean._sums
        assert sum(place * place for place in total.tolist()) <= int(mechanism.bound()) ** 2


def test_the_attacks_do_not_take_off_the_noise_of_a_round() -> None:
    others = [np.random.default_rng(n).normal(size=SIZE).astype(np.float32) for n in range(2)]

    def give(values: Values, number: int) -> Values:
        def key(content: bytes) -> bytes:
            return blake3(number.to_bytes(4, "big") + content, key=SECRET).digest()

        return mean_of([*others, values.astype(np.float32)], key)

    for attacker in ATTACKERS:
        assert abs(advantage(attacker, give, 30)) <= 4 * math.sqrt(0.5 / 30)


# -- a plan that fails: one bit that no noise covers


@make_plan
def betraying(xs: Any = torch.zeros(ROWS, 3), bound: Any = torch.tensor(20.0)) -> Any:
    """Fails if, and only if, the value of one patient is above the bound."""
    found = (xs[4, 1] > bound).long().reshape(1)
    return {"mean": xs.mean(0), "nothing": 0 * xs[0].index_select(0, found * 1000)}


def test_that_a_plan_failed_on_the_data_is_not_told_where_there_is_noise(
    sandbox: object, sqlite_house: House
) -> None:
    story = PlanStory(sqlite_house)
    assert float(story.xs[4, 1]) == 13.0
    found = {}
    for bound in (12.0, 14.0):
        asked = story.ask(betraying, {"xs": story.table}, values={"bound": torch.tensor(bound)})
        story.seen_by(story.ann, asked).accept()
        if bound == 12.0:
            with pytest.raises(InvalidPlan, match="failed on this data"):
                asked.run()
        story.owner.call(SetPolicy(policy=SitePolicy(clip_norm=0.5, noise_multiplier=2.0)))
        found[bound] = asked.run()
        story.owner.call(SetPolicy(policy=SitePolicy()))
    assert {name: each.shape for name, each in found[12.0].items()} == {
        name: each.shape for name, each in found[14.0].items()
    }
    assert found[12.0]["mean"].norm() > 0


# -- a report that is not finite: another bit that no noise covers


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["diff", "params"])
def test_a_report_that_is_not_finite_counts_as_zeros(odd: float, kind: Any) -> None:
    """A plan that divides by zero where the bit is one: nobody may see that a report is missing."""
    base = TensorFile(encode({"w": np.ones(SIZE, np.float32)}))
    bad = np.ones(SIZE, np.float32)
    bad[11] = odd
    nothing = np.ones(SIZE, np.float32) if kind == "params" else np.zeros(SIZE, np.float32)
    sums = []
    for report in (bad, nothing):
        mean = ClippedMean(base, vector_mechanism(CLIP, 1.0), round_key)
        mean.accumulate(Contribution(TensorFile(encode({"w": report})), 1.0, kind))
        mean.accumulate(Contribution(TensorFile(encode({"w": np.full(SIZE, 0.5, np.float32)})), 1.0, kind))
        sums.append([total.copy() for total in mean._sums])
        made = mean.finish()
        assert made.count == 2 and np.isfinite(made.values[0]).all()
    np.testing.assert_array_equal(sums[0], sums[1])


def test_noise_lets_in_no_report_that_is_not_like_the_model() -> None:
    base = TensorFile(encode({"w": np.ones(3, np.float32)}))
    mean = ClippedMean(base, vector_mechanism(CLIP, 1.0))
    for report in ({"w": np.ones(4, np.float32)}, {"v": np.ones(3, np.float32)}):
        with pytest.raises(InvalidTensors):
            mean.accumulate(Contribution(TensorFile(encode(report)), 1.0))
