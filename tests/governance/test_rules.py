"""Standing rules: they answer as their authors would, and only as long as those could. On both engines."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sqlalchemy import update

from grid.accounts.tables import NodeSetup, Totp
from syft_ext.errors import BadRequest, Forbidden, NotFound
from syft_ext.messages.accounts import CreateGroup, UpdateUser
from syft_ext.messages.audit import ListAudit
from syft_ext.messages.datasets import Asset, CreateDataset
from syft_ext.messages.grants import ListGrants
from syft_ext.messages.objects import GetObject, UpdateObject
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.messages.requests import (
    ApproveRequest,
    CreateBudgetRequest,
    CreateRequest,
    RequestView,
    WithdrawRequest,
)
from syft_ext.messages.rules import CreateRule, DeleteRule, ListRules, RuleView
from syft_ext.transport import Connection
from tests.accounts.people import House
from tests.governance.plan_story import PlanStory, mean_of_rows, other_mean, product


@pytest.fixture
def story(sandbox: object, sqlite_house: House) -> PlanStory:
    return PlanStory(sqlite_house)


@pytest.fixture
def story_on_both(sandbox: object, house: House) -> PlanStory:
    """For what leans on the database's own ways."""
    return PlanStory(house)


def rule(who: Connection, action: str = "accept", **fields: Any) -> RuleView:
    view: RuleView = who.call(CreateRule(action=action, **fields))  # type: ignore[arg-type]
    return view


def later(story: PlanStory) -> None:
    """Rules speak in the order of their making."""
    story.house.clock.advance(1)  # type: ignore[attr-defined]


def ask(
    story: PlanStory, scope: str = "read", object_id: str = "", who: Connection | None = None
) -> RequestView:
    message = CreateRequest(object_id=object_id or story.table, scope=scope)  # type: ignore[arg-type]
    view: RequestView = (who or story.sue).call(message)
    if view.state == "pending":
        (who or story.sue).call(WithdrawRequest(request_id=view.id))
    return view


def test_a_rule_answers_at_once_and_survives_a_restart(story_on_both: PlanStory) -> None:
    story = story_on_both
    made = rule(story.ann, scope="statistics", uses=3, max_output_bytes=10, reason="any statistics")
    asked = ask(story, "statistics")
    assert asked.state == "approved" and asked.decisions[0].rule == made.id
    assert (asked.decisions[0].reviewer, asked.decisions[0].reason) == (story.ann_view.id, "any statistics")
    (grant,) = story.sue.call(ListGrants()).grants
    assert (grant.uses_left, grant.max_output_bytes, grant.granted_by) == (3, 10, story.ann_view.id)
    assert ask(story).state == "pending"
    entries = story.owner.call(ListAudit(operation="requests.create", limit=10)).entries
    assert sorted(str(each.detail.get("rules", "")) for each in entries) == ["", made.id]
    story.house.restart()
    story.sue, story.ann = story.house.log_in("sue@lab.org"), story.house.log_in("ann@hospital.org")
    assert ask(story, "statistics").state == "approved"
    story.ann.call(DeleteRule(rule_id=made.id))
    assert ask(story, "statistics").state == "pending"


@pytest.mark.parametrize("action", ["accept", "deny"])
def test_what_it_matches(story: PlanStory, action: str) -> None:
    other = story.put(story.ann, story.xs, tags=["open", "x"])
    dataset = story.ann.call(
        CreateDataset(name="study", tags=["public-health"], assets=[Asset(name="xs", object_id=story.table)])
    )
    group = story.owner.call(CreateGroup(name="lab", users=[story.sue_view.id]))
    answered = "approved" if action == "accept" else "denied"

    def matches(fields: dict[str, Any], **asked: Any) -> bool:
        made = rule(story.ann, action, **fields)
        state = ask(story, **asked).state
        story.ann.call(DeleteRule(rule_id=made.id))
        assert state in (answered, "pending")
        return state == answered

    table, elsewhere = {"object_id": story.table}, {"object_id": other}
    assert matches({}) and matches({"kind": "permission"}) and matches({"scope": "read"})
    assert not matches({"kind": "plan"}) and not matches({"scope": "compute"})
    assert matches(table) and not matches(elsewhere)
    assert matches({"dataset_id": dataset.id}) and not matches({"dataset_id": dataset.id}, **elsewhere)
    assert matches({"tags": ["open"]}, **elsewhere) and not matches({"tags": ["open", "y"]}, **elsewhere)
    assert matches({"tags": ["public-health"]}) and not matches({"tags": ["open"]})
    assert matches({"user_id": story.sue_view.id}) and not matches({"user_id": story.eve_view.id})
    assert matches({"group_id": group.id}) and not matches({"group_id": "0" * 32})
    assert not matches({"plan_id": mean_of_rows.id})


