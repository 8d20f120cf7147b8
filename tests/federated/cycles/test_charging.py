"""Cycles with noise are charged to their training's ledger before they are opened."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from grid.catalogue.restored import put_right
from grid.federated.cycles.charging import LedgerExhausted
from grid.privacy.accounting.zcdp import epsilon_of_rho
from grid.privacy.budget.ledger import MARKS, PARTS
from grid.privacy.budget.ledger_tables import PrivacyCharge, PrivacyLedger
from grid.spending import keeping
from grid.spending.record import Spent
from tests.federated.driver import Driver
from tests.open_site import open_site

MODEL = {"w": np.zeros((2, 2), np.float32)}
CONFIG = {"max_diffs": 1, "max_workers": 1, "num_cycles": 9}
NOISE = {"clip_norm": 1.0, "noise_multiplier": 1.0}
TWO_CYCLES = epsilon_of_rho(1.2)
"""Pays for two cycles of ρ = 1/2, and not for three."""


def set_policy(driver: Driver, **fields: Any) -> None:
    open_site(driver.pipeline.store.database, **fields)


def cycle(driver: Driver) -> None:
    done = driver.view.cycles_completed
    driver.report(driver.join(), MODEL)
    driver.completed(done + 1)


def spent(driver: Driver) -> list[int]:
    with driver.pipeline.store.database.read() as session:
        return list(session.scalars(select(PrivacyLedger.spent)))


def test_a_cycle_is_not_opened_without_budget(driver: Driver) -> None:
    set_policy(driver, **NOISE, trainings_total=TWO_CYCLES)
    driver.host(CONFIG, model=MODEL)
    assert spent(driver) == [PARTS // 2 + 1]  # rounded up
    cycle(driver)
    cycle(driver)
    paused = driver.until(lambda view: view.status == "paused")
    assert "no privacy budget left" in paused.reason and paused.cycles_completed == 2
    assert spent(driver) == [2 * (PARTS // 2 + 1)]
    with driver.pipeline.store.database.read() as session:
        charges = session.scalars(select(PrivacyCharge).order_by(PrivacyCharge.at)).all()
    assert {(each.kind, each.object_id, each.cost) for each in charges} == {("training", "", PARTS // 2 + 1)}
    with pytest.raises(LedgerExhausted, match="trainings_total"):
        driver.pipeline.tasks.resume(driver.process_id)
    set_policy(driver, **NOISE, trainings_total=epsilon_of_rho(1.6))
    driver.pipeline.tasks.resume(driver.process_id)
    cycle(driver)


def test_another_version_has_no_budget_of_its_own(driver: Driver) -> None:
    set_policy(driver, **NOISE, trainings_total=TWO_CYCLES)
    driver.host(CONFIG, model=MODEL, version="1")
    driver.host(CONFIG, model=MODEL, version="2")
    with pytest.raises(LedgerExhausted):
        driver.host(CONFIG, model=MODEL, version="3")
    assert spent(driver) == [2 * (PARTS // 2 + 1)]


def test_without_a_total_it_is_counted_and_not_limited(driver: Driver) -> None:
    set_policy(driver, **NOISE)
    driver.host(CONFIG, model=MODEL)
    for _ in range(3):
        cycle(driver)
    assert spent(driver) == [4 * (PARTS // 2 + 1)]


def test_without_noise_nothing_is_charged(driver: Driver) -> None:
    set_policy(driver, clip_norm=1.0, trainings_total=TWO_CYCLES)
    driver.host(CONFIG, model=MODEL)
    cycle(driver)
    assert spent(driver) == []


def test_what_is_spent_is_written_down(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an older database does not give it again: as for tables (``tests/spending``)."""
    written: list[tuple[str, str, Any]] = []

    class Keeper:
        def write(self, entries: list[tuple[str, str, Any]]) -> None:
            written.extend(entries)

    monkeypatch.setitem(keeping._KEEPERS, driver.pipeline.store.database.engine, Keeper())
    set_policy(driver, **NOISE)
    name = driver.host(CONFIG, model=MODEL)
    kind, _, facts = written[0]
    assert kind == MARKS and facts["spent"] == PARTS // 2 + 1
    assert facts["members"][0].startswith("training:") and name


@pytest.mark.parametrize("record_is_whole", [True, False])
def test_an_older_database_does_not_give_it_again(driver: Driver, record_is_whole: bool) -> None:
    set_policy(driver, **NOISE, trainings_total=TWO_CYCLES)
    driver.host(CONFIG, model=MODEL, version="1")
    known = {"spent": PARTS, "granted": None, "exact_digest": None, "members": ["training:mnist"]}
    spent_since = Spent({MARKS: {"1" * 32: known}} if record_is_whole else {})
    with driver.pipeline.store.database.transaction() as session:
        put_right(session, spent_since, not record_is_whole)
    assert spent(driver)[0] >= PARTS
    with pytest.raises(LedgerExhausted):
        driver.host(CONFIG, model=MODEL, version="2")
