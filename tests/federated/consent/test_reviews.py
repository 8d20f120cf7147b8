"""A training begins by somebody's word on exactly what it is, and ends when that word is taken back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sqlalchemy import update

from grid.federated.state import tables as t
from syft_ext.errors import BadRequest, Conflict, Forbidden, GridError, InvalidToken, NotFound
from syft_ext.messages import federated as m
from syft_ext.messages.accounts import UpdateUser
from syft_ext.messages.audit import ListAudit
from syft_ext.messages.requests import (
    ApproveRequest,
    DenyRequest,
    GetRequest,
    ListRequests,
    RequestView,
    RevokeRequest,
    WithdrawRequest,
)
from syft_ext.messages.rules import CreateRule
from syft_ext.messages.training_reviews import (
    GetDefinition,
    GetDefinitionFile,
    ReviewTraining,
    definition_digest,
)
from tests.federated.consent.story import SHAPE, Story, copying_plan, training_plan


def test_a_training_waits_for_a_reviewer_and_then_begins(story: Story) -> None:
    view = story.host(story.sue, reason="a study of biopsies")
    assert (view.status, view.cycle, view.review.state, view.review.reviewers) == (
        "waiting",
        0,
        "pending",
        [],
    )
    worker = story.join(story.eve)
    assert story.check_in(worker).reason == "in-review"
    (request,) = story.requests(story.officer)
    assert (request.kind, request.scope, request.state) == ("training", "training", "pending")
    assert (request.user, request.reason, request.object) == (
        "sue@lab.org",
        "a study of biopsies",
        "biopsies 1",
    )
    assert request.training is not None and request.training.digest == view.review.digest
    assert request.id == view.review.request_id and request.training.parameters == 6
    decided: RequestView = story.officer.call(ApproveRequest(request_id=request.id, reason="read it"))
    assert decided.state == "approved"
    running = story.view(view.process_id, story.sue)
    assert (running.status, running.cycle, running.review.state) == ("running", 1, "approved")
    assert running.review.reviewers == ["officer@hospital.org"] and running.review.reason == "read it"
    assert running.review.digest == view.review.digest
    part = story.check_in(worker)
    assert (part.status, part.definition) == ("accepted", view.review.digest)


def test_the_owner_needs_nobody(story: Story) -> None:
    view = story.host(story.owner)
    assert (view.status, view.review.state, story.requests(story.officer)) == ("running", "own", [])


@pytest.mark.parametrize("flag", [True, False])
def test_trusted_users_are_those_with_the_permission(sqlite_story: Story, flag: bool) -> None:
    story = sqlite_story
    story.policy(trainings="trusted-users")
    if flag:
        from syft_ext.messages.accounts import CreateGroup

        story.owner.call(CreateGroup(name="trusted", users=[story.sue_view.id], flags=["can_host_trainings"]))
    assert story.host(story.sue).review.state == ("open" if flag else "pending")


def test_the_permission_alone_is_nobodys_word(sqlite_story: Story) -> None:
    from syft_ext.messages.accounts import CreateGroup

    story = sqlite_story
    story.owner.call(CreateGroup(name="trusted", users=[story.sue_view.id], flags=["can_host_trainings"]))
    assert story.host(story.sue).status == "waiting"


def test_an_open_site_asks_nobody(sqlite_story: Story) -> None:
    sqlite_story.policy(trainings="open")
    view = sqlite_story.host(sqlite_story.sue)
    assert (view.status, view.review.state, view.review.reviewers) == ("running", "open", [])


def test_nobody_decides_on_their_own(sqlite_story: Story) -> None:
    story = sqlite_story
    view = story.host(story.officer)
    assert view.status == "waiting"
    with pytest.raises(Forbidden):
        story.officer.call(ApproveRequest(request_id=view.review.request_id))
    with pytest.raises(Forbidden):
        story.sue.call(CreateRule(action="accept", kind="training"))
    story.officer.call(CreateRule(action="accept", kind="training"))  # answers others', never their own
    assert story.host(story.officer, "2").status == "waiting"
    assert story.host(story.sue, "3").status == "running"


@pytest.mark.parametrize("who", ["sue", "eve"])
def test_who_reviews_nothing_decides_nothing(sqlite_story: Story, who: str) -> None:
    story = sqlite_story
    view = story.host(story.sue)
    connection = getattr(story, who)
    for message in (ApproveRequest, DenyRequest, RevokeRequest):
        with pytest.raises((Forbidden, NotFound)):
            connection.call(message(request_id=view.review.request_id))
    assert story.view(view.process_id).status == "waiting"


def test_several_reviewers(story: Story) -> None:
    story.policy(required_approvals=2)
    view = story.host(story.sue)
    story.officer.call(ApproveRequest(request_id=view.review.request_id))
    assert story.view(view.process_id).status == "waiting"
    story.officer.call(ApproveRequest(request_id=view.review.request_id))  # twice is once
    assert story.view(view.process_id).status == "waiting"
    story.second.call(ApproveRequest(request_id=view.review.request_id))
    running = story.view(view.process_id)
    assert running.status == "running"
    assert sorted(running.review.reviewers) == ["officer@hospital.org", "second@hospital.org"]


def test_who_lost_the_permission_does_not_count(sqlite_story: Story) -> None:
    story = sqlite_story
    story.policy(required_approvals=2)
    view = story.host(story.sue)
    story.officer.call(ApproveRequest(request_id=view.review.request_id))
    story.owner.call(UpdateUser(user_id=story.officer_view.id, role="User"))
    story.second.call(ApproveRequest(request_id=view.review.request_id))
    assert story.view(view.process_id).status == "waiting"


def test_a_denial_ends_it_with_the_reason(story: Story) -> None:
    view = story.host(story.sue, plan=copying_plan)
    story.officer.call(DenyRequest(request_id=view.review.request_id, reason="it returns the rows"))
    over = story.view(view.process_id, story.sue)
    assert (over.status, over.review.state) == ("cancelled", "denied")
    assert over.reason == "denied by officer@hospital.org: it returns the rows"
    with pytest.raises(Conflict):
        story.officer.call(ApproveRequest(request_id=view.review.request_id))
    with pytest.raises(Conflict):
        story.owner.call(m.ResumeProcess(process_id=view.process_id))
    with pytest.raises(Conflict):  # the same version does not come back
        story.host(story.sue, plan=copying_plan)


def test_a_withdrawal_ends_it(sqlite_story: Story) -> None:
    story = sqlite_story
    view = story.host(story.sue)
    story.sue.call(WithdrawRequest(request_id=view.review.request_id))
    over = story.view(view.process_id, story.sue)
    assert (over.status, over.review.state) == ("cancelled", "withdrawn")


def test_who_cancels_what_waits_withdraws_its_request(story: Story) -> None:
    view = story.host(story.sue)
    story.sue.call(m.CancelProcess(process_id=view.process_id, reason="a mistake"))
    over = story.view(view.process_id)
    assert (over.status, over.review.state) == ("cancelled", "withdrawn") and "a mistake" in over.reason
    request: RequestView = story.officer.call(GetRequest(request_id=view.review.request_id))
    assert request.state == "withdrawn"
    with pytest.raises(Conflict):
        story.officer.call(ApproveRequest(request_id=view.review.request_id))
    assert story.view(view.process_id).status == "cancelled"


def test_a_revocation_in_the_middle_stops_everything(story: Story) -> None:
    view = story.host(story.sue, server_config={"max_diffs": 2, "num_cycles": 2})
    story.officer.call(ApproveRequest(request_id=view.review.request_id))
    worker, other = story.join(story.eve), story.join(story.second)
    part, second = story.check_in(worker), story.check_in(other)
    story.report(other, second)
    story.officer.call(RevokeRequest(request_id=view.review.request_id))
    over = story.view(view.process_id)
    assert (over.status, over.review.state, over.checkpoint) == ("cancelled", "revoked", 1)
    assert over.reason == "its approval was revoked by officer@hospital.org"
    with pytest.raises(Conflict) as refused:
        story.report(worker, part)
    assert refused.value.extra["reason"] == "cancelled"
    with pytest.raises(GridError):
        worker.call(m.GetModel(assignment_id=part.assignment_id, request_key=part.request_key))
    assert story.check_in(worker).reason == "over"
    with pytest.raises(Conflict):
        story.sue.call(m.ResumeProcess(process_id=view.process_id))


def test_a_paused_training_is_revoked_too(sqlite_story: Story) -> None:
    story = sqlite_story
    view = story.host(story.sue)
    story.officer.call(ApproveRequest(request_id=view.review.request_id))
    story.sue.call(m.PauseProcess(process_id=view.process_id))
    story.second.call(RevokeRequest(request_id=view.review.request_id))
    assert story.view(view.process_id).status == "cancelled"


def test_what_is_over_stays_what_it_was_when_its_approval_is_revoked(sqlite_story: Story) -> None:
    story = sqlite_story
    view = story.host(story.sue)
    story.officer.call(ApproveRequest(request_id=view.review.request_id))
    story.sue.call(m.CancelProcess(process_id=view.process_id))
    story.officer.call(RevokeRequest(request_id=view.review.request_id))
    over = story.view(view.process_id)
    assert (over.status, over.review.state) == ("cancelled", "revoked")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (t.TrainingProcess, {"server_config": {"max_diffs": 1, "num_cycles": 0}}),
        (t.TrainingProcess, {"client_config": {"name": "biopsies", "version": "1", "epochs": 99}}),
        (t.HostedPlan, {"name": "another_plan"}),
    ],
)
def test_an_approval_is_for_what_was_asked(sqlite_story: Story, table: Any, change: dict[str, Any]) -> None:
    """Nothing changes a definition; should it be done in the database, the word is not for it."""
    story = sqlite_story
    view = story.host(story.sue)
    with story.house.node.db.transaction() as session:
        session.execute(update(table).values(change))
    with pytest.raises(Conflict) as refused:
        story.officer.call(ApproveRequest(request_id=view.review.request_id))
    assert refused.value.extra["reason"] == "definition-changed"
    request: RequestView = story.officer.call(GetRequest(request_id=view.review.request_id))
    assert (request.state, story.view(view.process_id).status) == ("pending", "waiting")


def test_the_account_of_the_host(story: Story) -> None:
    waiting = story.host(story.sue, "1")
    running = story.host(story.sue, "2")
    story.officer.call(ApproveRequest(request_id=running.review.request_id))
    story.owner.call(UpdateUser(user_id=story.sue_view.id, disabled=True))
    assert story.view(waiting.process_id).status == "cancelled"
    assert story.view(running.process_id).status == "paused"
    with pytest.raises(Conflict):
        story.officer.call(ApproveRequest(request_id=waiting.review.request_id))


def test_everybody_computes_the_same_digest(sqlite_story: Story) -> None:
    story = sqlite_story
    authentication = {"secret": "a shared secret of these workers"}
    view = story.host(story.sue, server_config={"authentication": authentication})
    shown = story.sue.call(GetDefinition(process_id=view.process_id))
    assert definition_digest(shown.facts) == shown.digest == view.review.digest
    assert shown.facts.server_config["authentication"]["secret"] == "…"
    story.house.restart()
    assert story.federated.pipeline.definitions.digest(view.process_id) == view.review.digest


# -- standing rules ------------------------------------------------------------------------------------


def definition_of(view: m.ProcessView) -> str:
    return view.review.digest


def plan_of(story: Story, view: m.ProcessView) -> str:
    return str(story.sue.call(GetDefinition(process_id=view.process_id)).facts.plans["training_plan"])


def test_a_rule_on_a_definition_speaks_of_no_other(sqlite_story: Story) -> None:
    story = sqlite_story
    first = story.host(story.sue)
    story.officer.call(CreateRule(action="accept", kind="training", plan_id=definition_of(first)))
    assert story.host(story.sue, "2").status == "waiting"  # another version is another definition


def content_of(story: Story, view: m.ProcessView) -> str:
    facts = story.officer.call(ListRequests()).requests
    return next(
        each.training.content for each in facts if each.training and each.id == view.review.request_id
    )


def test_a_rule_on_a_content_accepts_it_under_every_name_and_nothing_else(sqlite_story: Story) -> None:
    story = sqlite_story
    content = content_of(story, story.host(story.sue))
    story.officer.call(CreateRule(action="accept", kind="training", plan_id=content))
    accepted = story.host(story.sue, "2")
    assert (accepted.status, accepted.review.reviewers) == ("running", ["officer@hospital.org"])
    assert story.host(story.sue, "3", plan=copying_plan).status == "waiting"
    both = {"training_plan": training_plan.dumps(), "evaluation": copying_plan.dumps()}
    process_id = story.sue.call(m.HostTraining(name="biopsies", version="4", client_plans=both)).process_id
    from syft_ext.tensors import encode_tensors

    model = encode_tensors({"0": torch.zeros(*SHAPE)})
    assert story.sue.call(m.UploadModel(process_id=process_id), [model]).status == "waiting"


def test_a_rule_on_a_plan_accepts_no_training(sqlite_story: Story) -> None:
    """What the plan is given decides what it does."""
    story = sqlite_story
    plan = plan_of(story, story.host(story.sue))
    story.officer.call(CreateRule(action="accept", kind="training", plan_id=plan))
    assert story.host(story.sue, "2").status == "waiting"


def test_a_rule_that_accepts_everything_was_not_made_for_trainings(sqlite_story: Story) -> None:
    story = sqlite_story
    story.officer.call(CreateRule(action="accept"))
    assert story.host(story.sue).status == "waiting"


def test_a_rule_denies(sqlite_story: Story) -> None:
    story = sqlite_story
    first = story.host(story.sue, plan=copying_plan)
    story.officer.call(CreateRule(action="accept", kind="training"))
    story.second.call(CreateRule(action="deny", plan_id=plan_of(story, first), reason="copies rows"))
    denied = story.host(story.sue, "2", plan=copying_plan)
    assert (denied.status, denied.review.state) == ("cancelled", "denied")
    assert denied.reason == "denied by second@hospital.org: copies rows"
    assert story.host(story.sue, "3").status == "running"


def test_conditions_that_nobody_would_hold_are_refused(sqlite_story: Story) -> None:
    story = sqlite_story
    view = story.host(story.sue)
    with pytest.raises(BadRequest):
        story.officer.call(ApproveRequest(request_id=view.review.request_id, uses=1))
    with pytest.raises(BadRequest):
        story.officer.call(CreateRule(action="accept", kind="training", expires_in=3600.0))


# -- what is read before it is decided ------------------------------------------------------------------


def test_the_page_of_a_review(sqlite_story: Story) -> None:
    story = sqlite_story
    story.policy(min_participants=2)
    first = story.host(story.sue, server_config={"max_diffs": 2})
    story.officer.call(ApproveRequest(request_id=first.review.request_id))
    view = story.host(story.sue, "2", plan=copying_plan, server_config={"max_diffs": 3})
    page = story.officer.call(ReviewTraining(process_id=view.process_id))
    (plan,) = page.plans
    assert (page.host, page.digest, page.earlier) == ("sue@lab.org", view.review.digest, "1")
    assert not plan.problem and "xs" in plan.text and plan.cost.operations > 0
    assert [output.shape for output in plan.outputs][-1] == [2, 3]
    assert "+" in plan.diff and '"max_diffs": 3' in page.config_diff
    assert [(each.name, each.dtype, each.shape) for each in page.report] == [("0", "F32", [2, 3])]
    assert page.policy.min_participants == 2 and "at least 2 different ones" in page.participants
    with pytest.raises(NotFound):
        story.eve.call(ReviewTraining(process_id=view.process_id))


def test_who_may_take_part_reads_what_would_run(sqlite_story: Story) -> None:
    story = sqlite_story
    view = story.host(story.sue)
    worker = story.worker_node()
    with pytest.raises(NotFound):  # nobody has approved it yet
        worker.call(GetDefinition(process_id=view.process_id))
    story.officer.call(ApproveRequest(request_id=view.review.request_id))
    shown = worker.call(GetDefinition(process_id=view.process_id))
    digest = shown.facts.plans["training_plan"]
    answer = worker.open(GetDefinitionFile(process_id=view.process_id, digest=digest))
    assert answer.payload.read_all() == training_plan.dumps()
    for stranger in (story.house.call_in(), story.worker_node("pending")):
        with pytest.raises(GridError):
            stranger.call(GetDefinition(process_id=view.process_id))


# -- managers ------------------------------------------------------------------------------------------


def test_who_manages_the_site_pauses_resumes_and_cancels(sqlite_story: Story) -> None:
    story = sqlite_story
    view = story.host(story.sue)
    story.officer.call(ApproveRequest(request_id=view.review.request_id))
    admin, _ = story.house.add_user(story.owner, "admin@hospital.org", "Administrator")
    for who in (story.owner, admin):
        assert who.call(m.PauseProcess(process_id=view.process_id)).status == "paused"
        assert who.call(m.ResumeProcess(process_id=view.process_id)).status == "running"
    for who in (story.officer, story.eve):
        with pytest.raises((Forbidden, NotFound)):
            who.call(m.CancelProcess(process_id=view.process_id))
    assert admin.call(m.CancelProcess(process_id=view.process_id, reason="enough")).status == "cancelled"


def test_what_was_hosted_before_reviews_runs_by_a_managers_word(sqlite_story: Story) -> None:
    from grid.federated.state.consent_tables import TrainingReviewRow

    story = sqlite_story
    view = story.host(story.sue)
    story.officer.call(ApproveRequest(request_id=view.review.request_id))
    story.sue.call(m.PauseProcess(process_id=view.process_id))
    with story.house.node.db.transaction() as session:  # as the migration leaves it
        session.delete(session.get_one(TrainingReviewRow, view.process_id))
    with pytest.raises(Forbidden):
        story.sue.call(m.ResumeProcess(process_id=view.process_id))
    assert story.view(view.process_id).review.state == "none"
    resumed = story.owner.call(m.ResumeProcess(process_id=view.process_id))
    assert (resumed.status, resumed.review.state) == ("running", "approved")
    assert resumed.review.reviewers == ["owner@hospital.org"]


def test_decisions_are_in_the_audit_log(sqlite_story: Story) -> None:
    story = sqlite_story
    view = story.host(story.sue)
    story.officer.call(ApproveRequest(request_id=view.review.request_id))
    entries = story.owner.call(ListAudit()).entries
    uploaded = next(entry for entry in entries if entry.operation == "federated.upload_model")
    approved = next(entry for entry in entries if entry.operation == "requests.approve")
    assert uploaded.detail["digest"] == approved.detail["digest"] == view.review.digest


def test_a_token_outlives_nobody(sqlite_story: Story) -> None:
    """Whoever took part and is disabled, or is not associated any more, is a stranger at once."""
    story = sqlite_story
    story.host(story.owner)
    worker = story.join(story.eve)
    story.owner.call(UpdateUser(user_id=story.eve_view.id, disabled=True))
    with pytest.raises(InvalidToken):
        story.check_in(worker)
