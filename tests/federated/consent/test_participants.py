"""Participants are somebody: an account, or a Worker that was accepted, each once."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from sqlalchemy import select, update

from grid.federated.state import tables as t
from grid.network.tables import Association
from syft_ext.errors import Forbidden, GridError, InvalidToken, Unauthenticated
from syft_ext.identity import Identity
from syft_ext.messages import federated as m
from syft_ext.messages.accounts import SignUp, UpdateSettings, UpdateUser
from syft_ext.messages.training_reviews import ReviewTraining, WorkerBounds
from syft_ext.messages.worker import ListOpenTrainings
from tests.accounts.people import PASSWORD
from tests.federated.consent.story import Story

TWO = {"max_diffs": 2, "max_workers": 4, "cycle_length": 3600.0}


def test_nobody_in_particular_takes_no_part(story: Story) -> None:
    story.host(story.owner)
    with pytest.raises((Unauthenticated, Forbidden)) as refused:
        story.join()
    assert "log in here" in refused.value.detail
    with pytest.raises((Unauthenticated, Forbidden)):
        story.house.call_in().call(ListOpenTrainings())


@pytest.mark.parametrize("status", ["pending", "denied", "revoked"])
def test_a_worker_that_is_not_accepted_takes_no_part(sqlite_story: Story, status: str) -> None:
    story = sqlite_story
    story.host(story.owner)
    worker = story.worker_node(status)
    for refused in (lambda: story.join(worker), lambda: worker.call(ListOpenTrainings())):
        with pytest.raises(Forbidden, match=status):
            refused()


def test_accepted_workers_and_users_take_part(story: Story) -> None:
    view = story.host(story.owner, server_config=TWO)
    worker = story.worker_node()
    (shown,) = worker.call(ListOpenTrainings()).trainings
    assert (shown.process_id, shown.review.state, shown.review.digest) == (
        view.process_id,
        "own",
        view.review.digest,
    )
    assert list(shown.plans) == ["training_plan"]
    for who in (worker, story.sue):
        part = story.join(who)
        story.report(part, story.check_in(part))
    story.federated.pipeline.drain()
    assert story.view(view.process_id).status == "completed"


def test_an_end_of_the_association_acts_at_once(story: Story) -> None:
    story.host(story.owner)
    node = story.worker_node()
    worker = story.join(node)
    with story.house.node.db.transaction() as session:
        session.execute(update(Association).values(status="revoked"))
    for operation in (lambda: story.check_in(worker), lambda: story.join(node)):
        with pytest.raises((InvalidToken, Forbidden)):
            operation()


def test_a_node_of_another_kind_is_no_worker(sqlite_story: Story) -> None:
    story = sqlite_story
    story.host(story.owner)
    network = story.worker_node()
    with story.house.node.db.transaction() as session:
        session.execute(update(Association).values(kind="network"))
    with pytest.raises(Forbidden):
        story.join(network)


# -- where the policy demands several -------------------------------------------------------------------


def reasons(story: Story, *workers: Any) -> list[str]:
    return [reply.reason or reply.status for reply in map(story.check_in, workers)]


def test_devices_and_keys_of_one_user_are_one_participant(story: Story) -> None:
    story.policy(min_participants=2)
    view = story.host(story.owner, server_config=TWO)
    sessions = [story.sue, story.house.log_in("sue@lab.org"), story.house.log_in("sue@lab.org")]
    assert len({session.identity.verify_key for session in sessions}) == 3
    workers = [story.join(session) for session in sessions]
    parts = [story.check_in(worker) for worker in workers]
    assert [part.reason or part.status for part in parts] == ["accepted", "taking-part", "taking-part"]
    assert story.report(workers[0], parts[0]).cycle_status == "collecting"
    assert reasons(story, *workers) == ["taking-part"] * 3  # their report is in: no second one
    other = story.join(story.eve)
    assert story.report(other, story.check_in(other)).cycle_status == "aggregating"
    story.federated.pipeline.drain()
    assert story.view(view.process_id).status == "completed"


def test_one_check_in_for_all_of_somebodys_devices_gives_one_slot(sqlite_story: Story) -> None:
    """In one round of assigning, too."""
    story = sqlite_story
    story.policy(min_participants=2)
    view = story.host(story.owner, server_config=TWO)
    workers = [story.join(story.house.log_in("sue@lab.org")) for _ in range(3)]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(story.check_in, workers))
    assert sorted(answer.status for answer in answers) == ["accepted", "rejected", "rejected"]
    assert story.view(view.process_id).admitted == 1


def test_what_the_hosts_token_says_makes_nobody_somebody_else(story: Story) -> None:
    story.policy(min_participants=2)
    secret = "a secret of the host, of which they make what they like"
    story.host(story.owner, server_config={**TWO, "authentication": {"secret": secret}})
    tokens = [jwt.encode({"sub": name}, secret, "HS256") for name in ("anna", "ben", "carla")]
    workers = [story.join(story.sue, auth_token=token) for token in tokens]
    assert reasons(story, *workers) == ["accepted", "taking-part", "taking-part"]
    with pytest.raises((Unauthenticated, Forbidden)):
        story.join(auth_token=tokens[0])
    with pytest.raises(InvalidToken):  # it stays a condition beside the account
        story.join(story.eve)


def test_a_token_for_the_name_of_somebody_else_is_not_their_worker(sqlite_story: Story) -> None:
    story = sqlite_story
    secret = "a secret of the host, of which they make what they like"
    story.host(story.owner, server_config={**TWO, "authentication": {"secret": secret}})
    token = jwt.encode({"sub": "anna"}, secret, "HS256")
    ids = {
        who.call(m.AuthenticateWorker(model_name="biopsies", model_version="1", auth_token=token)).worker_id
        for who in (story.sue, story.eve, story.second)
    }
    assert len(ids) == 3


def test_the_host_is_none_of_the_participants(sqlite_story: Story) -> None:
    """They know their own report, and would have the other's by subtraction."""
    story = sqlite_story
    story.policy(min_participants=2)
    view = story.host(story.sue, server_config=TWO)
    from syft_ext.messages.requests import ApproveRequest

    story.officer.call(ApproveRequest(request_id=view.review.request_id))
    assert reasons(story, story.join(story.sue)) == ["own-training"]
    assert reasons(story, story.join(story.eve)) == ["accepted"]


