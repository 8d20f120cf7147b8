"""Requests for privacy budget: given by reviewers, less than asked, taken back. On both engines."""

from __future__ import annotations

import pytest

from grid.privacy.budget.service import spend_budget
from syft_ext.errors import Conflict, Forbidden
from syft_ext.messages.budget import GetBudget, GrantBudget
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.messages.requests import ApproveRequest, CreateBudgetRequest, RevokeRequest
from tests.accounts.people import House
from tests.governance.test_grants import Story


@pytest.fixture
def story(house: House) -> Story:
    return Story(house)


def left(story: Story) -> float:
    return float(story.sue.call(GetBudget()).left)


def test_a_reviewer_gives_it_and_may_give_less(story: Story) -> None:
    asked = story.sue.call(CreateBudgetRequest(epsilon=1.5, reason="three means"))
    assert (asked.kind, asked.state, asked.epsilon, asked.objects) == ("budget", "pending", 1.5, [])
    with pytest.raises(Conflict):
        story.sue.call(CreateBudgetRequest(epsilon=1.0))
    with pytest.raises(Forbidden):
        story.sue.call(ApproveRequest(request_id=asked.id))
    given = story.officer.call(ApproveRequest(request_id=asked.id, epsilon=0.5))
    assert (given.state, given.given, left(story)) == ("approved", 0.5, 0.5)
    more = story.sue.call(CreateBudgetRequest(epsilon=1.0))
    story.officer.call(ApproveRequest(request_id=more.id, epsilon=9.0))  # no more than was asked for
    assert left(story) == 1.5
    with story.house.node.db.transaction() as session:
        spend_budget(session, story.sue_view.id, 1.2)
    story.officer.call(RevokeRequest(request_id=more.id))  # what is spent of it stays spent
    assert left(story) == 0.0 and story.sue.call(GetBudget()).spent == 1.2


def test_several_reviewers_and_the_least_of_what_they_give(story: Story, house: House) -> None:
    owner = house.log_in()
    owner.call(SetPolicy(policy=SitePolicy(required_approvals=2)))
    second, view = house.add_user(owner, "second@hospital.org", "Compliance Officer")
    asked = story.sue.call(CreateBudgetRequest(epsilon=3.0))
    assert story.officer.call(ApproveRequest(request_id=asked.id, epsilon=2.0)).state == "pending"
    assert left(story) == 0
    assert second.call(ApproveRequest(request_id=asked.id, epsilon=1.0)).given == 1.0
    assert left(story) == 1.0
    own = second.call(CreateBudgetRequest(epsilon=3.0))
    with pytest.raises(Forbidden, match="own request"):
        second.call(ApproveRequest(request_id=own.id))
    story.officer.call(GrantBudget(user_id=view.id, granted=0.25))
    owner.call(SetPolicy(policy=SitePolicy()))
    story.officer.call(ApproveRequest(request_id=own.id))
    assert second.call(GetBudget()).left == 3.25  # it adds to what is there
