"""Every strategy passes the same tests, also one from outside; and how they are found by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from grid.aggregation.strategies.interface import Strategy
from grid.aggregation.strategies.registry import STRATEGIES, parse_parameters
from syft_ext.errors import InvalidConfig, Unsupported
from tests.federated.models import encode
from tests.federated.strategies import outside
from tests.federated.strategies.contract import Model, StrategyContract, model_of, one_step, reports_of

Numbers = dict[str, NDArray[np.float64]]


def _wide(model: Model) -> Numbers:
    return {name: values.astype(np.float64) for name, values in model.items()}


class TestMean(StrategyContract):
    name = "mean"

    def reference(self, base: Model, mean: Model, state: Any, parameters: Any) -> tuple[Numbers, Any]:
        return {name: values - mean[name] for name, values in _wide(base).items()}, None


class TestFedAvgM(StrategyContract):
    name = "fedavgm"
    set_to = {"momentum": 0.7, "learning_rate": 0.5}

    def reference(self, base: Model, mean: Model, state: Any, parameters: Any) -> tuple[Numbers, Any]:
        state = state or {name: np.zeros(values.shape) for name, values in base.items()}
        velocity = {name: parameters.momentum * state[name] + mean[name] for name in base}
        made = {n: w - parameters.learning_rate * velocity[n] for n, w in _wide(base).items()}
        return {**made, "steps": base["steps"] - mean["steps"]}, velocity


class TestFedAdam(StrategyContract):
    name = "fedadam"
    set_to = {"learning_rate": 0.02, "beta_1": 0.8, "beta_2": 0.95, "tau": 0.01}

    def reference(self, base: Model, mean: Model, state: Any, parameters: Any) -> tuple[Numbers, Any]:
        p = parameters
        m, v = state or (
            {name: np.zeros(values.shape) for name, values in base.items()},
            {name: np.full(values.shape, p.tau**2) for name, values in base.items()},
        )
        m = {name: p.beta_1 * m[name] + (1 - p.beta_1) * mean[name] for name in base}
        v = {name: p.beta_2 * v[name] + (1 - p.beta_2) * mean[name] ** 2 for name in base}
        made = {n: w - p.learning_rate * m[n] / (np.sqrt(v[n]) + p.tau) for n, w in _wide(base).items()}
        return {**made, "steps": base["steps"] - mean["steps"]}, (m, v)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packages can be installed; the one with :class:`outside.Decaying` is."""
    site = outside.install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(site))
    return site


@pytest.mark.usefixtures("installed")
class TestFromOutside(StrategyContract):
    name = "decaying"
    state_adds_up = False  # it sums over all numbers, stretch by stretch
    set_to = {"warmth": 2.5}

    def reference(self, base: Model, mean: Model, state: Any, parameters: Any) -> tuple[Numbers, Any]:
        cycle = (state or 0) + 1
        factor = 1 / (cycle + parameters.warmth)
        return {name: values - factor * mean[name] for name, values in _wide(base).items()}, cycle


def test_without_momentum_it_is_the_mean_to_the_last_bit() -> None:
    fedavgm, mean = STRATEGIES.find("fedavgm"), STRATEGIES.find("mean")
    plain = parse_parameters(fedavgm, {"momentum": 0.0})
    model = encode(model_of(0))
    # The scale is applied to the difference before it is kept: as exact as the mean where that is a power of two.
    reports = [(report, 1.0) for report, _ in reports_of(1)[:4]]
    made, state = one_step(fedavgm, plain, model, reports, None)
    assert state is not None
    assert made == one_step(mean, parse_parameters(mean, {}), model, reports, None)[0]


# -- how they are found


def test_names_that_come_with_grid() -> None:
    assert STRATEGIES.names() == ["mean", "fedavgm", "fedadam"]


def test_an_unknown_name_lists_those_there_are(installed: Path) -> None:
    with pytest.raises(
        InvalidConfig, match="'median', there are: mean, fedavgm, fedadam, decaying"
    ) as caught:
        STRATEGIES.find("median")
    assert caught.value.extra["field"] == "aggregator"


def test_a_package_cannot_take_a_name_that_is_taken(installed: Path) -> None:
    outside.install(installed, "greedy", mean=outside.ENTRIES["decaying"], **outside.ENTRIES)
    for name in ("mean", "decaying"):
        with pytest.raises(InvalidConfig, match=f"more than one strategy is called '{name}'"):
            STRATEGIES.find(name)


@pytest.fixture
def wrong(installed: Path) -> Iterator[None]:
    here = "tests.federated.strategies.outside"
    outside.install(
        installed,
        "wrong",
        missing=f"{here}:Nothing",
        wrong=f"{here}:NotAStrategy",
        misnamed=f"{here}:Misnamed",
        broken=f"{here}:Broken",
    )
    yield


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing", "cannot be loaded"), ("wrong", "is no Strategy"), ("misnamed", "calls itself 'other'")],
)
def test_what_cannot_be_used_is_refused(wrong: None, name: str, reason: str) -> None:
    with pytest.raises(InvalidConfig, match=reason):
        STRATEGIES.find(name)


def test_a_state_of_another_size_than_declared_is_refused(wrong: None) -> None:
    strategy = STRATEGIES.find("broken")
    with pytest.raises(Unsupported, match="another size"):
        one_step(strategy, parse_parameters(strategy, {}), encode(model_of(0)), reports_of(1), None)

    class Larger(type(strategy)):  # type: ignore[misc]
        def next_state(self, *_: Any) -> Iterator[NDArray[Any]]:
            yield np.zeros(3)
            yield np.zeros(1)  # eight bytes too many

    with pytest.raises(Unsupported, match="another size"):
        one_step(Larger(), parse_parameters(strategy, {}), encode(model_of(0)), reports_of(1), None)


def test_a_strategy_that_declares_a_state_and_does_not_make_it_says_so() -> None:
    class Forgetful(STRATEGIES.find("fedavgm").__class__):  # type: ignore[misc]
        next_state = Strategy.next_state

    with pytest.raises(NotImplementedError, match="declares a state and does not make it"):
        Forgetful().next_state(None, None, None, None)
