"""An invitation makes a guest of a key: one training, as often as it says, and only by the word of who decides."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text

from grid.federated.state.invitation_tables import Guest, Invitation
from syft_ext.clock import ManualClock
from syft_ext.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    GridError,
    InvalidToken,
    NotFound,
    TooManyRequests,
)
from syft_ext.ids import new_id
from syft_ext.messages import invitations as m
from syft_ext.messages.audit import ListAudit
from syft_ext.messages.requests import ApproveRequest
from syft_ext.messages.training_reviews import GetDefinition, GetDefinitionFile
from syft_ext.messages.worker import ListOpenTrainings
from syft_ext.transport import Connection
from tests.federated.consent.story import Story

TWO = {"max_diffs": 2, "max_workers": 4, "cycle_length": 3600.0}


def invite(who: Connection, process_id: str, **more: Any) -> m.Invited:
    invited: m.Invited = who.call(m.Invite(process_id=process_id, **more))
    return invited


def redeem(story: Story, secret: str, who: Connection | None = None, name: str = "Ana") -> Connection:
    who = who or story.house.call_in()
    who.call(m.RedeemInvitation(secret=secret, name=name))
    return who


def guests(who: Connection, process_id: str) -> list[m.GuestView]:
    found: m.InvitationList = who.call(m.ListInvitations(process_id=process_id))
    return found.guests


def status(who: Connection, process_id: str) -> str:
    reply: m.Attendance = who.call(m.GetAttendance(process_id=process_id))
    return reply.status


def hosted_by_sue(story: Story, **more: Any) -> str:
    view = story.host(story.sue, **more)
    story.officer.call(ApproveRequest(request_id=view.review.request_id))
    return str(view.process_id)


def test_a_guest_reads_waits_is_accepted_and_takes_part(story: Story) -> None:
    process_id = story.host(story.owner, server_config=TWO).process_id
    invited = invite(story.owner, process_id, label="the pupils of 7b", uses=3)
    assert invited.path == f"/join/{process_id}#{invited.secret}"
    guest = redeem(story, invited.secret)
    shown = guest.call(m.GetAttendance(process_id=process_id))
    assert (shown.status, shown.training, shown.name, shown.host) == (
        "waiting",
        "running",
        "biopsies",
        "owner@hospital.org",
    )
    definition = guest.call(GetDefinition(process_id=process_id))  # before anybody has accepted them
    digest = definition.facts.plans["training_plan"]
    assert guest.call(GetDefinitionFile(process_id=process_id, digest=digest)).digest == digest
    with pytest.raises(Forbidden) as waits:
        story.join(guest)
    assert waits.value.extra["reason"] == "waiting"
    with pytest.raises((Forbidden, GridError)):
        guest.call(ListOpenTrainings())
    (waiting,) = guests(story.owner, process_id)
    assert (waiting.name, waiting.verify_key, waiting.status, waiting.counts) == (
        "Ana",
        guest.identity.verify_key,
        "waiting",
        False,
    )
    decided = story.owner.call(m.DecideGuest(guest_id=waiting.id, accept=True))
    assert (decided.status, decided.counts, decided.decided_by) == ("accepted", True, "owner@hospital.org")
    for who in (guest, story.sue):
        part = story.join(who)
        story.report(part, story.check_in(part))
    story.federated.pipeline.drain()
    assert story.view(process_id).status == "completed"


def test_of_other_trainings_a_guest_hears_nothing(sqlite_story: Story) -> None:
    story = sqlite_story
    first = story.host(story.owner, "1", server_config=TWO).process_id
    other = story.host(story.owner, "2", server_config=TWO).process_id
    guest = redeem(story, invite(story.owner, first, accepted=True).secret)
    assert status(guest, first) == "accepted"
    for process_id in (other, new_id()):
        reply = guest.call(m.GetAttendance(process_id=process_id))
        assert reply == m.Attendance(process_id=process_id, status="none")
    with pytest.raises(GridError) as named:
        story.join(guest, "2")
    with pytest.raises(GridError) as unknown:
        story.join(guest, "nonsense")
    assert (named.value.code, named.value.detail) == (unknown.value.code, unknown.value.detail)
    for process_id in (other, new_id()):
        with pytest.raises(Forbidden):
            guest.call(GetDefinition(process_id=process_id))


def test_who_came_without_hears_the_same_of_what_is_there_and_of_what_is_not(sqlite_story: Story) -> None:
    story = sqlite_story
    process_id = story.host(story.owner).process_id
    stranger = story.house.call_in()
    for asked in (process_id, new_id()):
        assert stranger.call(m.GetAttendance(process_id=asked)) == m.Attendance(
            process_id=asked, status="none"
        )
    story.policy(participation="open")
    assert status(stranger, process_id) == "open"
    assert stranger.call(m.GetAttendance(process_id=process_id)).host == ""
    assert stranger.call(m.GetAttendance(process_id=new_id())).training == ""


# -- whose word it is -----------------------------------------------------------------------------------


def test_the_host_of_a_training_invites_and_accepts_nobody(story: Story) -> None:
    process_id = hosted_by_sue(story, server_config=TWO)
    with pytest.raises(Forbidden):
        invite(story.sue, process_id, accepted=True)
    guest = redeem(story, invite(story.sue, process_id).secret)
    (waiting,) = guests(story.sue, process_id)
    with pytest.raises(Forbidden):
        story.sue.call(m.DecideGuest(guest_id=waiting.id, accept=True))
    assert status(guest, process_id) == "waiting"
    story.officer.call(m.DecideGuest(guest_id=waiting.id, accept=True))
    assert status(guest, process_id) == "accepted"
    story.sue.call(
        m.DecideGuest(guest_id=waiting.id, accept=False)
    )  # nobody has to take whom they do not want
    assert status(guest, process_id) == "refused"


def test_a_reviewer_accepts_nobody_in_a_training_of_their_own(sqlite_story: Story) -> None:
    story = sqlite_story
    view = story.host(story.officer, server_config=TWO)
    if view.status == "waiting":
        story.second.call(ApproveRequest(request_id=view.review.request_id))
    with pytest.raises(Forbidden):
        invite(story.officer, view.process_id, accepted=True)
    redeem(story, invite(story.officer, view.process_id).secret)
    (waiting,) = guests(story.officer, view.process_id)
    with pytest.raises(Forbidden):
        story.officer.call(m.DecideGuest(guest_id=waiting.id, accept=True))
    story.second.call(m.DecideGuest(guest_id=waiting.id, accept=True))


def test_others_neither_invite_nor_see_nor_decide(sqlite_story: Story) -> None:
    story = sqlite_story
    process_id = hosted_by_sue(story)
    invited = invite(story.sue, process_id)
    guest = redeem(story, invited.secret)
    (waiting,) = guests(story.sue, process_id)
    for who in (story.eve, guest, story.house.call_in()):
        for message in (
            m.Invite(process_id=process_id),
            m.ListInvitations(process_id=process_id),
            m.RevokeInvitation(invitation_id=invited.invitation.id),
            m.DecideGuest(guest_id=waiting.id, accept=True),
        ):
            with pytest.raises(GridError) as refused:
                who.call(message)
            assert refused.value.status in (401, 403, 404)
    assert status(guest, process_id) == "waiting"


def reasons(story: Story, *workers: Connection) -> list[str]:
    return [reply.reason or reply.status for reply in map(story.check_in, workers)]


def test_whom_many_may_be_is_no_participant_where_a_number_is_demanded(story: Story) -> None:
    """One person can redeem an invitation for ten with ten keys: reports of those are not those of ten people."""
    story.policy(min_participants=2)
    process_id = story.host(story.owner, server_config=TWO).process_id
    many = invite(story.owner, process_id, uses=10, accepted=True).secret
    keys = [story.join(redeem(story, many)) for _ in range(3)]
    assert reasons(story, *keys) == ["not-accepted"] * 3
    one = story.join(redeem(story, invite(story.owner, process_id, accepted=True).secret))
    assert reasons(story, one) == ["accepted"]
    known = keys[0].identity
    (asked,) = [each for each in guests(story.owner, process_id) if each.verify_key == known.verify_key]
    story.owner.call(m.DecideGuest(guest_id=asked.id, accept=True))
    counted = story.join(story.house.call_in(known))
    assert reasons(story, counted) == ["accepted"]
    assert reasons(story, *keys) == ["not-accepted"] * 3  # by the tokens of before


def test_with_one_participant_demanded_they_take_part(sqlite_story: Story) -> None:
    story = sqlite_story
    process_id = story.host(story.owner, server_config=TWO).process_id
    many = invite(story.owner, process_id, uses=10, accepted=True).secret
    assert reasons(story, *(story.join(redeem(story, many)) for _ in range(2))) == ["accepted"] * 2


def test_a_guest_is_one_participant_however_many_tokens(sqlite_story: Story) -> None:
    story = sqlite_story
    story.policy(min_participants=2)
    process_id = story.host(story.owner, server_config=TWO).process_id
    guest = redeem(story, invite(story.owner, process_id, accepted=True).secret)
    workers = [story.join(guest, device=device) for device in ("a", "b", "c")]
    assert sorted(reasons(story, *workers)) == ["accepted", "taking-part", "taking-part"]


# -- how often ------------------------------------------------------------------------------------------


def attempt(story: Story, secret: str, who: Connection) -> str:
    try:
        redeem(story, secret, who)
    except Conflict as error:
        return str(error.extra["state"])
    return "guest"


def test_however_many_redeem_at_once_no_more_than_it_says_become_guests(story: Story) -> None:
    process_id = story.host(story.owner).process_id
    invited = invite(story.owner, process_id, uses=5)
    people = [story.house.call_in() for _ in range(16)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda who: attempt(story, invited.secret, who), people))
    assert sorted(found) == ["guest"] * 5 + ["used-up"] * 11
    with story.house.node.db.read() as session:
        row = session.get_one(Invitation, invited.invitation.id)
        keys = session.scalars(select(Guest.verify_key)).all()
    assert row.used == 5
    assert set(keys) == {
        who.identity.verify_key for who, came in zip(people, found, strict=True) if came == "guest"
    }


def test_one_key_at_once_is_one_guest_and_one_use(story: Story) -> None:
    process_id = story.host(story.owner).process_id
    invited = invite(story.owner, process_id, uses=9)
    key = story.house.call_in().identity
    connections = [story.house.call_in(key) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda who: attempt(story, invited.secret, who), connections)) == {"guest"}
    with story.house.node.db.read() as session:
        assert session.get_one(Invitation, invited.invitation.id).used == 1
        assert len(session.scalars(select(Guest)).all()) == 1


def test_an_invitation_that_accepts_lifts_whoever_waits(sqlite_story: Story) -> None:
    story = sqlite_story
    process_id = story.host(story.owner).process_id
    guest = redeem(story, invite(story.owner, process_id).secret)
    redeem(story, invite(story.owner, process_id).secret, guest)  # another of the same kind changes nothing
    used = [each.used for each in story.owner.call(m.ListInvitations(process_id=process_id)).invitations]
    assert (sorted(used), status(guest, process_id)) == ([0, 1], "waiting")
    redeem(story, invite(story.owner, process_id, accepted=True).secret, guest)
    assert status(guest, process_id) == "accepted"
    assert [each.counts for each in guests(story.owner, process_id)] == [True]


def test_who_ends_the_invitation_by_which_a_guest_takes_part_ends_that_too(sqlite_story: Story) -> None:
    """The one that accepted them, not the one by which they waited before."""
    story = sqlite_story
    process_id = story.host(story.owner).process_id
    first, lifting = invite(story.owner, process_id), invite(story.owner, process_id, accepted=True)
    guest = redeem(story, first.secret)
    redeem(story, lifting.secret, guest)
    assert [each.invitation_id for each in guests(story.owner, process_id)] == [lifting.invitation.id]
    story.owner.call(m.RevokeInvitation(invitation_id=lifting.invitation.id, guests=True))
    assert status(guest, process_id) == "refused"


def test_what_is_over_revoked_or_expired_makes_no_guest(story: Story) -> None:
    clock = story.house.clock
    assert isinstance(clock, ManualClock)
    process_id = story.host(story.owner).process_id
    expired = invite(story.owner, process_id, lifetime=60.0)
    clock.advance(61.0)
    revoked = invite(story.owner, process_id)
    story.owner.call(m.RevokeInvitation(invitation_id=revoked.invitation.id))
    left = invite(story.owner, process_id)
    for invited, state in ((expired, "expired"), (revoked, "revoked")):
        assert attempt(story, invited.secret, story.house.call_in()) == state
    views = story.owner.call(m.ListInvitations(process_id=process_id)).invitations
    assert {each.id: each.state for each in views} == {
        expired.invitation.id: "expired",
        revoked.invitation.id: "revoked",
        left.invitation.id: "open",
    }
    story.federated.pipeline.tasks.cancel(process_id, "", "")
    assert attempt(story, left.secret, story.house.call_in()) == "over"
    with pytest.raises(Conflict):
        invite(story.owner, process_id)


def test_a_refusal_acts_at_once_and_holds_against_new_invitations(story: Story) -> None:
    process_id = story.host(story.owner, server_config=TWO).process_id
    invited = invite(story.owner, process_id, uses=2, accepted=True)
    guest, other = redeem(story, invited.secret), redeem(story, invited.secret)
    worker = story.join(guest)
    (row,) = [
        each for each in guests(story.owner, process_id) if each.verify_key == guest.identity.verify_key
    ]
    story.owner.call(m.DecideGuest(guest_id=row.id, accept=False))
    for refused in (lambda: story.check_in(worker), lambda: story.join(guest)):
        with pytest.raises((InvalidToken, Forbidden)):
            refused()
    redeem(story, invite(story.owner, process_id, accepted=True).secret, guest)
    assert status(guest, process_id) == "refused"
    story.policy(participation="open")  # where anybody takes part, somebody said no to this one still
    with pytest.raises(Forbidden):
        story.join(guest)
    assert status(other, process_id) == "accepted"
    story.owner.call(m.RevokeInvitation(invitation_id=invited.invitation.id, guests=True))
    assert status(other, process_id) == "refused"


# -- what is kept, and said -----------------------------------------------------------------------------


def test_the_secret_is_nowhere_in_the_database_nor_in_the_log(sqlite_story: Story) -> None:
    story = sqlite_story
    process_id = story.host(story.owner).process_id
    invited = invite(story.owner, process_id, label="7b")
    redeem(story, invited.secret)
    (guest,) = guests(story.owner, process_id)
    story.owner.call(m.DecideGuest(guest_id=guest.id, accept=True))
    with story.house.node.db.read() as session:
        tables = session.execute(text("select name from sqlite_master where type = 'table'")).scalars().all()
        for table in tables:
            assert invited.secret not in repr(session.execute(text(f'select * from "{table}"')).all())
    entries = story.owner.call(ListAudit(limit=100)).entries
    said = {each.operation: each.detail for each in entries if each.operation.startswith("invitations.")}
    assert said["invitations.create"]["invitation"] == invited.invitation.id
    assert said["invitations.redeem"]["training"] == process_id
    assert (said["invitations.decide"]["guest"], said["invitations.decide"]["accept"]) == (guest.id, True)


def test_who_tries_secrets_is_slowed_down(sqlite_story: Story) -> None:
    story = sqlite_story
    process_id = story.host(story.owner).process_id
    stranger = story.house.call_in()
    for secret in ("", "short", "x" * 44, "ü" * 43):
        with pytest.raises(BadRequest):
            redeem(story, secret, stranger)
    from grid.federated.invitations import InvitationService
    from grid.node import Context, Principal

    service = story.house.node.service(InvitationService)
    caller = Context(Principal("key", verify_key="0" * 64), remote="198.51.100.7")
    for _ in range(50):
        with pytest.raises(NotFound):
            service.redeem(caller, m.RedeemInvitation(secret="x" * 43))
    with pytest.raises(TooManyRequests):
        service.redeem(caller, m.RedeemInvitation(secret="x" * 43))
    elsewhere = Context(Principal("key", verify_key="1" * 64), remote="203.0.113.9")
    invited = invite(story.owner, process_id)
    assert service.redeem(elsewhere, m.RedeemInvitation(secret=invited.secret)).status == "waiting"
