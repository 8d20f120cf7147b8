"""What waits until a restore is acknowledged: in trainings, plans, statistics and whatever rests on a grant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from grid.access.tables import Grant
from grid.installation.restored import Heads, notice
from grid.installation.service import InstallationService
from grid.privacy.budget.ledger_tables import PrivacyCharge
from grid.spending.tables import RestoredRow
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock
from syft_ext.errors import Forbidden, NotFound, RestoredDatabase
from syft_ext.messages.installation import AcknowledgeRestore, DatabaseHead
from syft_ext.messages.objects import GetObject, PutObject
from syft_ext.messages.statistics import Begin
from syft_ext.sources.frames import content_of
from tests.federated.conftest import clock, manual
from tests.federated.consent.conftest import sqlite_story
from tests.federated.consent.story import Story
from tests.federated.driver import Driver
from tests.governance.conftest import _warm_processes, sandbox, sqlite_house
from tests.governance.plan_story import PlanStory
from tests.open_site import OPEN

__all__ = ["_warm_processes", "clock", "manual", "sandbox", "sqlite_house", "sqlite_story"]


@pytest.fixture(autouse=True)
def looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.spending.keeping._FRESH", 0.0)


def restored(database: Database) -> None:
    """As a start notes it that finds an older database."""
    heads = Heads(
        database=DatabaseHead(epoch=1, entry=1, at=0.0),
        known=DatabaseHead(epoch=3, entry=9, at=0.0),
        reason="the database is older than what this home knows",
    )
    database.run(lambda session: notice(session, heads, 1.0))


def all_wait(ways: dict[str, Callable[[], Any]]) -> None:
    for name, way in ways.items():
        with pytest.raises(RestoredDatabase):
            pytest.fail(f"{name} did not wait: {way()}")


def test_check_ins_and_reports(sqlite_story: Story) -> None:
    story = sqlite_story
    story.policy(**OPEN)
    story.host(story.sue, server_config={"num_cycles": 2, "max_workers": 2})
    workers = [story.join(), story.join()]
    part = story.check_in(workers[0])
    restored(story.house.node.db)
    all_wait(
        {
            "check-in": lambda: story.check_in(workers[1]),
            "report": lambda: story.report(workers[0], part),
        }
    )
    view = story.house.node.service(InstallationService)
    with pytest.raises(RestoredDatabase):
        view.check()
    story.owner.call(AcknowledgeRestore())
    story.check_in(workers[1])
    story.report(workers[0], part)


def test_averages(manual: Driver, clock: ManualClock) -> None:
    """The cycle stays closed, says for whom it waits, and is averaged afterwards."""

    def goes_by() -> None:
        assert manual.pipeline.drain()
        clock.advance(60.0)
        manual.pipeline.scheduler.timers.run_due()
        manual.pipeline.queue.timers.run_due()
        assert manual.pipeline.drain()

    manual.host({"max_diffs": 1, "num_cycles": 1})
    restored(manual.pipeline.store.database)
    tensors = {"weight": np.ones((4, 4), np.float32), "bias": np.ones(4, np.float32)}
    manual.report(manual.join(), tensors)
    for _ in range(3):
        goes_by()
    assert manual.view.status == "running" and "owner" in manual.view.waits_for
    manual.pipeline.store.database.run(
        lambda session: setattr(session.get_one(RestoredRow, 1), "acknowledged_at", 2.0)
    )
    goes_by()
    assert (manual.view.status, manual.view.waits_for) == ("completed", "")


def test_plans_contents_and_rules(sandbox: object, sqlite_house: Any) -> None:
    """A plan, a counted grant, and one that is not counted: its revocation may be what was lost."""
    story = PlanStory(sqlite_house)
    database = story.house.node.db
    asked = story.ask()
    story.seen_by(story.ann, asked).approve(uses=1)
    secret = {uses: str(story.put(story.ann, torch.ones(2) * (uses or 9))) for uses in (1, None)}

    def give(session: Any) -> None:
        for number, (uses, object_id) in enumerate(secret.items()):
            session.add(
                Grant(id=f"{number:032}", scope="read", user_id=story.sue_view.id, object_id=object_id,
                      granted_by="o", created_at=0.0, uses_left=uses)
            )  # fmt: skip

    database.run(give)
    ways: dict[str, Callable[[], Any]] = {
        "plan": asked.run,
        "counted": lambda: story.sue.download(GetObject(object_id=secret[1])),
        "uncounted": lambda: story.sue.download(GetObject(object_id=secret[None])),
    }
    restored(database)
    all_wait(ways)
    story.ann.download(GetObject(object_id=secret[1]))  # Ann's own
    story.owner.call(AcknowledgeRestore())  # the record does not know of what was spent in between
    ways["uncounted"]()
    for name in ("plan", "counted"):
        with pytest.raises((Forbidden, NotFound)):
            ways[name]()


def test_statistics_of_guarded_tables(sqlite_story: Story) -> None:
    story = sqlite_story
    story.policy(min_rows=10)
    random = np.random.default_rng(1)
    content = content_of({"age": random.integers(20, 90, 500)}, {}, "t")
    table = story.owner.call(PutObject(kind="tensors"), list(map(bytes, content.pieces()))).id
    restored(story.house.node.db)
    message = Begin(object_id=table, statistics=["mean"], columns=["age"])
    all_wait({"mean": lambda: story.owner.call(message)})
    with story.house.node.db.read() as session:
        assert session.query(PrivacyCharge).count() == 0
