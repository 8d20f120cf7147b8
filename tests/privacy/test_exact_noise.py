"""Exact noise: the distribution to the last bit, one sequence to a key, nothing that rounds."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from syft_ext.errors import BadRequest
from syft_ext.privacy import noise as module
from syft_ext.privacy.exponential import exp_bounds
from syft_ext.privacy.keys import KeyStream, derive_key, fresh_key
from syft_ext.privacy.noise import DiscreteGaussian, DiscreteLaplace, Distribution

KEY = bytes(range(32))
ROOT = Path(__file__).resolve().parents[2]
VECTORS = Path(os.environ.get("REFERENCE_VECTORS") or ROOT.parent / "shared" / "confidential" / "vectors")
REFERENCE = VECTORS / "discrete-gaussian-reference.json"
DISTRIBUTIONS: list[Callable[[], Distribution]] = [
    *(lambda variance=v: DiscreteGaussian(variance) for v in (Fraction(1, 4), 1, Fraction(400, 3), 10**6)),
    *(lambda scale=s: DiscreteLaplace(scale) for s in (Fraction(1, 3), 2, Fraction(70, 3), 10**4)),
]


def gaussian_pmf(sigma: float, y: int) -> float:
    weights = [math.exp(-(k * k) / (2 * sigma * sigma)) for k in range(-400, 401)]
    return math.exp(-(y * y) / (2 * sigma * sigma)) / math.fsum(weights)


def chi_squared(drawn: np.ndarray, pmf: Callable[[int], float]) -> tuple[float, int]:
    """Over all numbers that at least ten draws are expected of, the rest together; and the degrees of freedom."""
    counts = {int(y): int(n) for y, n in zip(*np.unique(drawn, return_counts=True), strict=True)}
    cells = [y for y in range(-2000, 2001) if pmf(y) * len(drawn) >= 10]
    expected = [pmf(y) * len(drawn) for y in cells]
    found = [counts.pop(y, 0) for y in cells]
    rest = len(drawn) - math.fsum(expected)
    total = math.fsum((f - e) ** 2 / e for f, e in zip(found, expected, strict=True))
    if rest >= 5:
        total, cells = total + (sum(counts.values()) - rest) ** 2 / rest, [*cells, 0]
    return total, len(cells) - 1


def assert_distributed(drawn: np.ndarray, pmf: Callable[[int], float]) -> None:
    """The seed is fixed, so this either holds always or never; five deviations are one in a million."""
    statistic, freedom = chi_squared(drawn, pmf)
    assert statistic < freedom + 5 * math.sqrt(2 * freedom) + 10


# -- the exponential function


@pytest.mark.parametrize("bits", [1, 10, 64, 300])
@pytest.mark.parametrize(
    "x",
    [
        Fraction(0),
        Fraction(1, 10**40),
        Fraction(1, 3),
        Fraction(9, 4),
        Fraction(127),
        Fraction(2**70, 2**64 + 1),
    ],
)
def test_bounds_of_the_exponential_function_hold(x: Fraction, bits: int) -> None:
    low, high = exp_bounds(x, bits)
    with localcontext() as context:
        context.prec = 200
        true = (-Decimal(x.numerator) / Decimal(x.denominator)).exp() * Decimal(2) ** bits
    assert low <= true <= high and high - low <= 2
    with pytest.raises(ValueError, match="negative"):
        exp_bounds(-x - 1, bits)


# -- the distribution


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 10.0])
def test_gaussian_noise_is_that_of_the_reference(sigma: float) -> None:
    drawn = DiscreteGaussian(Fraction(sigma) ** 2).draws(KEY).take(400_000)
    assert_distributed(drawn, lambda y: gaussian_pmf(sigma, y))
    if not REFERENCE.exists():
        pytest.skip("the reference is not beside this checkout")
    (case,) = [c for c in json.loads(REFERENCE.read_text())["cases"] if c["sigma"] == sigma]
    for y, probability in case["pmf"].items():
        spread = math.sqrt(probability / len(drawn))
        for sign in (1, -1):
            assert abs(np.mean(drawn == sign * int(y)) - probability) <= 5 * spread + 1 / len(drawn)
    assert drawn.var() == pytest.approx(case["variance"], rel=0.02)


@pytest.mark.parametrize("scale", [Fraction(1, 2), Fraction(3), Fraction(47, 3)])
def test_laplace_noise_has_its_distribution(scale: Fraction) -> None:
    p = math.exp(-1 / scale)
    drawn = DiscreteLaplace(scale).draws(KEY).take(400_000)
    assert_distributed(drawn, lambda y: (1 - p) / (1 + p) * p ** abs(y))


def test_the_test_would_notice() -> None:
    """A deviation that is off by half a percent, and noise that is rounded from a continuous one."""
    drawn = DiscreteGaussian(1).draws(KEY).take(400_000)
    with pytest.raises(AssertionError):
        assert_distributed(drawn, lambda y: gaussian_pmf(1.01, y))
    rounded = np.rint(np.random.default_rng(1).normal(size=400_000)).astype(np.int64)
    with pytest.raises(AssertionError):
        assert_distributed(rounded, lambda y: gaussian_pmf(1.0, y))


@pytest.mark.parametrize("sigma", [2**20, 2**24, 2**40])
def test_wide_noise_is_normal_in_its_high_and_uniform_in_its_low_bits(sigma: int) -> None:
    drawn = DiscreteGaussian(sigma**2).draws(KEY).take(200_000)
    ordered = np.sort(drawn / sigma)
    expected = np.array([(1 + math.erf(x / math.sqrt(2))) / 2 for x in ordered])
    gap = np.abs(np.arange(1, len(ordered) + 1) / len(ordered) - expected).max()
    assert gap < 1.95 / math.sqrt(len(ordered))
    assert_distributed(drawn % 256, lambda y: 1 / 256 if 0 <= y < 256 else 0.0)


@pytest.mark.parametrize("make", DISTRIBUTIONS)
def test_tables_hold_the_exact_weights(make: Callable[[], Distribution]) -> None:
    """Every slot comes as often as its weight says, and no weight is less than what may be kept of it."""
    distribution = make()
    table = module._strips_of(type(distribution), distribution.parameter)
    slots = 1 << distribution.slot_bits
    weights = [0] * slots
    for slot in range(slots):
        threshold = int(table.thresholds[slot])
        weights[slot] += threshold
        weights[int(table.aliases[slot])] += table.capacity - threshold
    assert sum(weights) == 1 << 63 and weights[: slots - 1] == table.weights and weights[-1] > 0
    for strip, weight in enumerate(table.weights):
        _, high = exp_bounds(distribution.energy(strip * distribution.width), 256)
        assert table.scale * high <= weight << (256 + 192)
    # What is beyond the last strip is as good as nothing.
    assert distribution.energy(distribution.largest + 1) > 180 * math.log(2)


@pytest.mark.parametrize("make", DISTRIBUTIONS)
def test_no_decision_depends_on_rounding(
    make: Callable[[], Distribution], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With everything decided in integers the same noise comes out."""
    quick = make().draws(KEY).take(300)
    monkeypatch.setattr(module, "_MARGIN", 2.0)
    np.testing.assert_array_equal(make().draws(KEY).take(300), quick)


