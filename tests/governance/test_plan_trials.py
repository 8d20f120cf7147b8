"""Plans under review are tried on mock rows, for who decides on them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from syft_ext.errors import Forbidden, NotFound
from syft_ext.messages.plan_requests import TryPlan
from syft_ext.plans import make_plan
from tests.accounts.people import House
from tests.governance.plan_story import PlanStory, mean_of_rows, other_mean, product


@make_plan
def any_rows(xs: Any = torch.zeros(40, 3)) -> Any:
    """Takes any number of rows."""
    return xs.mean(0), xs.sort(0)[0]


@pytest.fixture
def story(sandbox: object, sqlite_house: House) -> PlanStory:
    return PlanStory(sqlite_house)


def test_a_mean_and_a_mean_with_a_row_in_it(story: PlanStory) -> None:
    for plan, verdict in ((mean_of_rows, "mixes"), (other_mean, "copies")):
        asked = story.ask(plan)
        found = story.seen_by(story.officer, asked).plan.influence()
        (trial,) = found.trials
        assert (found.plan_id, trial.inputs, trial.rows, trial.problem) == (plan.id, ["xs"], 12, "")
        assert [each.verdict for each in trial.results] == [verdict]
        assert "an aid, and no proof" in str(found)
        asked.withdraw()


def test_every_result_is_judged_and_all_together(story: PlanStory) -> None:
    asked = story.ask(any_rows, {"xs": story.put(story.ann, torch.randn(40, 3))})
    (trial,) = story.seen_by(story.ann, asked).plan.influence().trials
    assert trial.rows == 32  # of 40: the plan takes any number of them
    assert [each.verdict for each in trial.results] == ["mixes", "copies", "copies"]
    assert trial.results[-1].output == ""


def test_inputs_with_as_many_rows_are_changed_together(story: PlanStory) -> None:
    asked = story.ask(product, {"xs": story.table, "ys": story.labels})
    (trial,) = story.seen_by(story.bob, asked).plan.influence().trials
    assert sorted(trial.inputs) == ["xs", "ys"] and trial.results[-1].verdict != "copies"


def test_the_rows_themselves_are_not_used(story: PlanStory) -> None:
    """Two contents of one form and schema give the same answer, to the last digit."""
    answers = []
    for rows in (torch.zeros(12, 3), torch.full((12, 3), 1e6)):
        asked = story.ask(mean_of_rows, {"xs": story.put(story.ann, rows)})
        answers.append(str(story.seen_by(story.ann, asked).plan.influence()))
    assert answers[0] == answers[1]


def test_only_who_decides_tries(story: PlanStory) -> None:
    asked = story.ask()
    with pytest.raises(Forbidden, match="those who decide"):
        story.sue.call(TryPlan(request_id=asked.id))
    for stranger in (story.eve, story.bob):
        with pytest.raises(NotFound):
            stranger.call(TryPlan(request_id=asked.id))
