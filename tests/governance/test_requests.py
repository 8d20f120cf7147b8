"""Requests: asked, decided by owners and reviewers, taken back. On both engines."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.governance.decisions.machine import RequestEvent, RequestState, decide
from syft_ext.errors import Conflict, Forbidden, NotFound
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.messages.requests import (
    ApproveRequest,
    CreateRequest,
    DenyRequest,
    GetRequest,
    ListRequests,
    RequestView,
    RevokeRequest,
    WithdrawRequest,
)
from syft_ext.transport import Connection
from tests.accounts.people import House
from tests.governance.test_grants import Story


@pytest.fixture
def story(house: House) -> Story:
    return Story(house)


def ask(story: Story, who: Connection | None = None, scope: str = "read") -> RequestView:
    message = CreateRequest(object_id=story.table, scope=scope, reason="for a study")  # type: ignore[arg-type]
    view: RequestView = (who or story.sue).call(message)
    return view


def test_from_asking_to_revoking(story: Story) -> None:
    asked = ask(story)
    assert (asked.state, asked.user, asked.needed) == ("pending", "sue@lab.org", 1)
    with pytest.raises(Conflict, match="pending"):
        ask(story)
    ask(story, scope="statistics")  # something else
    approved = story.ann.call(ApproveRequest(request_id=asked.id, uses=2, reason="fine"))
    assert approved.state == "approved" and approved.decisions[0].reason == "fine"
    assert story.fetch(story.sue) == story.size
    story.ann.call(RevokeRequest(request_id=asked.id))
    with pytest.raises(Forbidden):
        story.fetch(story.sue)
    with pytest.raises(Conflict, match="revoked"):
        story.ann.call(ApproveRequest(request_id=asked.id))
    assert ask(story).state == "pending"  # one may ask again


def test_who_sees_and_decides(story: Story) -> None:
    asked = ask(story)
    with pytest.raises(NotFound):
        ask(story, story.eve)  # Eve may not find the object
    with pytest.raises(NotFound):
        story.eve.call(GetRequest(request_id=asked.id))
    for message in (ApproveRequest(request_id=asked.id), DenyRequest(request_id=asked.id)):
        with pytest.raises(NotFound):
            story.eve.call(message)
        with pytest.raises(Forbidden, match="yours to decide"):
            story.sue.call(message)
    with pytest.raises(Forbidden, match="not yours"):
        story.officer.call(WithdrawRequest(request_id=asked.id))
    for who, count in ((story.eve, 0), (story.sue, 1), (story.ann, 1), (story.officer, 1)):
        assert len(who.call(ListRequests(state="pending")).requests) == count
    assert story.officer.call(DenyRequest(request_id=asked.id, reason="no")).state == "denied"
    with pytest.raises(Forbidden):
        story.fetch(story.sue)
    again = ask(story)
    assert story.sue.call(WithdrawRequest(request_id=again.id)).state == "withdrawn"


def test_a_reviewer_does_not_decide_on_their_own_request(story: Story, house: House) -> None:
    owner = house.log_in()
    officer, _ = house.add_user(owner, "second@hospital.org", "Administrator")  # finds all, reads nothing
    asked = officer.call(CreateRequest(object_id=story.table))
    with pytest.raises(Forbidden, match="own request"):
        officer.call(ApproveRequest(request_id=asked.id))
    assert story.officer.call(ApproveRequest(request_id=asked.id)).state == "approved"
    assert story.fetch(officer) == story.size


def test_several_reviewers_and_the_strictest_conditions(story: Story, house: House) -> None:
    house.log_in().call(SetPolicy(policy=SitePolicy(required_approvals=2)))
    asked = ask(story)
    first = story.ann.call(ApproveRequest(request_id=asked.id, uses=5, expires_in=100.0))
    assert (first.state, first.needed) == ("pending", 2)
    assert story.ann.call(ApproveRequest(request_id=asked.id, uses=4)).state == "pending"  # still one
    with pytest.raises(Forbidden):
        story.fetch(story.sue)
    second = story.officer.call(ApproveRequest(request_id=asked.id, uses=1))
    assert second.state == "approved" and len(second.decisions) == 2
    story.fetch(story.sue)
    with pytest.raises(Forbidden):
        story.fetch(story.sue)


def test_who_waits_hears_of_the_decision(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "grid.governance.requests.manager._LOOK_AGAIN", 60.0
    )  # so that only the news can do it
    asked = ask(story)
    heard: list[tuple[str, float]] = []

    def wait() -> None:
        state = story.sue.call(GetRequest(request_id=asked.id, wait=20.0), timeout=40.0).state
        heard.append((state, time.monotonic()))

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.2)
    assert not heard
    story.ann.call(ApproveRequest(request_id=asked.id))
    decided = time.monotonic()
    thread.join(60)
    assert heard[0][0] == "approved" and heard[0][1] - decided < 5


def test_requests_survive_a_restart(story: Story) -> None:
    asked = ask(story)
    story.house.restart()
    ann = story.house.log_in("ann@hospital.org")
    assert ann.call(ApproveRequest(request_id=asked.id)).state == "approved"
    assert story.fetch(story.house.log_in("sue@lab.org")) == story.size


@given(
    st.lists(st.tuples(st.sampled_from(RequestEvent), st.sampled_from("abc")), max_size=12),
    st.integers(1, 3),
)
def test_the_machine_releases_only_what_enough_reviewers_approved(
    events: list[tuple[RequestEvent, str]], needed: int
) -> None:
    state, said = RequestState.PENDING, set[str]()
    for event, reviewer in events:
        approvals = len(said | {reviewer}) if event is RequestEvent.APPROVE else 0
        try:
            after = decide(state, event, approvals=approvals, needed=needed)
        except Conflict:
            assert state in (RequestState.DENIED, RequestState.WITHDRAWN, RequestState.REVOKED) or (
                (event is RequestEvent.REVOKE) == (state is RequestState.PENDING)
            )
            continue
        if event is RequestEvent.APPROVE:
            said.add(reviewer)
        if after is RequestState.APPROVED:
            assert state is RequestState.PENDING and len(said) >= needed
        if after is RequestState.REVOKED:
            assert state is RequestState.APPROVED
        state = after
