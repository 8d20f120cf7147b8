"""What is sent: as much as the formulas say, uniform in all that a party or the dealer sees, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2  # type: ignore[import-untyped]

from syft_ext.messages.shared_terms import PROTOCOLS
from syft_ext.mpc import functions
from syft_ext.mpc.costs import PRICES, PROOF, Prices, TrafficPrice
from tests.mpc.parties import Program, Runner, run, stepped

_N = 200
_OPENING = TrafficPrice(1, 8 * _N)


@pytest.mark.parametrize(
    ("program", "price"),
    [
        (lambda e, x: e.multiply(x, x), lambda prices: prices.product(_N, _N, _N)),
        (functions.negative, lambda prices: prices.comparison(_N)),
        (functions.relu, lambda prices: prices.relu(_N)),
        *(
            (getattr(functions, name), lambda prices, name=name: prices.function(name, _N))
            for name in ("reciprocal", "sqrt", "rsqrt", "log", "exp", "sigmoid", "tanh")
        ),
    ],
)
def test_rounds_and_bytes_are_those_of_the_formulas(
    passive: Runner, program: Program, price: Callable[[Prices], TrafficPrice]
) -> None:
    ran = passive(program, torch.linspace(0.5, 1.5, _N), bound=8.0)
    stated = price(PRICES[ran.protocol, "semi-honest"]) + _OPENING
    for party in ran.traffic:
        assert party.rounds == ran.expected.rounds <= 1.2 * stated.rounds
        assert party.nbytes == ran.expected.nbytes <= 1.2 * stated.nbytes
    assert ran.expected.rounds >= stated.rounds / 1.2 and ran.expected.nbytes >= stated.nbytes / 1.2


@pytest.mark.parametrize(
    ("program", "price"),
    [
        (lambda e, x: e.multiply(x, x), lambda prices: prices.product(_N, _N, _N)),
        (functions.relu, lambda prices: prices.relu(_N)),
        (functions.exp, lambda prices: prices.function("exp", _N)),
    ],
)
def test_proofs_cost_what_the_formulas_say(program: Program, price: Callable[[Prices], TrafficPrice]) -> None:
    """With so few random products that none are left over but three; inputs are checked, each from both sides."""
    ran = run(program, torch.linspace(0.5, 1.5, _N), bound=8.0, protocol=("Falcon", "malicious"))
    prices = PRICES["Falcon", "malicious"]
    stated = price(prices) + TrafficPrice(1, 16 * _N) + prices.range_check(2 * _N) + PROOF
    for party in ran.traffic:
        assert party == ran.expected
        assert party.rounds <= 1.2 * stated.rounds and party.nbytes <= 1.2 * stated.nbytes
    assert ran.expected.nbytes >= stated.nbytes / 1.2


def test_softmax_and_the_greatest_cost_what_the_formulas_say(passive: Runner) -> None:
    x = torch.linspace(-2, 2, 200).reshape(20, 10)
    ran = passive(lambda e, a: functions.softmax(e, a, 1), x, bound=16.0)
    found, prices = ran.expected, PRICES[ran.protocol, "semi-honest"]
    stated = prices.softmax(20, 10) + TrafficPrice(1, 8 * 200)
    assert found.rounds <= 1.2 * stated.rounds and found.nbytes <= 1.2 * stated.nbytes
    found = passive(lambda e, a: functions.greatest(e, a, 1), x, bound=16.0).expected
    stated = prices.greatest(20, 10) + TrafficPrice(1, 8 * 20)
    assert found.rounds == stated.rounds and found.nbytes <= 1.2 * stated.nbytes


def test_a_second_partys_matrix_product_needs_no_triple_from_the_first() -> None:
    """The first party gets 16 bytes; the second besides only what is derived: 8 bytes for each result, 16 for each
    truncation."""
    a, b = stepped(torch.randn(30, 40)), stepped(torch.randn(40, 20))
    ran = run(lambda e, x, y: e.multiply(x, y, "matmul"), a, b, bound=8.0)
    assert len(ran.corrections) == 8 * 600 + 16 * 600


def _uniform(seen: bytes) -> bool:
    """χ² over byte values at the level of 1e-6."""
    counts = np.bincount(np.frombuffer(seen, np.uint8), minlength=256)
    expected = len(seen) / 256
    return float(((counts - expected) ** 2 / expected).sum()) < float(chi2.isf(1e-6, 255))


@pytest.mark.parametrize("value", [0.0, 1.0, -1234.5])
def test_what_a_party_and_the_dealer_see_is_uniform_whatever_the_values_are(
    passive: Runner, value: float
) -> None:
    x = torch.full((4000,), value)

    def program(engine: Any, a: Any, b: Any) -> Any:
        product = yield from engine.multiply(a, b)
        return (yield from functions.relu(engine, engine.sub(product, a)))

    ran = passive(program, x, x, bound=2048.0, keep=True)
    for party in ran.traffic:
        for tensor in party.sent[:-1]:  # the last one is the result, which is opened
            if tensor.numel() * tensor.element_size() > 4000:
                assert _uniform(tensor.numpy().tobytes())
    assert len(ran.traffic) == PROTOCOLS[ran.protocol].parties
    assert _uniform(ran.corrections) if PROTOCOLS[ran.protocol].dealer else not ran.corrections


def test_the_uniformity_test_can_fail() -> None:
    assert not _uniform(torch.full((4000,), 1 << 16).numpy().tobytes())


def _opens_it(engine: Any, x: Any) -> Any:
    (raw,) = yield from engine.open([x])
    return engine.constant(raw, x.fraction, x.bound)


@pytest.mark.parametrize("keep", [True])
def test_opening_is_seen_in_the_traffic(keep: bool) -> None:
    """The oracle of the tests above: an opened value is what both parties' last messages add up to."""
    ran = run(_opens_it, torch.full((10,), 5.0), keep=keep)
    total = ran.traffic[0].sent[0] + ran.traffic[1].sent[0]
    assert torch.equal(total, torch.full((10,), 5 << 16))
