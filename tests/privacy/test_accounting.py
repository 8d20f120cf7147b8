"""Accountants pass the same tests, and say what the literature and another implementation say."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.privacy.accounting.events import GaussianEvent, PureEvent, Unbounded
from grid.privacy.accounting.interface import Accountant
from grid.privacy.accounting.pure import PureAccountant
from grid.privacy.accounting.rdp import RdpAccountant
from syft_ext.errors import Unsupported
from tests.privacy.accountants import AccountantContract
from tests.privacy.compositions import compare

ROOT = Path(__file__).resolve().parents[2]


class TestPure(AccountantContract):
    events = (PureEvent(0.5), PureEvent(0.0), PureEvent(1.25), PureEvent(1e-3))

    def make(self) -> Accountant:
        return PureAccountant()

    def test_epsilons_add_up_whatever_delta_is(self) -> None:
        assert self.spent(PureEvent(0.5), PureEvent(0.25), delta=0.0) == 0.75
        assert self.spent(PureEvent(0.5), PureEvent(0.25), delta=0.1) == 0.75

    def test_of_gaussian_noise_it_says_nothing(self) -> None:
        with pytest.raises(Unsupported, match="account in rdp"):
            self.make().compose(GaussianEvent(1.0))


class TestRdp(AccountantContract):
    events = (GaussianEvent(1.0), PureEvent(0.1), GaussianEvent(30.0), PureEvent(2.0))

    def make(self) -> Accountant:
        return RdpAccountant()

    def test_gaussian_noise_has_no_pure_epsilon(self) -> None:
        assert self.spent(GaussianEvent(5.0), delta=0.0) == math.inf

    @given(st.floats(0.5, 50.0), st.integers(1, 200), st.sampled_from([1e-9, 1e-6, 1e-4, 1e-2]))
    def test_it_never_says_less_than_is_true(self, sigma: float, count: int, delta: float) -> None:
        """So many Gaussian releases are one with σ/√count, of which delta is known exactly."""
        accountant = RdpAccountant()
        accountant.compose(GaussianEvent(sigma), count)
        epsilon = accountant.epsilon(delta)
        if epsilon < 300:  # beyond that doubles cannot tell
            assert exact_delta(math.sqrt(count) / sigma, epsilon) <= delta * (1 + 1e-6)

    @given(st.lists(st.floats(0.0, 3.0), min_size=1, max_size=30), st.sampled_from([1e-9, 1e-4]))
    def test_of_pure_releases_it_never_says_less_than_two_points_tell(
        self, epsilons: list[float], delta: float
    ) -> None:
        """Randomised response attains its ε. That all of them say the same has a probability p, and exp(-Σε) p for
        the neighbour: what is left of p beyond exp(ε) times that must be in delta."""
        told = self.spent(*map(PureEvent, epsilons), delta=delta)
        total = sum(epsilons)
        likely = math.prod(math.exp(e) / (1 + math.exp(e)) for e in epsilons)
        assert likely * (1 - math.exp(min(0.0, told - total))) <= delta * (1 + 1e-6)


def exact_delta(mu: float, epsilon: float) -> float:
    """The least delta of Gaussian noise with standard deviation 1/mu for sensitivity 1 (B. Balle, Y.-X. Wang,
    "Improving the Gaussian mechanism for differential privacy", 2018, theorem 8)."""
    upper, lower = mu / 2 - epsilon / mu, -mu / 2 - epsilon / mu
    return _phi(upper) - math.exp(epsilon) * _phi(lower)


def _phi(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


#: Noise multiplier, releases, delta, epsilon: computed with Google's dp-accounting 0.6.0 (RDP).
KNOWN = [
    (1.0, 1, 1e-6, 5.2215396311544175),
    (1.0, 16, 1e-6, 27.816071630016364),
    (4.0, 100, 1e-6, 15.32798402653992),
    (10.0, 1000, 1e-6, 20.551991629803823),
]


@pytest.mark.parametrize(("sigma", "count", "delta", "epsilon"), KNOWN)
def test_gaussian_releases_as_another_implementation_has_them(
    sigma: float, count: int, delta: float, epsilon: float
) -> None:
    accountant = RdpAccountant()
    accountant.compose(GaussianEvent(sigma), count)
    assert accountant.epsilon(delta) == pytest.approx(epsilon, rel=1e-12)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("shift", [1, 2, 7])
def test_the_discrete_distribution_costs_no_more_than_its_event_says(sigma: float, shift: int) -> None:
    """The Rényi divergence of the distribution from itself, moved by whole steps, summed up number by number."""
    support = np.arange(-400, 401, dtype=np.float64)
    there, here = (-((support - middle) ** 2) / (2 * sigma**2) for middle in (shift, 0.0))
    normaliser = np.log(np.exp(here).sum())
    event = GaussianEvent(sigma / shift)
    for order in (1.1, 2.0, 5.0, 32.0):
        exponents = order * there + (1 - order) * here - normaliser
        divergence = (exponents.max() + np.log(np.exp(exponents - exponents.max()).sum())) / (order - 1)
        assert divergence <= order * event.rho * (1 + 1e-9)
        assert divergence >= order * event.rho * 0.9, "and hardly less"


def test_the_rho_of_events() -> None:
    assert GaussianEvent(2.0).rho == 0.125 and PureEvent(0.5).rho == 0.125 and Unbounded().rho == math.inf


def _reference() -> list[dict[str, Any]]:
    """The reference file's cases of Gaussian noise; it is in ``$REFERENCE_VECTORS``, or beside the repository."""
    folder = Path(os.environ.get("REFERENCE_VECTORS") or ROOT.parent / "shared" / "confidential" / "vectors")
    path = folder / "dp-accounting-reference.json"
    if not path.exists():
        return []
    return [case for case in json.loads(path.read_text())["cases"] if case["event"] == "Gaussian"]


def test_gaussian_releases_of_the_reference_file() -> None:
    cases = _reference()
    if not cases:
        pytest.skip("the reference vectors are not here: set REFERENCE_VECTORS to their folder")
    for case in cases:
        accountant = RdpAccountant()
        accountant.compose(GaussianEvent(case["noise_multiplier"]), case["count"])
        found = accountant.epsilon(case["delta"])
        assert found == pytest.approx(case["rdp_epsilon"], rel=1e-12)
        assert case["pld_epsilon"] <= found <= 1.1 * case["pld_epsilon"], "above the truth, and near it"


def test_random_compositions_cost_what_another_accountant_says() -> None:
    """A slice of ``python -m tests.privacy.compositions``."""
    pytest.importorskip("dp_accounting")
    assert compare(60, seed=20261130) <= 1e-6
