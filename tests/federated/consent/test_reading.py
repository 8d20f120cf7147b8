"""What comes of a training is read by its host, by those whom they gave it, and by who manages or reviews here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from syft_ext.errors import Forbidden, GridError, NotFound
from syft_ext.messages import federated as m
from syft_ext.messages.datasets import SearchQuery
from syft_ext.messages.requests import ApproveRequest
from syft_ext.messages.review_text import describe_review
from syft_ext.messages.training_reviews import (
    GetDefinition,
    GetDefinitionFile,
    ReviewTraining,
    ShareTraining,
    UnshareTraining,
)
from syft_ext.messages.worker import ListOpenTrainings
from tests.federated.consent.story import Story

READS: dict[str, Callable[[str], Any]] = {
    "get": lambda id: m.GetProcess(process_id=id),
    "history": lambda id: m.ProcessHistory(process_id=id),
    "watch": lambda id: m.WatchProcess(process_id=id, timeout=0.0),
    "metrics": lambda id: m.ProcessMetrics(process_id=id),
    "model": lambda id: m.RetrieveModel(name="biopsies", version="1"),
    "hosted model": lambda id: m.RetrieveModel(name="biopsies", version="1", checkpoint="1"),
}
CHANGES: dict[str, Callable[[str], Any]] = {
    "pause": lambda id: m.PauseProcess(process_id=id),
    "resume": lambda id: m.ResumeProcess(process_id=id),
    "cancel": lambda id: m.CancelProcess(process_id=id),
    "upload": lambda id: m.UploadModel(process_id=id),
    "share": lambda id: ShareTraining(process_id=id, user_id="0" * 32),
}


def trained(story: Story) -> m.ProcessView:
    story.policy(trainings="open")
    view = story.host(story.sue)
    worker = story.join(story.second)
    story.report(worker, story.check_in(worker))
    story.federated.pipeline.drain()
    return story.view(view.process_id)


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(GridError) as refused:
        call()
    return f"{refused.value.code}: {refused.value.detail}"


@pytest.fixture
def view(sqlite_story: Story) -> m.ProcessView:
    view = trained(sqlite_story)
    assert view.checkpoint == 2
    return view


@pytest.mark.parametrize("what", READS)
def test_for_everybody_else_it_does_not_exist(sqlite_story: Story, view: m.ProcessView, what: str) -> None:
    story, message = sqlite_story, READS[what](view.process_id)
    for who in (story.sue, story.owner, story.officer):
        who.call(message)
    hidden = refusal(lambda: story.eve.call(message))
    story.sue.call(m.CancelProcess(process_id=view.process_id)) if False else None
    missing = READS[what]("f" * 32)
    if isinstance(missing, m.RetrieveModel):
        missing.name = "nothing of the kind"
        hidden = hidden.replace("biopsies", "nothing of the kind")
    assert hidden == refusal(lambda: story.eve.call(missing))


@pytest.mark.parametrize("what", CHANGES)
def test_nobody_changes_what_they_do_not_see(sqlite_story: Story, view: m.ProcessView, what: str) -> None:
    message = CHANGES[what](view.process_id)
    with pytest.raises(NotFound):
        sqlite_story.eve.call(message)
    with pytest.raises(Forbidden):  # a reviewer sees it, and does not run it
        sqlite_story.officer.call(message)


def test_lists_and_searches_show_what_one_may_read(story: Story) -> None:
    trained(story)

    def seen(who: Any) -> tuple[int, int]:
        listed = who.call(m.ListProcesses()).processes
        found = [hit for hit in who.call(SearchQuery(kind="model")).entries if hit.kind == "model"]
        return len(listed), len(found)

    assert [seen(who) for who in (story.sue, story.owner, story.officer, story.eve)] == [(1, 1)] * 3 + [
        (0, 0)
    ]
    story.policy(trained_models="users")
    assert seen(story.eve) == (1, 1)


def test_a_host_gives_it_to_somebody_and_takes_it_back(story: Story) -> None:
    view = trained(story)
    shares = story.sue.call(ShareTraining(process_id=view.process_id, user_id=story.eve_view.id))
    assert shares.users == {story.eve_view.id: "eve@elsewhere.org"}
    shared = story.view(view.process_id, story.eve)
    assert shared.readers == ["eve@elsewhere.org"]
    story.eve.call(m.RetrieveModel(name="biopsies", version="1"))
    with pytest.raises(Forbidden):
        story.eve.call(m.CancelProcess(process_id=view.process_id))
    with pytest.raises(Forbidden):
        story.eve.call(ShareTraining(process_id=view.process_id, user_id=story.second_view.id))
    story.sue.call(UnshareTraining(process_id=view.process_id, user_id=story.eve_view.id))
    with pytest.raises(NotFound):
        story.view(view.process_id, story.eve)


def test_a_watch_ends_with_the_right_to_it(sqlite_story: Story) -> None:
    story = sqlite_story
    view = trained(story)
    story.sue.call(ShareTraining(process_id=view.process_id, user_id=story.eve_view.id))
    watch = story.federated.pipeline.views.watch

    def taken_back(process_id: str, after: int, timeout: float, alive: Any) -> Any:
        story.sue.call(UnshareTraining(process_id=process_id, user_id=story.eve_view.id))
        return watch(process_id, after, 0.0, alive)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(story.federated.pipeline.views, "watch", taken_back)
        with pytest.raises(NotFound):
            story.eve.call(m.WatchProcess(process_id=view.process_id))


def test_who_joins_what_is_over_reads_nothing_of_it(sqlite_story: Story, view: m.ProcessView) -> None:
    story = sqlite_story
    facts = story.sue.call(GetDefinition(process_id=view.process_id)).facts
    late = story.join(story.eve)
    assert story.check_in(late).reason == "over"
    for message in (
        GetDefinition(process_id=view.process_id),
        GetDefinitionFile(process_id=view.process_id, digest=facts.model),
        GetDefinitionFile(process_id=view.process_id, digest=facts.plans["training_plan"]),
    ):
        with pytest.raises(NotFound):
            late.call(message)


def test_plans_and_review_are_hidden_too(sqlite_story: Story, view: m.ProcessView) -> None:
    story = sqlite_story
    digest = story.sue.call(GetDefinition(process_id=view.process_id)).facts.plans["training_plan"]
    for message in (
        GetDefinition(process_id=view.process_id),
        GetDefinitionFile(process_id=view.process_id, digest=digest),
        ReviewTraining(process_id=view.process_id),
    ):
        with pytest.raises(NotFound):
            story.eve.call(message)


def test_strangers_hear_how_many_reviewed_a_training_and_not_who(sqlite_story: Story) -> None:
    """Where anybody takes part, anybody would collect the addresses of a hospital's reviewers."""
    story = sqlite_story
    story.policy(participation="open")
    of = story.host(story.sue, server_config={"max_diffs": 5, "max_workers": 5}).process_id
    (request,) = story.requests(story.officer)
    story.officer.call(ApproveRequest(request_id=request.id))
    stranger, account, worker = story.house.call_in(), story.eve, story.worker_node()
    pending = story.worker_node("pending")
    joined = story.join(stranger)
    for who, names in (
        (stranger, []),
        (joined, []),
        (pending, []),
        (account, ["officer@hospital.org"]),
        (worker, ["officer@hospital.org"]),
        (story.join(worker), ["officer@hospital.org"]),
    ):
        review = who.call(GetDefinition(process_id=of)).review
        assert (review.state, review.reviewers, review.reviewer_count) == ("approved", names, 1)
    for who, names in ((stranger, []), (pending, []), (worker, ["officer@hospital.org"])):
        (shown,) = who.call(ListOpenTrainings()).trainings
        assert (shown.review.reviewers, shown.review.reviewer_count) == (names, 1)
    said = describe_review(stranger.call(GetDefinition(process_id=of)).review)
    assert said == "approved by 1 reviewer whom it does not name"


def test_a_review_is_shown_though_the_version_before_was_discarded(sqlite_story: Story) -> None:
    """Its host may do that, and would keep reviewers from reading what comes next."""
    story = sqlite_story
    first = story.host(story.sue, version="1").process_id
    (request,) = story.requests(story.officer)
    story.officer.call(ApproveRequest(request_id=request.id))
    story.sue.call(m.CancelProcess(process_id=first))
    story.sue.call(m.DiscardModels(process_id=first))
    second = story.host(story.sue, version="2").process_id
    page = story.officer.call(ReviewTraining(process_id=second))
    assert page.plans[0].text and page.earlier == ""