def test_accounts_that_nobody_made_do_not_count(sqlite_story: Story) -> None:
    story = sqlite_story
    story.policy(min_participants=2)
    story.owner.call(UpdateSettings(allow_user_signup=True))
    story.host(story.owner, server_config=TWO)
    mallory = story.house.call_in().call(SignUp(email="mallory@x.org", password=PASSWORD))
    who = story.house.log_in("mallory@x.org")
    assert reasons(story, story.join(who)) == ["not-accepted"]
    story.owner.call(UpdateUser(user_id=mallory.id, role="User"))  # somebody here says who they are
    assert reasons(story, story.join(who)) == ["accepted"]


def test_workers_that_nobody_looked_at_do_not_count(sqlite_story: Story) -> None:
    story = sqlite_story
    story.host(story.owner, server_config=TWO)
    automatic = story.worker_node(decided_by="auto_accept")
    assert reasons(story, story.join(automatic)) == ["accepted"]  # no number is demanded
    story.policy(min_participants=2)
    story.host(story.owner, "2", server_config=TWO)
    assert reasons(story, story.join(automatic, "2")) == ["not-accepted"]


def test_too_few_behind_the_reports_release_nothing(story: Story) -> None:
    """The last line, should slots have been given to the same person twice: the cycle goes on waiting."""
    story.policy(min_participants=2)
    view = story.host(story.owner, server_config=TWO)
    workers = [story.join(story.sue), story.join(story.eve)]
    parts = [story.check_in(worker) for worker in workers]
    with story.house.node.db.transaction() as session:  # behind both is the same person after all
        session.execute(update(t.Worker).values(identity=f"user:{story.sue_view.id}"))
    for worker, part in zip(workers, parts, strict=True):
        assert story.report(worker, part).cycle_status == "collecting"
    story.federated.pipeline.drain()
    still = story.view(view.process_id)
    assert (still.cycle, still.cycle_status, still.checkpoint, still.reported) == (1, "collecting", 1, 2)


def test_nobodys_own_loss_is_in_the_history_where_several_are_demanded(sqlite_story: Story) -> None:
    story = sqlite_story
    for version, demanded in (("1", 1), ("2", 2)):
        story.policy(min_participants=demanded)
        view = story.host(story.owner, version, server_config=TWO)
        for who in (story.sue, story.eve):
            worker = story.join(who, version)
            story.report(worker, story.check_in(worker), loss=0.25, samples=7)
        story.federated.pipeline.drain()
        events = story.owner.call(m.ProcessHistory(process_id=view.process_id)).events
        said = [event.detail.get("loss") for event in events if event.after == "reported"]
        assert said == ([0.25, 0.25] if demanded == 1 else [None, None])
        (cycle,) = story.owner.call(m.ProcessMetrics(process_id=view.process_id)).cycles
        assert (cycle.loss, cycle.samples) == (0.25, 14)


