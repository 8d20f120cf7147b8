"""The Domain's half, on each engine: phases by what came or by their time, and whoever starts again goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grid.aggregation.strategies.interface import Strategy
from grid.aggregation.strategies.registry import STRATEGIES
from grid.federated.intake.registry import format_of
from grid.federated.state.masked_tables import MaskedPart, MaskedRound
from grid.privacy.accounting.zcdp import epsilon_of_rho
from grid.privacy.budget.ledger import cost_of_rho
from grid.privacy.budget.ledger_tables import PrivacyCharge
from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock
from syft_ext.errors import BadRequest, Conflict, GridError, InvalidConfig, RoundRefused, TooLarge
from tests.federated.driver import Driver
from tests.open_site import open_site
from tests.secure_aggregation.parties import CONFIG, STEPS, Party, learned
from tests.user_folder import fresh_user


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path) -> Iterator[None]:
    with fresh_user(tmp_path / "user"):
        yield


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def driver(database: Database, blobs: FileBlobStore, clock: ManualClock) -> Iterator[Driver]:
    """A pipeline whose timers run when they are told to."""
    found = Driver(database, blobs, clock)
    found.pipeline.queue.start()
    yield found
    found.pipeline.stop()


def late(driver: Driver, clock: ManualClock) -> None:
    """The phase's time is up."""
    clock.advance(31.0)
    driver.pipeline.scheduler.timers.run_due()


def parties(driver: Driver, count: int = 5) -> list[Party]:
    return [Party(driver, number) for number in range(count)]


def play(
    found: list[Party], driver: Driver, clock: ManualClock, silent: dict[int, str] | None = None
) -> None:
    """All phases; ``silent``: who says nothing from which step on."""
    for step in STEPS:
        speaking = [
            p for p in found if STEPS.index((silent or {}).get(p.number, "answer")) >= STEPS.index(step)
        ]
        if silent:
            speaking = [p for p in speaking if silent.get(p.number) != step]
        for each in speaking:
            getattr(each, step)()
        if step in (silent or {}).values() and driver.view.cycle_status == "securing":
            late(driver, clock)
        if driver.view.status != "running" or driver.view.cycle != found[0].reply.cycle:
            return


def expected(driver: Driver, numbers: list[int]) -> dict[str, Any]:
    """The model after one cycle with just these: exact, for all numbers here are multiples of the grid's step."""
    base = driver.model(1)
    differences = [learned(number, base) for number in numbers]
    return {
        name: (base[name] - np.float32(sum(d[name].astype(np.float64) for d in differences) / len(numbers)))
        for name in base
    }