def test_what_is_too_near_to_call_takes_more_bits() -> None:
    distribution = DiscreteLaplace(100)
    table = module._strips_of(DiscreteLaplace, Fraction(100))
    chance = Fraction(table.scale * exp_bounds(Fraction(5, 100), 400)[0], table.weights[0] << (192 + 400))
    edge = int(chance * 2**53)
    outcomes = {distribution.decide(5, edge, KeyStream(bytes([i]) * 32)) for i in range(64)}
    assert outcomes == {True, False}, "further bits decide"
    assert distribution.decide(5, edge - 1, KeyStream(KEY))
    assert not distribution.decide(-5, edge + 1, KeyStream(KEY))


@pytest.mark.parametrize("wrong", [0, -1, Fraction(-1, 3)])
def test_noise_has_a_spread(wrong: Fraction) -> None:
    for kind in (DiscreteGaussian, DiscreteLaplace):
        with pytest.raises(ValueError, match="positive"):
            kind(wrong)


def test_noise_fits_into_64_bits_or_is_refused() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        DiscreteGaussian(2**110)
    with pytest.raises(ValueError, match="64 bits"):
        DiscreteLaplace(2**54)
    widest = DiscreteGaussian(2**109)
    assert abs(widest.draws(KEY).take(1000)).max() <= widest.largest < 2**62
    for start in (2**63 - 1, -(2**63)):
        values = np.full(3, start)
        with pytest.raises(BadRequest, match="64 bits"):
            DiscreteGaussian(1).draws(KEY).add(values)
        assert (values == start).all()
    with pytest.raises(TypeError, match="int64"):
        DiscreteGaussian(1).draws(KEY).add(np.zeros(3))
    tiny = DiscreteGaussian(Fraction(1, 10**700))
    assert not tiny.draws(KEY).take(100).any()


