"""Grants: given by an owner or reviewer, with conditions, and taken back. On both engines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from syft_ext.clock import ManualClock
from syft_ext.errors import Forbidden, GridError, NotFound, TooLarge
from syft_ext.messages.grants import CreateGrant, ListGrants, RevokeGrant
from syft_ext.messages.objects import DeleteObject, DescribeObject, GetObject, PutObject, UpdateObject
from syft_ext.messages.statistics import Begin
from syft_ext.tensors import encode_tensors
from syft_ext.transport import Connection
from tests.accounts.people import House


class Story:
    """An owner of data (not the node's Owner), a scientist, an officer and somebody else."""

    def __init__(self, house: House) -> None:
        self.house = house
        owner = house.set_up()
        self.ann, self.ann_view = house.add_user(owner, "ann@hospital.org", "Administrator")
        self.sue, self.sue_view = house.add_user(owner, "sue@lab.org")
        self.officer, self.officer_view = house.add_user(owner, "officer@hospital.org", "Compliance Officer")
        self.eve, self.eve_view = house.add_user(owner, "eve@elsewhere.org")
        content = encode_tensors({"x": torch.arange(10, dtype=torch.float64)})
        self.table = self.ann.call(PutObject(kind="tensors", finders=[self.sue_view.id]), [content]).id
        self.size = len(content)

    def grant(self, giver: Connection | None = None, **fields: object) -> str:
        made = {"object_id": self.table, "user_id": self.sue_view.id, "scope": "read", **fields}
        return str((giver or self.ann).call(CreateGrant(**made)).id)  # type: ignore[arg-type]

    def fetch(self, who: Connection) -> int:
        _, content = who.download(GetObject(object_id=self.table))
        return len(content)

    def mean(self, who: Connection) -> float:
        reply = who.call(Begin(object_id=self.table, statistics=["mean"], columns=["x"]))
        return float(reply.columns[0].mean[0])


@pytest.fixture
def story(house: House) -> Story:
    return Story(house)


def test_a_grant_opens_and_revoking_closes_at_once(story: Story) -> None:
    with pytest.raises(Forbidden, match="you may see this, not read it"):
        story.fetch(story.sue)
    grant = story.grant()
    assert story.fetch(story.sue) == story.size and story.mean(story.sue) == 4.5
    story.ann.call(RevokeGrant(grant_id=grant))
    for refused in (story.fetch, story.mean):
        with pytest.raises(Forbidden):
            refused(story.sue)
    assert story.ann.call(RevokeGrant(grant_id=grant)).state == "revoked"


def test_a_grant_of_statistics_is_none_of_content(story: Story) -> None:
    story.grant(scope="statistics")
    assert story.mean(story.sue) == 4.5
    with pytest.raises(Forbidden):
        story.fetch(story.sue)


def test_conditions_hold(story: Story) -> None:
    story.grant(uses=2)
    story.fetch(story.sue)
    story.mean(story.sue)
    with pytest.raises(Forbidden):
        story.fetch(story.sue)
    story.grant(max_output_bytes=story.size - 1)
    with pytest.raises(TooLarge):
        story.fetch(story.sue)
    story.grant(expires_in=60.0, max_output_bytes=story.size)
    assert story.fetch(story.sue) == story.size
    assert isinstance(story.house.clock, ManualClock)
    story.house.clock.advance(61)
    with pytest.raises(TooLarge):  # what is left is the grant with the small cap
        story.fetch(story.sue)
    states = [view.state for view in story.sue.call(ListGrants()).grants]
    assert sorted(states) == ["expired", "live", "used up"]


def test_the_last_use_is_had_once(story: Story) -> None:
    story.grant(uses=1)

    def attempt(_: int) -> bool:
        try:
            return story.fetch(story.house.log_in("sue@lab.org")) == story.size
        except GridError:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


def test_who_may_give_and_take_back(story: Story) -> None:
    with pytest.raises(NotFound):
        story.grant(story.eve)
    with pytest.raises(NotFound):
        story.grant(story.sue)  # finding is not owning
    with pytest.raises(Forbidden, match="themselves"):
        story.grant(story.officer, user_id=story.officer_view.id)
    with pytest.raises(NotFound, match="user"):
        story.grant(user_id="0" * 32)
    grant = story.grant(story.officer)
    assert story.fetch(story.sue) == story.size
    for stranger, error in ((story.eve, NotFound), (story.sue, Forbidden)):
        with pytest.raises(error):
            stranger.call(RevokeGrant(grant_id=grant))
    assert story.eve.call(ListGrants()).grants == []
    (seen,) = story.ann.call(ListGrants(object_id=story.table)).grants
    assert (seen.id, seen.granted_by) == (grant, story.officer_view.id)
    story.ann.call(RevokeGrant(grant_id=grant))
    with pytest.raises(Forbidden):
        story.fetch(story.sue)


def test_analysts_have_statistics_and_no_content(story: Story) -> None:
    view = story.ann.call(UpdateObject(object_id=story.table, analysts=[story.sue_view.id]))
    assert view.analysts == [story.sue_view.id]
    assert story.mean(story.sue) == 4.5
    assert story.sue.call(DescribeObject(object_id=story.table)).analysts == []
    with pytest.raises(Forbidden):
        story.fetch(story.sue)
    story.ann.call(UpdateObject(object_id=story.table, description="renamed"))  # leaves the list
    assert story.mean(story.sue) == 4.5
    story.ann.call(UpdateObject(object_id=story.table, analysts=[]))
    with pytest.raises(Forbidden):
        story.mean(story.sue)


def test_grants_survive_a_restart(story: Story) -> None:
    story.grant(uses=1)
    story.house.restart()
    sue = story.house.log_in("sue@lab.org")
    assert story.fetch(sue) == story.size
    with pytest.raises(Forbidden):
        story.fetch(sue)


def test_programmers_find_an_object_and_have_no_content(story: Story) -> None:
    view = story.ann.call(UpdateObject(object_id=story.table, finders=[], programmers=[story.sue_view.id]))
    assert (view.programmers, view.analysts) == ([story.sue_view.id], [])
    assert story.sue.call(DescribeObject(object_id=story.table)).programmers == []
    with pytest.raises(Forbidden):
        story.sue.download(GetObject(object_id=story.table))
    story.ann.call(UpdateObject(object_id=story.table, programmers=[]))
    with pytest.raises(NotFound):
        story.sue.call(DescribeObject(object_id=story.table))


def test_what_a_grant_or_a_list_lets_one_find_is_not_said_to_be_missing(story: Story) -> None:
    """Finding is one question: who is shown an object is forbidden to change it, not told that it is not there."""
    change = UpdateObject(object_id=story.table, description="mine")
    delete = DeleteObject(object_id=story.table)
    for forbidden in (change, delete):
        with pytest.raises(NotFound):
            story.eve.call(forbidden)
    grant = story.grant(user_id=story.eve_view.id, scope="compute")
    for forbidden in (change, delete):
        with pytest.raises(Forbidden):
            story.eve.call(forbidden)
    story.ann.call(RevokeGrant(grant_id=grant))
    with pytest.raises(NotFound):
        story.eve.call(change)
    story.ann.call(UpdateObject(object_id=story.table, programmers=[story.eve_view.id]))
    for forbidden in (change, delete):
        with pytest.raises(Forbidden):
            story.eve.call(forbidden)
