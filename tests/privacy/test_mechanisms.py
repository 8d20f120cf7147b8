"""Clipping, Gaussian and discrete Laplace noise pass the same tests; and how a mechanism is found."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grid.aggregation.clipped import ClippedMean
from grid.aggregation.tensor_file import TensorFile
from grid.privacy.accounting.events import GaussianEvent, PureEvent, Unbounded
from grid.privacy.mechanisms import discrete_laplace
from grid.privacy.mechanisms.registry import (
    MECHANISMS,
    ChosenMechanism,
    choose_mechanism,
    vector_mechanism,
)
from syft_ext.errors import InvalidConfig, Unsupported
from tests.federated.models import encode
from tests.privacy.mechanisms import MechanismContract, Values


class TestClipping(MechanismContract):
    name = "clipping"
    set_to = {"clip_norm": 2.0}
    deviation = 0.0

    def test_it_promises_nothing(self, chosen: ChosenMechanism) -> None:
        assert chosen.event() == Unbounded()


class TestGaussian(MechanismContract):
    name = "gaussian"
    set_to = {"clip_norm": 2.0, "noise_multiplier": 1.5}
    deviation = 3.0

    def test_the_noise_is_normal(self, chosen: ChosenMechanism, monkeypatch: pytest.MonkeyPatch) -> None:
        noise = np.sort(self.draw(chosen, monkeypatch)) / self.deviation
        expected = np.array([(1 + math.erf(x / math.sqrt(2))) / 2 for x in noise])
        gap = np.abs(np.arange(1, len(noise) + 1) / len(noise) - expected).max()
        assert gap < 1.95 / math.sqrt(len(noise))  # Kolmogorov-Smirnov, at 0.1 %

    def test_it_costs_what_its_noise_is_in_units_of_its_bound(self, chosen: ChosenMechanism) -> None:
        assert chosen.event() == GaussianEvent(self.deviation / chosen.mechanism.bound(chosen.parameters))
        assert not chosen.mechanism.exact


class TestDiscreteLaplace(MechanismContract):
    name = "discrete_laplace"
    set_to = {"sensitivity": 3, "epsilon": 1.2}
    # P(x) ∝ q^|x| with q = exp(-epsilon / sensitivity) has a variance of 2q / (1 - q)².
    deviation = math.sqrt(2 * math.exp(-0.4)) / (1 - math.exp(-0.4))

    def draw(self, chosen: ChosenMechanism, monkeypatch: pytest.MonkeyPatch, count: int = 20_000) -> Values:
        monkeypatch.setattr(discrete_laplace, "randbelow", random.Random(3).randrange)
        values = np.zeros(count, np.int64)
        chosen.noise().add(values)
        return values

    def test_whom_it_hides_costs_no_more_than_epsilon(
        self, chosen: ChosenMechanism, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With one contribution more, everything moves by the sensitivity: no value is e^ε as likely."""
        noise = self.draw(chosen, monkeypatch, 60_000)
        counts = {x: int((noise == x).sum()) for x in range(-6, 7)}
        for x in range(-6, 4):
            one, other = counts[x], counts[x + 3]
            spread = math.sqrt(1 / one + 1 / other)
            assert abs(math.log(one / other)) <= 1.2 + 4 * spread
        assert chosen.event() == PureEvent(1.2) and chosen.mechanism.exact


def test_what_a_policy_demands_of_vectors() -> None:
    assert vector_mechanism(2.0, None).mechanism.name == "clipping"
    noisy = vector_mechanism(2.0, 0.5)
    assert noisy.mechanism.name == "gaussian" and noisy.event() == GaussianEvent(0.5)


def test_a_mean_of_vectors_takes_no_mechanism_for_whole_numbers() -> None:
    base = TensorFile(encode({"w": np.zeros(3, np.float32)}))
    with pytest.raises(Unsupported, match="not for vectors"):
        ClippedMean(base, choose_mechanism("discrete_laplace", sensitivity=1, epsilon=1.0))


# -- how they are found


class Doubled(type(MECHANISMS.find("gaussian"))):  # type: ignore[misc]
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
        "gaussian = tests.privacy.test_mechanisms:Doubled\nodd = pathlib:Path\n"
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
    assert MECHANISMS.names() == ["clipping", "gaussian", "discrete_laplace"]


@pytest.mark.usefixtures("installed")
def test_what_cannot_be_found_is_refused() -> None:
    with pytest.raises(
        InvalidConfig, match="'skellam', there are: clipping, gaussian, discrete_laplace, doubled"
    ):
        MECHANISMS.find("skellam")
    with pytest.raises(InvalidConfig, match="more than one privacy mechanism is called 'gaussian'"):
        MECHANISMS.find("gaussian")
    with pytest.raises(InvalidConfig, match="is no Mechanism"):
        MECHANISMS.find("odd")
    assert type(MECHANISMS.get("gaussian")).__name__ == "Gaussian", "what is in use is Grid's own"