# -- open participation ---------------------------------------------------------------------------------


def test_open_participation_is_the_owners_to_open_and_says_so(sqlite_story: Story) -> None:
    story = sqlite_story
    story.policy(participation="open")
    view = story.host(story.owner, server_config=TWO)
    assert view.policy is not None and view.policy.participation == "open"
    workers = [story.join(), story.join()]
    assert reasons(story, *workers) == ["accepted", "accepted"]
    page = story.officer.call(ReviewTraining(process_id=view.process_id))
    assert "protects nobody" in page.participants


def test_who_joined_while_it_was_open_gets_no_slot_when_it_is_closed(sqlite_story: Story) -> None:
    story = sqlite_story
    story.policy(participation="open")
    story.host(story.owner)
    stranger = story.join()
    story.policy()
    story.host(story.owner, "2")
    assert story.check_in(stranger).status == "accepted"  # of the cycle that was opened for them
    with story.house.node.db.read() as session:
        (row,) = session.execute(select(t.Worker.identity)).all()
    assert row.identity is None
    story.policy(participation="open")
    late = story.join(version="2")
    assert story.check_in(late).reason == "not-accepted"


# -- weights --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("claimed", "weighs", "said"), [(100, 100, None), (1_000_000_000, 1000, 1000)])
def test_nobody_weighs_more_than_the_policy_lets_them(
    sqlite_story: Story, claimed: int, weighs: int, said: int | None
) -> None:
    story = sqlite_story
    story.policy(max_samples=1000)
    view = story.host(story.owner, server_config={"max_diffs": 2, "weighting": "samples"})
    honest, other = story.join(story.sue), story.join(story.eve)
    parts = [story.check_in(honest), story.check_in(other)]
    story.report(honest, parts[0], 1.0, samples=1000)
    reply = story.report(other, parts[1], -3.0, samples=claimed)
    assert reply.samples == said
    story.federated.pipeline.drain()
    (cycle,) = story.owner.call(m.ProcessMetrics(process_id=view.process_id)).cycles
    assert (cycle.status, cycle.samples) == ("completed", 1000 + weighs)


def test_the_default_caps_too(sqlite_story: Story) -> None:
    story = sqlite_story
    story.host(story.owner)
    worker = story.join(story.sue)
    assert story.report(worker, story.check_in(worker), samples=1_000_000_000).samples == 10_000


def test_declared_bounds_are_in_the_history(sqlite_story: Story) -> None:
    story = sqlite_story
    view = story.host(story.owner)
    worker = story.join(story.sue, bounds=WorkerBounds(clip_norm=1.0, max_reports=3))
    story.check_in(worker)
    events = story.owner.call(m.ProcessHistory(process_id=view.process_id)).events
    (assigned,) = [event for event in events if event.after == "assigned"]
    assert assigned.detail["bounds"]["clip_norm"] == 1.0


def test_a_stolen_worker_token_is_bound_to_its_key(sqlite_story: Story) -> None:
    story = sqlite_story
    story.host(story.owner)
    worker = story.join(story.sue)
    thief = story.house.call_in(Identity.generate())
    thief.token = worker.token
    with pytest.raises(GridError):
        thief.call(m.CheckIn())


def test_a_reviewer_sees_which_workers_may_take_part(sqlite_story: Story) -> None:
    """A host runs some of them, perhaps: each is one participant, and nothing here can tell."""
    story = sqlite_story
    story.policy(min_participants=2)
    view = story.host(story.sue, server_config=TWO)
    page = story.officer.call(ReviewTraining(process_id=view.process_id))
    assert "none now" in page.participants
    accepted = [story.worker_node(), story.worker_node(decided_by="auto_accept")]
    story.worker_node("pending")
    said = story.officer.call(ReviewTraining(process_id=view.process_id)).participants
    for each in accepted:  # names are what each called itself
        assert f"ward 3 ({each.identity.verify_key[:8]}" in said
    assert said.count("ward 3") == 2 and said.count("nobody in person") == 1
    assert "at least 2 different ones" in said and "one participant whoever runs it" in said