def test_rules_for_plans_go_by_the_digest(story: PlanStory) -> None:
    rule(story.ann, kind="plan", plan_id=mean_of_rows.id, elements=5, uses=1)
    asked = story.ask()
    assert asked.state == "approved" and torch.equal(asked.run(), story.xs.mean(0))
    assert story.ask(other_mean).state == "pending"
    assert story.ask().state == "pending"  # it would give away three more elements; two are left
    (left,) = story.ann.call(ListRules()).rules
    assert (left.elements_left, left.state) == (2, "live")
    rule(story.ann, kind="plan", tags=[])
    assert story.ask(product, {"xs": story.table, "ys": story.labels}).state == "pending"  # Bob has a word


def test_no_rule_accepts_a_plan_with_values_of_who_asks(story: PlanStory) -> None:
    """With a mask among its inputs the same plan gives one row after the other."""
    rule(story.ann, kind="plan", plan_id=mean_of_rows.id)
    assert story.ask(values={"scale": 2.0}).state == "pending"
    rule(story.ann, "deny", kind="plan", plan_id=mean_of_rows.id)
    assert story.ask(values={"scale": 3.0}).state == "denied"


def test_quota_and_end(story_on_both: PlanStory) -> None:
    story = story_on_both
    made = rule(story.ann, scope="read", times=2, lifetime=100.0)
    assert [ask(story).state for _ in range(3)] == ["approved", "approved", "pending"]
    assert story.ann.call(ListRules()).rules[0].state == "used up"
    story.ann.call(DeleteRule(rule_id=made.id))
    rule(story.ann, lifetime=100.0)
    assert ask(story).state == "approved"
    story.house.clock.advance(101)  # type: ignore[attr-defined]
    assert ask(story).state == "pending"
    assert story.ann.call(ListRules()).rules[0].state == "expired"
    rule(story.ann, elements=40)
    assert [ask(story).state for _ in range(2)] == ["approved", "pending"]  # 36 elements each


def test_it_is_its_authors_word_while_they_could_say_it(story: PlanStory) -> None:
    with pytest.raises(Forbidden, match="no request"):
        rule(story.sue)  # owns nothing, reviews nothing
    with pytest.raises(Forbidden):
        rule(story.bob, object_id=story.table)
    rule(story.bob)
    assert ask(story).state == "pending"  # of Bob's own data, and this is Ann's
    later(story)
    rule(story.officer)
    assert ask(story).state == "approved"
    story.owner.call(UpdateUser(user_id=story.officer_view.id, role="User"))
    assert ask(story).state == "pending"
    assert [each.state for each in story.owner.call(ListRules()).rules] == ["live", "idle"]
    story.owner.call(UpdateUser(user_id=story.officer_view.id, role="Compliance Officer"))
    assert ask(story).state == "approved"
    story.owner.call(UpdateUser(user_id=story.officer_view.id, disabled=True))
    assert ask(story).state == "pending"


