"""Clipping, discrete Gaussian and discrete Laplace noise pass the same tests; and how a mechanism is found."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grid.aggregation.clipped import ClippedMean
from grid.aggregation.tensor_file import TensorFile
from grid.privacy.accounting.events import GaussianEvent, PureEvent, Unbounded
from grid.privacy.mechanisms.registry import (
    MECHANISMS,
    ChosenMechanism,
    choose_mechanism,
    demanded_mechanism,
    vector_mechanism,
)
from syft_ext.errors import InvalidConfig, InvalidTensors, Unavailable, Unsupported
from tests.federated.models import encode
from tests.privacy.mechanisms import MechanismContract


class TestClipping(MechanismContract):
    name = "clipping"
    set_to = {"clip_norm": 2.0}
    deviation = 0.0

    @pytest.mark.parametrize("size", [5e-324, 1e-300, 1e-200, 1.0, 1e155, 1e300, 1.2e308])
    def test_squares_that_overflow_or_vanish_make_no_norm_wrong(self, size: float) -> None:
        for bound in (2.0, 1e-3, 1e250):
            chosen = choose_mechanism("clipping", clip_norm=bound)
            vector = np.array([size, -size, 0.0])
            found = chosen.clip(vector.copy(), chosen.measure(lambda vector=vector: [vector[:1], vector[1:]]))
            largest = min(size, bound / math.sqrt(2))
            np.testing.assert_allclose(found, [largest, -largest, 0.0], rtol=1e-12)

    def test_what_has_no_norm_leaves_nothing_or_is_refused(self, chosen: ChosenMechanism) -> None:
        vector = np.full(4, 1.7e308)
        assert not chosen.clip(vector.copy(), chosen.measure(lambda: [vector])).any()
        assert chosen.measure(lambda: [np.zeros(2), np.zeros(0)]) == 0.0
        for wrong in (np.array([np.inf]), np.array([np.nan, 1.0])):
            with pytest.raises(InvalidTensors, match="not finite"):
                chosen.measure(lambda wrong=wrong: [wrong])

    def test_it_promises_nothing(self, chosen: ChosenMechanism) -> None:
        assert chosen.event() == Unbounded()


class TestDiscreteGaussian(MechanismContract):
    name = "discrete_gaussian"
    set_to = {"clip_norm": 2.0, "noise_multiplier": 1.5}
    deviation = 3.0

    def test_the_noise_is_normal(self, chosen: ChosenMechanism) -> None:
        noise = np.sort(self.draw(chosen)) / self.deviation
        expected = np.array([(1 + math.erf(x / math.sqrt(2))) / 2 for x in noise])
        gap = np.abs(np.arange(1, len(noise) + 1) / len(noise) - expected).max()
        assert gap < 1.95 / math.sqrt(len(noise))  # Kolmogorov-Smirnov, at 0.1 %

    def test_it_costs_what_its_noise_is_in_units_of_its_bound(self, chosen: ChosenMechanism) -> None:
        assert chosen.event() == GaussianEvent(1.5) and chosen.mechanism.exact
        assert chosen.event().rho == pytest.approx(0.5 / 1.5**2)
        step = float(chosen.restore(np.ones(1, np.int64))[0])
        assert self.deviation / (chosen.bound() * step) >= 1.5, (
            "rounding makes the bound smaller, not the noise"
        )

    def test_noise_beyond_64_bits_is_refused(self) -> None:
        with pytest.raises(InvalidConfig, match="64 bits") as caught:
            choose_mechanism(self.name, clip_norm=1.0, noise_multiplier=1e10)
        assert caught.value.extra["field"] == "noise_multiplier"


class TestDiscreteLaplace(MechanismContract):
    name = "discrete_laplace"
    set_to = {"sensitivity": 3, "epsilon": 1.2}
    # P(x) ∝ q^|x| with q = exp(-epsilon / sensitivity) has a variance of 2q / (1 - q)².
    deviation = math.sqrt(2 * math.exp(-0.4)) / (1 - math.exp(-0.4))

    def test_whom_it_hides_costs_no_more_than_epsilon(self, chosen: ChosenMechanism) -> None:
        """With one contribution more, everything moves by the sensitivity: no value is e^ε as likely."""
        noise = self.draw(chosen, 60_000)
        counts = {x: int((noise == x).sum()) for x in range(-6, 7)}
        for x in range(-6, 4):
            one, other = counts[x], counts[x + 3]
            spread = math.sqrt(1 / one + 1 / other)
            assert abs(math.log(one / other)) <= 1.2 + 4 * spread
        assert chosen.event() == PureEvent(1.2) and chosen.mechanism.exact

    def test_noise_beyond_64_bits_is_refused(self) -> None:
        with pytest.raises(InvalidConfig, match="64 bits") as caught:
            choose_mechanism(self.name, sensitivity=1 << 53, epsilon=0.01)
        assert caught.value.extra["field"] == "epsilon"


def test_what_a_policy_demands_of_vectors() -> None:
    assert vector_mechanism(2.0, None).mechanism.name == "clipping"
    noisy = vector_mechanism(2.0, 0.5)
    assert noisy.mechanism.name == "discrete_gaussian" and noisy.event() == GaussianEvent(0.5)


def test_a_mean_of_vectors_takes_no_mechanism_for_whole_numbers() -> None:
    base = TensorFile(encode({"w": np.zeros(3, np.float32)}))
    with pytest.raises(Unsupported, match="not for vectors"):
        ClippedMean(base, choose_mechanism("discrete_laplace", sensitivity=1, epsilon=1.0))


def test_only_exact_repeatable_noise_on_vectors_is_what_a_policy_demands() -> None:
    for name, told in {
        "discrete_laplace": "no parameter 'clip_norm'",
        "clipping": "no parameter 'noise_multiplier'",
        "skellam": "there are",
    }.items():
        with pytest.raises(InvalidConfig, match=told):
            vector_mechanism(1.0, 1.0, name)
        with pytest.raises(Unavailable, match=told):
            demanded_mechanism(1.0, 1.0, name)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"exact": False}, "could be taken off"),
        ({"numbers": "float64"}, "could be taken off"),
        ({"repeatable": False}, "averaged away"),
        ({"sensitivity": "number"}, "not for vectors"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_what_says_that_it_is_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], told: str
) -> None:
    for name, value in wrong.items():
        monkeypatch.setattr(Doubled, name, value)
    with pytest.raises(InvalidConfig, match=told) as caught:
        vector_mechanism(1.0, 1.0, "doubled")
    assert caught.value.extra["field"] == "mechanism"


@pytest.mark.usefixtures("installed")
def test_an_installed_one_can_be_named() -> None:
    assert vector_mechanism(1.0, 0.5, "doubled").event() == GaussianEvent(1.0)
    assert vector_mechanism(1.0, None, "doubled").mechanism.name == "clipping"


# -- how they are found


class Doubled(type(MECHANISMS.find("discrete_gaussian"))):  # type: ignore[misc]
    """As an installed package would bring it: twice the noise."""

    name = "doubled"

    def noise(self, parameters: Any, key: bytes | None = None) -> Any:
        wider = type(parameters)(
            clip_norm=parameters.clip_norm, noise_multiplier=2 * parameters.noise_multiplier
        )
        return super().noise(wider, key)

    def event(self, parameters: Any) -> GaussianEvent:
        return GaussianEvent(2 * parameters.noise_multiplier)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    info = tmp_path / "site" / "noisy-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noisy\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[grid.privacy_mechanisms]\ndoubled = tests.privacy.test_mechanisms:Doubled\n"
        "discrete_gaussian = tests.privacy.test_mechanisms:Doubled\nodd = pathlib:Path\n"
    )
    monkeypatch.syspath_prepend(str(info.parent))
    return info


@pytest.mark.usefixtures("installed")
class TestFromOutside(MechanismContract):
    name = "doubled"
    set_to = {"clip_norm": 2.0, "noise_multiplier": 1.5}
    deviation = 6.0

    def test_it_declares_what_it_is(self, chosen: ChosenMechanism) -> None:
        assert chosen.mechanism.name == self.name  # a new one each time it is found


def test_names() -> None:
    assert MECHANISMS.names() == ["clipping", "discrete_gaussian", "discrete_laplace"]


@pytest.mark.usefixtures("installed")
def test_what_cannot_be_found_is_refused() -> None:
    with pytest.raises(
        InvalidConfig, match="'skellam', there are: clipping, discrete_gaussian, discrete_laplace, doubled"
    ):
        MECHANISMS.find("skellam")
    with pytest.raises(InvalidConfig, match="more than one privacy mechanism is called 'discrete_gaussian'"):
        MECHANISMS.find("discrete_gaussian")
    with pytest.raises(InvalidConfig, match="is no Mechanism"):
        MECHANISMS.find("odd")
    assert type(MECHANISMS.get("discrete_gaussian")).__name__ == "DiscreteGaussian", (
        "what is in use is Grid's own"
    )
