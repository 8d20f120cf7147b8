"""Strategies in a pipeline: how a training chooses one, what is kept between its cycles, and when it is freed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, select

from grid.aggregation.strategies.registry import STRATEGIES, parse_parameters
from grid.federated.state.strategy_tables import StrategyStateRow
from grid.storage.objects.references import sweep
from grid.storage.sql.database import Database
from syft_ext.errors import InvalidConfig, Unavailable
from tests.federated.driver import Driver
from tests.federated.models import encode, small_model
from tests.federated.strategies import outside
from tests.federated.strategies.contract import Model, one_step
from tests.open_site import open_site

CONFIG = {"num_cycles": 3, "max_diffs": 2, "max_workers": 2}
DIFFS = [
    {name: np.full_like(values, each) for name, values in small_model().items()} for each in (0.5, -0.25)
]


def cycle(driver: Driver, *reports: Model) -> None:
    done = driver.view.cycles_completed
    for report in reports or DIFFS:
        driver.report(driver.join(), report)
    driver.completed(done + 1)
    assert driver.pipeline.executor.drain()


def states(driver: Driver) -> list[tuple[int, bool]]:
    """Checkpoint of each state, and whether that is still needed."""
    query = select(StrategyStateRow.number, StrategyStateRow.blob_digest).order_by(StrategyStateRow.number)
    return [(row.number, row.blob_digest is not None) for row in driver.pipeline.store.read(query)]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = outside.install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(site))
    return site


# -- choosing one


def test_it_is_shown_with_all_its_parameters(driver: Driver) -> None:
    driver.host(CONFIG)
    assert (driver.view.aggregator, driver.view.aggregator_parameters) == ("mean", {})
    driver.host({**CONFIG, "aggregator": "fedavgm"}, version="2")
    assert driver.view.aggregator_parameters == {"learning_rate": 1.0, "momentum": 0.9}
    chosen = {"name": "fedadam", "parameters": {"tau": 0.5}}
    driver.host({**CONFIG, "aggregator": chosen}, version="3")
    assert driver.view.aggregator == "fedadam"
    assert driver.view.aggregator_parameters == {
        "learning_rate": 0.1,
        "beta_1": 0.9,
        "beta_2": 0.99,
        "tau": 0.5,
    }


def test_a_training_keeps_the_defaults_of_when_it_was_hosted(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.host({**CONFIG, "aggregator": "fedavgm"})

    class Other(STRATEGIES.find("fedavgm").parameters):  # type: ignore[misc]
        momentum: float = 0.1

    monkeypatch.setattr(type(STRATEGIES.find("fedavgm")), "parameters", Other)
    again = Driver(driver.pipeline.store.database, driver.pipeline.store.blobs)
    again.process_id = driver.process_id
    assert again.view.aggregator_parameters["momentum"] == 0.9


@pytest.mark.parametrize(
    ("aggregator", "field", "told"),
    [
        ("median", "aggregator", "there are: mean, fedavgm, fedadam"),
        ({"name": "median"}, "aggregator", "there are: mean, fedavgm, fedadam"),
        ({"parameters": {}}, "aggregator", "required field `name`"),
        ({"name": "mean", "weights": 1}, "weights", "no field 'weights'"),
        ({"name": "mean", "parameters": {"momentum": 0.9}}, "aggregator.parameters.momentum", "it has none"),
        (
            {"name": "fedavgm", "parameters": {"beta": 0.9}},
            "aggregator.parameters.beta",
            "they are: learning_rate, momentum",
        ),
        ({"name": "fedavgm", "parameters": {"momentum": 1}}, "aggregator.parameters.momentum", "< 1.0"),
        ({"name": "fedavgm", "parameters": {"momentum": "0.9"}}, "aggregator.parameters.momentum", "`float`"),
        (3, "aggregator", "Expected"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_hosted(
    manual: Driver, aggregator: Any, field: str, told: str
) -> None:
    with pytest.raises(InvalidConfig) as caught:
        manual.host({**CONFIG, "aggregator": aggregator})
    assert caught.value.extra["field"] == field and told in caught.value.detail


def test_a_hosted_averaging_plan_stands_alone(manual: Driver) -> None:
    with pytest.raises(InvalidConfig, match="name no other"):
        manual.host({**CONFIG, "aggregator": "fedadam"}, averaging_plan=b"plan")


# -- what is kept


@pytest.mark.parametrize("name", ["fedavgm", "fedadam", "decaying"])
def test_the_models_are_those_of_the_strategy_and_a_restart_changes_nothing(
    driver: Driver, installed: Path, name: str
) -> None:
    driver.host({**CONFIG, "aggregator": name})
    strategy = STRATEGIES.find(name)
    model, state = encode(small_model()), None
    running = driver
    for number in (1, 2, 3):
        if number == 2:
            driver.pipeline.stop()
            running = Driver(driver.pipeline.store.database, driver.pipeline.store.blobs)
            running.process_id = driver.process_id
            running.pipeline.start()
        cycle(running)
        reports = [(report, 1.0) for report in DIFFS]
        model, state = one_step(strategy, parse_parameters(strategy, {}), model, reports, state)
        view = running.pipeline.views.checkpoint(
            running.pipeline.definitions.get(driver.process_id), number + 1
        )
        assert running.pipeline.store.blobs.read_range(view.digest, 0) == model
    running.pipeline.stop()


def test_a_state_is_kept_until_the_next_one(driver: Driver) -> None:
    driver.host({**CONFIG, "aggregator": "fedadam"})
    assert states(driver) == []
    cycle(driver)
    assert states(driver) == [(2, True)]
    cycle(driver)
    assert states(driver) == [(2, False), (3, True)]
    cycle(driver)
    assert driver.view.status == "completed"
    assert states(driver) == [(2, False), (3, False), (4, False)], "nothing follows: none is needed"
    store = driver.pipeline.store
    driver.pipeline.stop()
    sweep(store.database, store.blobs)
    assert len(list(store.blobs.digests())) == 5, "four models and the plan"


def test_a_checkpoint_without_its_state_begins_nothing_anew(driver: Driver) -> None:
    driver.host({**CONFIG, "aggregator": "fedadam"})
    cycle(driver)
    with driver.pipeline.store.database.transaction() as session:
        session.execute(delete(StrategyStateRow))
    for _ in range(2):
        driver.report(driver.join(), DIFFS[0])
    view = driver.until(lambda view: view.status == "failed")
    assert "no state with checkpoint 2" in view.reason


@pytest.mark.parametrize("end", ["cancel", "fail"])
def test_a_training_that_ends_early_keeps_nothing(driver: Driver, end: str) -> None:
    driver.host({**CONFIG, "aggregator": "fedavgm"})
    cycle(driver)
    if end == "cancel":
        driver.pipeline.tasks.cancel(driver.process_id)
    else:
        huge = {name: np.full_like(values, -3e38) for name, values in small_model().items()}
        for _ in range(2):
            driver.report(driver.join(), huge)
        assert "not finite" in driver.until(lambda view: view.status == "failed").reason
        assert states(driver) == [(2, True)], "it may be resumed"
        driver.pipeline.tasks.discard(driver.process_id)
    assert states(driver) == [(2, False)]


def test_a_state_that_does_not_change_is_not_collected(driver: Driver) -> None:
    """Two checkpoints have states of one content: it goes with the last of them."""
    driver.host({**CONFIG, "aggregator": "fedavgm"})
    nothing = {name: np.zeros_like(values) for name, values in small_model().items()}
    cycle(driver, nothing, nothing)
    cycle(driver, nothing, nothing)
    driver.pipeline.garbage._collect_now(
        [row[0] for row in driver.pipeline.store.read(select(StrategyStateRow.digest))], []
    )
    cycle(driver)
    assert driver.view.status == "completed"


def test_the_plain_mean_keeps_nothing(driver: Driver) -> None:
    driver.host(CONFIG)
    cycle(driver)
    assert states(driver) == []


# -- the site's policy, and packages that go


def _clip(database: Database, **fields: Any) -> None:
    open_site(database, clip_norm=1.0, **fields)


def test_under_a_policy_it_gets_the_clipped_mean(driver: Driver) -> None:
    _clip(driver.pipeline.store.database)
    driver.host({**CONFIG, "aggregator": {"name": "fedavgm", "parameters": {"momentum": 0.5}}})
    for _ in range(2):
        cycle(driver, *[{name: v * 100 for name, v in DIFFS[0].items()}] * 2)
    first, second = (driver.model(number)["weight"] - driver.model(number + 1)["weight"] for number in (1, 2))
    np.testing.assert_allclose(first, 1 / np.sqrt(20), rtol=1e-5)  # clipped to norm 1: twenty equal numbers
    np.testing.assert_allclose(second, 1.5 * first, rtol=1e-5)


def test_what_does_not_say_that_it_may_is_refused_under_a_policy(driver: Driver, installed: Path) -> None:
    chosen = {**CONFIG, "aggregator": "decaying"}
    driver.host(chosen)
    part = driver.join(), driver.join()
    _clip(driver.pipeline.store.database)
    with pytest.raises(InvalidConfig, match="decaying") as caught:
        driver.host(chosen, version="2")
    assert caught.value.extra["field"] == "aggregator"
    for each in part:
        driver.report(each, DIFFS[0])
    driver.completed(1)  # this cycle was opened before
    for _ in range(2):
        driver.report(driver.join(), DIFFS[0])
    assert "decaying" in driver.until(lambda view: view.status == "failed").reason


def test_a_package_that_is_gone_for_a_while_ends_nothing(
    driver: Driver, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.host({**CONFIG, "aggregator": "decaying"})
    cycle(driver)
    parts = [driver.join() for _ in range(2)]
    driver.pipeline.stop()
    info = installed / "outside-1.dist-info"
    info.rename(installed / "outside")
    again = Driver(driver.pipeline.store.database, driver.pipeline.store.blobs)
    again.process_id = driver.process_id
    again.pipeline.start()
    try:
        assert again.view.aggregator == "decaying"
        with pytest.raises(Unavailable, match="no strategy 'decaying'"):
            again.join()  # nobody trains for what cannot be averaged
        for part in parts:
            again.report(part, DIFFS[0])
        assert again.pipeline.executor.drain()
        assert (again.view.status, again.view.cycles_completed) == ("running", 1)
        (installed / "outside").rename(info)
        again.completed(2)  # when it is tried again
        again.join()
    finally:
        again.pipeline.stop()