def same(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(np.array_equal(found[name], wanted[name]) for name in wanted)


def left(driver: Driver) -> int:
    with driver.pipeline.store.database.read() as session:
        return session.query(MaskedPart).count() + session.query(MaskedRound).count()


@pytest.mark.parametrize("step", STEPS[1:])
def test_a_dropout_in_each_phase(driver: Driver, clock: ManualClock, step: str) -> None:
    driver.host(CONFIG)
    found = parties(driver)
    play(found, driver, clock, {2: step})
    view = driver.completed(1)
    counted = [0, 1, 3, 4] if step in ("share", "report") else [0, 1, 2, 3, 4]
    assert view.status == "completed" and same(driver.model(), expected(driver, counted))
    assert left(driver) == 0, "what opened the sum is kept by nobody"
    events = driver.pipeline.views.events(driver.process_id).events
    assert sum(event.after == "included" for event in events) == len(counted)
    phases = [event.detail["phase"] for event in events if "phase" in event.detail]
    assert phases == ["shares", "masked", "consistency", "unmask", "sum"]


@pytest.mark.parametrize("after", ["advertise", "share"])
def test_who_gives_up_in_the_middle_has_dropped_out(driver: Driver, clock: ManualClock, after: str) -> None:
    driver.host(CONFIG)
    found = parties(driver)
    for step in STEPS:
        for each in found:
            getattr(each, step)()
        if step == after:
            gone = found.pop(2)
            key = gone.reply.request_key
            driver.pipeline.collector.give_up(gone.reply.assignment_id, gone.worker, key, "stopped")
        elif len(found) == 4 and str(found[0].seen.phase) == {"share": "shares", "report": "masked"}.get(
            step
        ):
            late(driver, clock)  # whoever is gone is waited for until then
    assert driver.completed(1).status == "completed"
    assert same(driver.model(), expected(driver, [0, 1, 3, 4]))


@pytest.mark.parametrize("step", STEPS[1:])
def test_too_few_in_each_phase(driver: Driver, clock: ManualClock, step: str) -> None:
    driver.host({**CONFIG, "cycle_length": 1000, "max_extensions": 1})
    for cycle in (1, 2):
        found = parties(driver)
        assert [each.reply.cycle for each in found] == [cycle] * 5
        play(found, driver, clock, {1: step, 2: step})
        for each in found:
            each.close()
        assert left(driver) == 0
    view = driver.view
    assert (view.status, view.checkpoint, view.cycles_completed) == ("failed", 1, 0)
    events = driver.pipeline.views.events(driver.process_id).events
    assert [e.detail.get("ended_at") for e in events if e.detail.get("phase") == "below"] == [
        {"share": "shares", "report": "masked", "confirm": "consistency", "answer": "unmask"}[step]
    ] * 2
    assert "too few participants" in view.reason


def test_with_fewer_than_wanted_the_list_is_closed_when_the_time_is_up(
    driver: Driver, clock: ManualClock
) -> None:
    driver.host({**CONFIG, "cycle_length": 100})
    found = parties(driver)
    for each in found[:4]:
        each.advertise()
    assert driver.view.cycle_status == "collecting"
    clock.advance(101)
    driver.pipeline.scheduler.timers.run_due()
    assert driver.view.cycle_status == "securing"
    with pytest.raises(Conflict) as caught:
        found[4].advertise()
    assert caught.value.extra["reason"] == "late"
    play(found[:4], driver, clock)
    assert driver.completed(1).status == "completed"
    assert same(driver.model(), expected(driver, [0, 1, 2, 3]))


@pytest.mark.parametrize("step", STEPS)
def test_another_process_goes_on_where_the_last_one_died(
    driver: Driver, database: Database, blobs: FileBlobStore, clock: ManualClock, step: str
) -> None:
    """The old pipeline is left as it is, in the middle of a phase, with all that it holds in memory."""
    driver.host(CONFIG)
    found, now = parties(driver), driver
    for each_step in STEPS:
        for number, each in enumerate(found):
            getattr(each, each_step)()
            if each_step == step and number == 1:
                now = Driver(database, blobs, clock)
                now.process_id = driver.process_id
                now.pipeline.start()
                for party in found:
                    party.close()
                found[:] = [Party(now, n) for n in range(5)]
                for party in found:
                    party.catch_up()
    assert now.completed(1).status == "completed"
    assert same(now.model(), expected(now, [0, 1, 2, 3, 4]))
    if now is not driver:
        now.pipeline.stop()


# -- what is not taken -----------------------------------------------------------------------------------


def test_reports_in_the_clear_or_out_of_turn(driver: Driver, clock: ManualClock) -> None:
    driver.host(CONFIG)
    found = parties(driver)
    part, base = (found[0].worker, found[0].reply), driver.model()
    for options in ({}, {"kind": "masked"}):
        with pytest.raises((TooLarge, GridError)):
            driver.report(part, learned(0, base), **options)
    for kind in ("diff", "params"):
        with pytest.raises(BadRequest, match="no kind"):
            driver.report(part, learned(0, base), kind=kind)
    for each in found:
        each.advertise()
    for each in found[:4]:
        each.share()
    with pytest.raises(Conflict):  # shares of all have not come
        driver.report(part, {}, body=_words(found[0]), kind="masked")
    late(driver, clock)
    with pytest.raises(Conflict):  # who has shared nothing cannot be in the sum
        driver.report((found[4].worker, found[4].reply), {}, body=_words(found[0]), kind="masked")
    for name, value in (("samples", 3), ("loss", 0.5), ("accuracy", 0.5)):
        with pytest.raises(GridError, match="clear"):
            found[0].report(**{name: value})
    for each in found[:4]:
        each.report()
    for step in STEPS[3:]:
        for each in found[:4]:
            getattr(each, step)()
    assert driver.completed(1).status == "completed"
    assert same(driver.model(), expected(driver, [0, 1, 2, 3]))


def _words(party: Party) -> Any:
    from syft_ext.transport import PayloadReader

    return PayloadReader.of(bytes(4 * 21))


def test_one_key_is_one_participant(driver: Driver) -> None:
    driver.host(CONFIG)
    first, second = Party(driver, 0), Party(driver, 1)
    first.advertise()
    keys = first.round.advertise()
    with pytest.raises(Conflict, match="takes part in this round already"):
        driver.pipeline.masked.advertise(second.row, *keys, first.identity.verify_key, 0.0)
    with pytest.raises(BadRequest, match="key that their participant"):
        driver.pipeline.masked.advertise(second.row, *keys, second.identity.verify_key, 0.0)


def test_a_participant_does_not_take_part_twice_in_a_cycle(driver: Driver, clock: ManualClock) -> None:
    driver.host(CONFIG)
    found = parties(driver)
    for step in STEPS[:2]:
        for each in found:
            getattr(each, step)()
    found[0].close()
    again = Party(driver, 0)
    other = type(again.round)(
        type(again.round.round)(
            **{
                **{name: getattr(again.round.round, name) for name in again.round.round.__struct_fields__},
                "attempt": "f" * 32,
            }
        ),
        again.round.rules,
        again.identity,
        again.records,
        again.round.who_is,
    )
    with pytest.raises(RoundRefused, match="begins cycle 1 again"):
        other.advertise()


class Median(Strategy):
    """Looks at each report."""

    name = "median"


def test_what_needs_single_reports_is_refused_when_hosting(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STRATEGIES._builtin, "median", Median())

    def refused(field: str, **config: Any) -> None:
        with pytest.raises(InvalidConfig) as caught:
            driver.host({**CONFIG, **config}, name=f"no {field}")
        assert caught.value.extra["field"] == field, caught.value

    refused("aggregator", aggregator="median")
    refused("max_diffs", max_diffs=2)
    refused("max_diffs", max_diffs=65, max_workers=80)
    refused("confidential", report_format="sealed")
    refused("report_format", secure_aggregation=None, report_format="secure_aggregation")
    refused("min_diffs", min_diffs=5, secure_aggregation={"clip": 1.0, "minimum": 4})
    refused("secure_aggregation.threshold", secure_aggregation={"clip": 1.0, "threshold": 3})
    refused("secure_aggregation.max_weight", secure_aggregation={"clip": 1.0, "max_weight": 3})
    for policy in ({"clip_norm": 1.0}, {"min_rows": 5}):
        open_site(driver.pipeline.store.database, **policy)
        refused("report_format")


def test_a_policy_that_came_later_ends_the_training_before_anybody_shares(driver: Driver) -> None:
    driver.host(CONFIG)
    for each in parties(driver)[:4]:
        each.advertise()
    driver.pipeline.tasks.pause(driver.process_id)
    driver.pipeline.tasks.cancel(driver.process_id)
    assert left(driver) == 0
    open_site(driver.pipeline.store.database, min_participants=3, participation="open")
    driver.host(CONFIG, version="2.0")
    open_site(driver.pipeline.store.database)


def test_reviewers_read_who_sees_what(driver: Driver) -> None:
    driver.host({**CONFIG, "num_cycles": 10, "secure_aggregation": {"clip": 1.0, "noise": 2.0}})
    definition = driver.pipeline.definitions.get(driver.process_id)
    layout = driver.pipeline.definitions.layout(driver.process_id)
    told = "\n".join(format_of(definition.server).statement(layout, definition.server))
    for words in (
        "sees the sum of the reports of 4 to 5 participants",
        "could invent",
        "Nobody can see",
        "τ =",
        "ε =",
    ):
        assert words in told, told


def test_noise_of_participants_is_charged_to_the_trainings_ledger(driver: Driver, clock: ManualClock) -> None:
    """Before the cycle is opened, by the statement's own number; where too little is left, it is not."""
    noisy = {"clip": 64.0, "threshold": 4, "phase_seconds": 30.0, "noise": 2.0}
    driver.host({**CONFIG, "num_cycles": 5, "secure_aggregation": noisy})
    definition = driver.pipeline.definitions.get(driver.process_id)
    rho = format_of(definition.server).loss(
        definition.server, lambda: driver.pipeline.definitions.layout(driver.process_id)
    )
    assert 0.1 < rho < 10

    def charges() -> list[int]:
        with driver.pipeline.store.database.read() as session:
            return [each.cost for each in session.query(PrivacyCharge) if each.kind == "training"]

    assert charges() == [cost_of_rho(rho)]
    open_site(driver.pipeline.store.database, trainings_total=epsilon_of_rho(1.5 * rho))
    play(parties(driver), driver, clock)
    paused = driver.until(lambda view: view.status == "paused")
    assert "no privacy budget left" in paused.reason and paused.cycles_completed == 1
    assert charges() == [cost_of_rho(rho)]
    driver.host(CONFIG, version="quiet")  # without noise nothing is promised, and nothing charged
    assert len(charges()) == 1
    open_site(driver.pipeline.store.database)