# -- the sequence


def test_a_key_is_one_sequence_however_it_is_taken() -> None:
    whole = DiscreteGaussian(1000).draws(KEY).take(50_000)
    draws = DiscreteGaussian(Fraction(1000)).draws(KEY)
    parts = [draws.take(n) for n in (0, 1, 2, 97, 16_384, 33_000, 516)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    added = np.arange(50_000)
    DiscreteGaussian(1000).draws(KEY).add(added)
    np.testing.assert_array_equal(added - np.arange(50_000), whole)


def test_another_key_is_another_sequence() -> None:
    one, other = (DiscreteGaussian(10**6).draws(key).take(10_000) for key in (KEY, KEY[::-1]))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05 and np.mean(one == other) < 0.01
    first, second = (DiscreteGaussian(10**6).draws().take(100) for _ in range(2))
    assert (first != second).any() and fresh_key() != fresh_key()


def test_one_key_for_two_distributions_is_not_one_sequence() -> None:
    """Else the noise of two deviations would be nearly proportional, and could be taken off."""
    narrow, wide = (DiscreteGaussian(v).draws(KEY).take(10_000) for v in (10**6, 10**6 + 1))
    assert abs(np.corrcoef(narrow, wide)[0, 1]) < 0.05
    laplace = DiscreteLaplace(10**6).draws(KEY).take(10_000)
    assert abs(np.corrcoef(np.sign(narrow), np.sign(laplace))[0, 1]) < 0.05


def test_the_sequence_is_the_same_on_every_machine() -> None:
    """A database restored elsewhere must not draw anew: these are what they were when this was written."""
    digest = hashlib.sha256()
    for make in DISTRIBUTIONS:
        digest.update(make().draws(KEY).take(20_000).astype("<i8").tobytes())
    assert digest.hexdigest() == "0ed23706c8d535395fa440522407f92e9ee6e51bed862c5619bac4a1ececa107"


def test_keys_follow_from_all_that_a_release_is() -> None:
    secret = bytes(32)
    keys = {
        derive_key(secret, "plans", b"a", b"b"),
        derive_key(secret, "plans", b"ab"),
        derive_key(secret, "plans", b"ab", b""),
        derive_key(secret, "plansa", b"b"),
        derive_key(secret, "trainings", b"a", b"b"),
        derive_key(bytes([1]) * 32, "plans", b"a", b"b"),
    }
    assert len(keys) == 6 and {len(key) for key in keys} == {32}
    assert derive_key(secret, "plans", b"a", b"b") in keys
    with pytest.raises(ValueError, match="32 bytes"):
        derive_key(b"short", "plans")
    with pytest.raises(ValueError, match="32 bytes"):
        KeyStream(bytes(16))
    with pytest.raises(ValueError, match="32 bytes"):
        DiscreteGaussian(1).draws(bytes(16))


def test_words_and_bits_are_those_of_the_stream() -> None:
    words = KeyStream(KEY).words(5).tolist()
    stream = KeyStream(KEY)
    assert [*stream.words(2).tolist(), *stream.words(3).tolist()] == words
    assert KeyStream(KEY).bits(100) == (words[0] << 64 | words[1]) >> 28
