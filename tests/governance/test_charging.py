"""Results of approved plans are charged to the ledgers of their data, before the plan runs."""

from __future__ import annotations

import math

import pytest
import torch

from grid.governance.plans.review_sandbox import ReviewSandbox
from syft_ext.errors import Forbidden
from syft_ext.messages.ledger import GetLedger, GrantLedger, LedgerView, ListLedgers
from syft_ext.messages.policy import SetPolicy, SitePolicy
from tests.accounts.people import House
from tests.governance.plan_story import PlanStory, product


@pytest.fixture
def story(sandbox: object, house: House) -> PlanStory:
    return PlanStory(house)


def ledger(story: PlanStory) -> LedgerView:
    view: LedgerView = story.ann.call(GetLedger(object_id=story.table))
    return view


def test_a_run_is_charged_once_for_its_results_and_refused_before_it_begins(
    story: PlanStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """z = 2: 4 · 1/(2 · 4) = 1/2 of ρ a run, of 0.54 that a ledger has by default."""
    story.owner.call(SetPolicy(policy=SitePolicy(min_rows=2, clip_norm=0.5, noise_multiplier=2.0)))
    asked, other = story.ask(), story.ask(values={"scale": 3.0})
    for each in (asked, other):
        story.seen_by(story.ann, each).approve(uses=5)
    first = asked.run()
    charged = ledger(story)
    (charge,) = charged.charges
    assert charge.kind == "plan" and charge.user == "sue@lab.org" and asked.view.id in charge.what
    assert charge.share == pytest.approx(0.5 / 0.5395, rel=1e-3)
    assert charged.told == {"plan": charge.share} and charged.used == charge.share
    assert torch.equal(asked.run(), first) and ledger(story) == charged, "the same noise again tells nothing"

    def never(*_: object) -> None:
        raise AssertionError("it ran")

    with monkeypatch.context() as patch:
        patch.setattr(ReviewSandbox, "run", never)
        with pytest.raises(Forbidden, match="owner may grant more") as caught:
            other.run()
    assert caught.value.extra["left"] == pytest.approx(1 - charge.share)
    assert ledger(story).used == charge.share
    story.ann.call(GrantLedger(object_id=story.table, epsilon=12.0))
    other.run()
    spent = ledger(story)
    assert len(spent.charges) == 2 and spent.spent > charged.spent
    # Statistics and plans have one ledger between them.
    (mine,) = story.ann.call(ListLedgers()).ledgers
    assert mine.object_id == story.table and mine.told.keys() == {"plan"}


def test_all_data_of_a_plan_are_charged_and_other_rules_anew(story: PlanStory) -> None:
    story.owner.call(SetPolicy(policy=SitePolicy(min_rows=2, clip_norm=0.5, noise_multiplier=4.0)))
    asked = story.ask(product, {"xs": story.table, "ys": story.labels})
    for owner in (story.ann, story.bob):
        story.seen_by(owner, asked).approve(uses=5)
    asked.run()
    labels = story.bob.call(GetLedger(object_id=story.labels))
    assert labels.used == ledger(story).used == pytest.approx(0.125 / 0.5395, rel=1e-3)
    story.owner.call(SetPolicy(policy=SitePolicy(min_rows=2, clip_norm=0.5, noise_multiplier=8.0)))
    asked.run()
    assert len(ledger(story).charges) == 2, "other noise on the same results"


def test_results_without_noise_are_written_down_and_cost_nothing_that_can_be_counted(
    story: PlanStory,
) -> None:
    asked = story.ask()
    story.seen_by(story.ann, asked).approve()
    asked.run()
    (charge,) = ledger(story).charges
    assert charge.share == 0.0 and "outside of the guarantee" in charge.what


def test_where_statistics_are_exact_runs_are_counted_and_limited_by_their_owner_alone(
    story: PlanStory,
) -> None:
    story.owner.call(SetPolicy(policy=SitePolicy(clip_norm=0.5, noise_multiplier=1.0)))
    asked, other = story.ask(), story.ask(values={"scale": 3.0})
    for each in (asked, other):
        story.seen_by(story.ann, each).approve(uses=5)
    asked.run()
    counted = ledger(story)
    assert not counted.limited and counted.spent == pytest.approx(
        2 + 2 * math.sqrt(2 * math.log(1e6)), rel=1e-6
    )
    story.ann.call(GrantLedger(object_id=story.table, epsilon=counted.spent + 1))
    with pytest.raises(Forbidden, match="owner may grant more"):
        other.run()
    assert ledger(story).limited