def test_who_has_no_second_factor_where_it_is_demanded_speaks_by_no_rule(story: PlanStory) -> None:
    rule(story.officer)
    assert ask(story).state == "approved"
    with story.house.node.db.transaction() as session:
        session.execute(update(NodeSetup).values(require_totp=True))
    with pytest.raises(Forbidden, match="no request"):
        rule(story.officer, kind="budget")
    assert ask(story).state == "pending"
    with story.house.node.db.transaction() as session:
        session.add(Totp(user_id=story.officer_view.id, sealed_secret="", enrolled_at=0.0, confirmed_at=1.0))
    assert ask(story).state == "approved"


def test_nobodys_rule_decides_on_their_own_request(story: PlanStory) -> None:
    rule(story.officer)
    story.ann.call(UpdateObject(object_id=story.table, finders=[story.officer_view.id, story.sue_view.id]))
    assert ask(story, who=story.officer).state == "pending"
    assert ask(story).state == "approved"


def test_several_reviewers_are_needed_all_the_same(story_on_both: PlanStory) -> None:
    story = story_on_both
    story.owner.call(SetPolicy(policy=SitePolicy(required_approvals=2)))
    rule(story.officer, uses=2)
    later(story)
    rule(story.officer)  # the same person twice is one
    asked = story.sue.call(CreateRequest(object_id=story.table))
    assert (asked.state, len(asked.decisions)) == ("pending", 1)
    assert story.ann.call(ApproveRequest(request_id=asked.id, uses=5)).state == "approved"
    (grant,) = story.sue.call(ListGrants()).grants
    assert grant.uses_left == 2
    # What a rule said counts no more when its author could not say it now.
    asked = story.sue.call(CreateRequest(object_id=story.table, scope="compute"))
    story.owner.call(UpdateUser(user_id=story.officer_view.id, disabled=True))
    assert story.ann.call(ApproveRequest(request_id=asked.id)).state == "pending"
    story.owner.call(UpdateUser(user_id=story.officer_view.id, disabled=False))
    rule(story.ann)
    assert ask(story, "statistics").state == "approved"  # two rules of two people


def test_what_one_denies_is_denied(story: PlanStory) -> None:
    rule(story.ann)
    rule(story.officer, "deny", user_id=story.sue_view.id, reason="not Sue")
    asked = ask(story)
    assert asked.state == "denied" and [each.reason for each in asked.decisions] == ["not Sue"]
    with pytest.raises(Forbidden):
        story.sue.download(GetObject(object_id=story.table))


def test_a_budget_by_rule(story: PlanStory) -> None:
    with pytest.raises(Forbidden):
        rule(story.ann, kind="budget")  # an owner of data has no say in it
    rule(story.officer, kind="budget", epsilon=0.5, times=1)
    asked = story.sue.call(CreateBudgetRequest(epsilon=2.0))
    assert (asked.state, asked.epsilon, asked.given) == ("approved", 2.0, 0.5)
    assert story.sue.call(CreateBudgetRequest(epsilon=2.0)).state == "pending"


def test_the_sdk_and_who_may_end_them(story: PlanStory) -> None:
    requests = story.requests(story.ann)
    first = requests.add_handler("accept", scope="statistics", uses=2)
    later(story)
    requests.add_handler(action="deny", kind="plan", tags=["oncology", "text"])
    assert [each.action for each in requests.handlers()] == ["accept", "deny"]
    assert "statistics" in repr(requests.rules) and "tags oncology and text" in repr(requests.rules)
    for wrong in ({"scop": "read"}, {"uses": 0}, {"kind": "plan", "scope": "read"}):
        with pytest.raises(BadRequest):
            requests.add_handler("accept", **wrong)
    for fields in ({"uses": 3}, {"elements": 3}):
        with pytest.raises(BadRequest, match="denied"):
            requests.add_handler("deny", **fields)
    with pytest.raises(NotFound):
        story.requests(story.bob).remove_handler(first.id)
    with pytest.raises(Forbidden):
        story.requests(story.officer).remove_handler(first.id)
    requests.remove_handler(first.id)
    rule(story.officer)
    requests.clear_handlers()
    assert requests.handlers() == []
    (left,) = story.owner.call(ListRules()).rules
    story.owner.call(DeleteRule(rule_id=left.id))
